"""One joint training step in TensorFlow and PyTorch, taking turns."""

from collections.abc import Mapping
from typing import Any

from pdm_tf.benchmarks import gemm, machine, memory, train_sides, train_sweep
from pdm_tf.benchmarks.figures import asked_for, figures
from pdm_tf.benchmarks.learning_subject import TrainingSubject
from pdm_tf.benchmarks.report import report
from pdm_tf.benchmarks.rounds import alternate
from pdm_tf.benchmarks.table import gemm_line, reference_line, side_lines
from pdm_tf.benchmarks.torch_import import import_torch_side
from pdm_tf.cli import program
from pdm_tf.cli.component import to_json_dict
from pdm_tf.cli.flags_benchmark_train import TrainBenchmarkConfig


def main(config: TrainBenchmarkConfig) -> int:
    """Runs the measurement, prints a table, writes the JSON."""
    machine.set_threads(config.threads)
    if config.compare == "torch":  # missing packages are told before any work
        import_torch_side("torch_training")
    if config.sweep == "none":
        result = measure(config)
        text = table(result)
    else:
        result = train_sweep.measure(config)
        text = train_sweep.table(result)
    report(text, result, config.output)
    return program.OK


def measure(config: TrainBenchmarkConfig) -> dict[str, Any]:
    """Measures the sides that the flags ask for; returns what is written as JSON.

    Raises:
      UserError: the flags describe no joint step, or one that PyTorch's side lacks.
    """
    names = asked_for(
        train_sides.SIDES, torch=config.compare == "torch", bfloat16=config.bfloat16
    )
    method = train_sides.build_method(config, "float32")
    subject = train_sides.subject_of(method, config)
    if config.compare == "torch":
        subject.require_torch()
    print("counting", flush=True)
    operations = train_sides.operations(method, subject)
    print("warming up", flush=True)
    steps, blur = _steps(config, names, method, subject)
    losses = {name: dict(step()) for name, step in steps.items()}
    products = gemm.products(
        config.gemm_size,
        bfloat16=config.bfloat16,
        with_torch=config.compare == "torch",
        numpy_too=not config.threads,
    )
    for warm in (*steps.values(), *products.values()):
        warm()

    def on_round(index: int, seconds: Mapping[str, float]) -> None:
        shown = ", ".join(f"{name} {seconds[name] * 1e3:.0f}" for name in names)
        print(f"round {index + 1}/{config.rounds}, ms: {shown}", flush=True)

    seconds = alternate(
        {**steps, **products},
        rounds=config.rounds,
        calls=config.calls,
        on_round=on_round,
    )
    rates = gemm.rates({name: seconds[name] for name in products}, config.gemm_size)
    result = {
        "task": "train",
        "config": to_json_dict(config),
        "hr_patch": subject.hr_patch,
        "torch_blur": blur,
        "machine": machine.describe(),
        "gemm": gemm.to_json(rates, config.gemm_size),
        **figures(
            train_sides.SIDES,
            {name: seconds[name] for name in names},
            operations,
            gemm.peaks(rates),
            _memory(config, names, subject, blur),
        ),
    }
    for name, side in result["sides"].items():
        side["first_losses"] = losses[name]
    return result


def table(result: Mapping[str, Any]) -> str:
    """Returns the table, with a line above it that says what was run."""
    config = result["config"]
    lines = [
        f"joint step, --preset={config['preset']}: {config['batch_size']} patches of "
        f"{result['hr_patch']} x {result['hr_patch']} HR pixels, "
        f"{result['gflop']:.4g} GFLOP; medians of {config['rounds']} rounds "
        "(least to most)",
        *side_lines(result["sides"]),
        gemm_line(result["gemm"]),
    ]
    if result["references"]:
        lines.append(reference_line(result["references"]))
        lines.append(
            "GFLOP are those that our step needs; PyTorch's judges the fakes twice. "
            f"Its blur: {result['torch_blur']}, the faster form; output maps of its "
            f"discriminator: {config['torch_maps']}"
        )
    return "\n".join(lines)


def _steps(
    config: TrainBenchmarkConfig,
    names: list[str],
    method: Any,
    subject: TrainingSubject,
) -> tuple[dict[str, train_sides.Step], str]:
    """Returns the sides, and the form of PyTorch's blur or ""."""
    images = train_sides.random_images(subject, config.seed)
    weights, blur = train_sides.weights_of(method.networks), ""
    steps: dict[str, train_sides.Step] = {}
    for name in names:
        side = train_sides.SIDES[name]
        if side.library == "torch":
            threads = config.threads
            blur = blur or train_sides.faster_blur(subject, images["hr"], threads)
            steps[name] = train_sides.torch_step(
                name, subject, weights, images, blur=blur, threads=threads
            )
            continue
        if side.precision != "float32":
            method = train_sides.build_method(config, side.precision)
        steps[name] = train_sides.our_step(method, config, side.precision, images)
    return steps, blur


def _memory(
    config: TrainBenchmarkConfig,
    names: list[str],
    subject: TrainingSubject,
    blur: str,
) -> dict[str, float]:
    if not config.memory:
        return {}
    print("measuring memory", flush=True)
    return {
        name: memory.peak_mb(train_sides.run_alone, name, config, subject, blur)
        for name in names
    }
