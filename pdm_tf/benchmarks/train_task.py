"""One training step of any method, and PDM-SR's in PyTorch too, taking turns."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pdm_tf.benchmarks import arithmetic, train_sides, train_sweep
from pdm_tf.benchmarks.measuring import (
    GEMM_SIZE,
    ROUNDS,
    SECTION,
    Measuring,
    alternate,
    check_batch_for_torch,
    describe_machine,
    peak_mb,
    report,
    set_threads,
    task_sections,
)
from pdm_tf.benchmarks.sides import (
    TRAINING,
    asked_for,
    figures,
    gemm_line,
    import_torch_side,
    reference_line,
    side_lines,
)
from pdm_tf.benchmarks.timed import TimedStep, weights_of
from pdm_tf.cli import program
from pdm_tf.cli.component import to_json_dict
from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import check_flags
from pdm_tf.core.errors import UserError
from pdm_tf.train_config import TrainConfig

# Beyond the phases of any run, and their ends are steps like others.
_LATE = 10**9


def _as_in_train(name: str, default: Any = None, *, section: str = "") -> Any:
    """The flag of pdm_tf.train with that name, perhaps with another default."""
    field = TrainConfig.__dataclass_fields__[name]
    return flag(
        field.default if default is None else default,
        field.metadata["help"],
        section=section,
        at_least=field.metadata.get("at_least"),
    )


@dataclass(frozen=True)
class TrainBenchmarkConfig(Measuring):
    """The step to run, the sides to compare, and the number of rounds.

    The defaults are the paper's NTIRE 2017 track 2: blur alone, by 4.

    Raises:
      UserError: flags contradict each other, or a number is out of range.
    """

    method: str = _as_in_train("method", section="Step")
    phase: Literal["first", "last"] = flag(
        "last",
        "Of a method that trains one network after the other in one run: the step with "
        "which it begins, or the one with which it ends.",
    )
    preset: Literal["default", "paper"] = _as_in_train("preset")
    batch_size: int = _as_in_train("batch_size", 8)
    lr_patch: int = _as_in_train("lr_patch")
    scale: int = _as_in_train("scale")
    sr_net: str = _as_in_train("sr_net")
    sr_arg: tuple[str, ...] = _as_in_train("sr_arg")
    kernel_arg: tuple[str, ...] = _as_in_train("kernel_arg")
    noise: bool = _as_in_train("noise", False)
    noise_arg: tuple[str, ...] = _as_in_train("noise_arg")
    discriminator_arg: tuple[str, ...] = _as_in_train("discriminator_arg")
    method_arg: tuple[str, ...] = _as_in_train("method_arg")
    hr_discriminator: str = _as_in_train("hr_discriminator")
    hr_discriminator_arg: tuple[str, ...] = _as_in_train("hr_discriminator_arg")
    features: str = _as_in_train("features")
    features_arg: tuple[str, ...] = _as_in_train("features_arg")
    degradation_arg: tuple[str, ...] = _as_in_train("degradation_arg")
    net: tuple[str, ...] = _as_in_train("net")
    net_arg: tuple[str, ...] = _as_in_train("net_arg")
    seed: int = flag(0, "Decides the weights and the patches.")
    compare: Literal["none", "torch"] = flag(
        "none",
        "`torch`: also the same step in PyTorch, eager, in its default layout and in "
        "channels_last, from the same weights, in the order of the published code; "
        'needs pip install "pdm_tf[benchmark]". Ratios are to the faster layout of the '
        "same precision.",
        section="Work",
    )
    bfloat16: bool = flag(
        False,
        "Also ours in mixed_bfloat16, and PyTorch under bfloat16 autocast; fast on "
        "processors with AMX or AVX-512 BF16 units only.",
    )
    torch_maps: int = flag(
        1,
        "Output maps of PyTorch's discriminator: ours has 1, the published one 64, "
        "which is a fifth more arithmetic in it.",
        at_least=1,
    )
    sweep: Literal["none", "batch", "kernel", "patch"] = flag(
        "none",
        "Instead: our step at several sizes (`batch`, `kernel` in HR pixels, `patch` "
        "in HR pixels), and the exponent with which its time grows.",
    )
    sweep_sizes: tuple[int, ...] = flag(
        (),
        "The sizes; empty: batches of 4 to 32, kernels of 11 to 31, patches of 96 to "
        "256.",
    )
    rounds: int = flag(10, ROUNDS, section=SECTION, at_least=1)
    gemm_size: int = flag(2048, GEMM_SIZE, section=SECTION, at_least=1)

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.benchmark train")
        if self.sweep != "none" and self.compare != "none":
            raise UserError(
                "--sweep measures our side alone. Received: "
                f"--sweep={self.sweep}, --compare={self.compare}."
            )
        if self.sweep_sizes and self.sweep == "none":
            raise UserError(
                f"--sweep_sizes belong to --sweep. Received: {self.sweep_sizes}."
            )
        if self.sweep != "none" and len(set(self.sweep_sizes)) == 1:
            raise UserError(
                "--sweep_sizes must be two sizes or more, to compare them. "
                f"Received: {self.sweep_sizes}."
            )
        check_batch_for_torch(self.compare, self.batch_size)

    @property
    def first_step(self) -> int:
        """Index of the first step that is run: within the phase."""
        return _LATE if self.phase == "last" else 0

    def training(self, precision: str = "float32") -> TrainConfig:
        """Returns the settings of this step's training run."""
        names = {field.name for field in dataclasses.fields(self)}
        shared = names & {field.name for field in dataclasses.fields(TrainConfig)}
        if not self.method.startswith("pdm_"):
            shared -= {"noise"}  # off by default here, and nobody else's setting
        return TrainConfig(
            **{name: getattr(self, name) for name in shared},
            hr_dir="(made)",
            run_dir="(none)",
            mixed_precision=precision,
        )


SPEC = ProgramSpec(
    module="pdm_tf.benchmark train",
    config=TrainBenchmarkConfig,
    intro="Measures one training step of a method on the CPU, as training runs it, "
    "on random patches in memory; with --compare=torch PDM-SR's also in PyTorch. "
    "Prints milliseconds, GFLOP/s of the arithmetic that a step needs, the share of "
    "what matrix products reach, ratios to PyTorch, and peak memory; with --sweep how "
    "the time grows with batch, kernel or patch.",
    examples=(
        "python -m pdm_tf.benchmark train --preset=paper --compare=torch",
        "python -m pdm_tf.benchmark train --preset=paper --noise --compare=torch "
        "--bfloat16",
        "python -m pdm_tf.benchmark train --method=supervised --sr_net=rrdbnet",
        "python -m pdm_tf.benchmark train --preset=paper --sweep=patch "
        "--output=speed.json",
    ),
    sections=task_sections(TrainBenchmarkConfig),
)


def main(config: TrainBenchmarkConfig) -> int:
    """Runs the measurement, prints a table, writes the JSON."""
    set_threads(config.threads)
    if config.compare == "torch":  # missing packages are reported before any work
        import_torch_side("torch_training")
    if config.sweep == "none":
        result = measure(config)
        text = table(result)
    else:
        result = measure_sweep(config)
        text = train_sweep.table(result)
    report(text, result, config.output)
    return program.OK


def measure_sweep(config: TrainBenchmarkConfig) -> dict[str, Any]:
    """Measures our side at several sizes; returns the content of the JSON file.

    Raises:
      UserError: an impossible size.
    """
    found = train_sweep.measure(
        config.training(),
        config.sweep,
        config.sweep_sizes,
        precisions=["float32", "bfloat16"] if config.bfloat16 else ["float32"],
        rounds=config.rounds,
        calls=config.calls,
        memory=config.memory,
        threads=config.threads,
    )
    return {
        "task": "train",
        "config": to_json_dict(config),
        "machine": describe_machine(),
        **found,
    }


def measure(config: TrainBenchmarkConfig) -> dict[str, Any]:
    """Measures the requested sides; returns the content of the JSON file.

    Raises:
      UserError: the flags describe no joint step, or one that PyTorch's side lacks.
    """
    names = asked_for(
        TRAINING, torch=config.compare == "torch", bfloat16=config.bfloat16
    )
    training = config.training()
    method = train_sides.build_method(training)
    timed = None
    if config.compare == "torch":
        timed = train_sides.timed_step(method, training, config.torch_maps)
        timed.require_torch()
    print("counting", flush=True)
    operations = train_sides.operations(method, config.batch_size, config.first_step)
    print("warming up", flush=True)
    steps, blur = _steps(config, names, method, timed)
    losses = {name: dict(step()) for name, step in steps.items()}
    products = arithmetic.matrix_products(
        config.gemm_size,
        bfloat16=config.bfloat16,
        with_torch=config.compare == "torch",
        numpy_too=not config.threads,
    )
    for warm in (*steps.values(), *products.values()):
        warm()

    def on_round(index: int, seconds: Mapping[str, float]) -> None:
        times = ", ".join(f"{name} {seconds[name] * 1e3:.0f}" for name in names)
        print(f"round {index + 1}/{config.rounds}, ms: {times}", flush=True)

    seconds = alternate(
        {**steps, **products},
        rounds=config.rounds,
        calls=config.calls,
        on_round=on_round,
    )
    rates = arithmetic.matmul_rates(
        {name: seconds[name] for name in products}, config.gemm_size
    )
    result = {
        "task": "train",
        "config": to_json_dict(config),
        "hr_patch": method.patches["hr"],
        "parameters": {
            name: network.count_params() for name, network in method.networks.items()
        },
        "torch_blur": blur,
        "machine": describe_machine(),
        "gemm": arithmetic.rates_to_json(rates, config.gemm_size),
        **figures(
            TRAINING,
            {name: seconds[name] for name in names},
            operations,
            arithmetic.peak_rates(rates),
            _memory(config, names, timed, blur),
        ),
    }
    for name, side in result["sides"].items():
        side["first_losses"] = losses[name]
    return result


def table(result: Mapping[str, Any]) -> str:
    """Returns the table, with a line above it that describes the run."""
    config = result["config"]
    lines = [
        f"step of {config['method']}, --preset={config['preset']}: "
        f"{config['batch_size']} patches of "
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
    timed: TimedStep | None,
) -> tuple[dict[str, train_sides.Step], str]:
    """Returns the sides, and the form of PyTorch's blur or ""."""
    images = train_sides.random_images(method.patches, config.batch_size, config.seed)
    weights, blur = weights_of(method.networks), ""
    steps: dict[str, train_sides.Step] = {}
    for name in names:
        side = TRAINING[name]
        if side.library == "torch":
            threads = config.threads
            blur = blur or train_sides.faster_blur(timed, images["hr"], threads)
            steps[name] = train_sides.torch_step(
                name, timed, weights, images, blur=blur, threads=threads
            )
            continue
        training = config.training(side.precision)
        if side.precision != "float32":
            method = train_sides.build_method(training)
        steps[name] = train_sides.our_step(method, training, images, config.first_step)
    return steps, blur


def _memory(
    config: TrainBenchmarkConfig,
    names: list[str],
    timed: TimedStep | None,
    blur: str,
) -> dict[str, float]:
    if not config.memory:
        return {}
    print("measuring memory", flush=True)
    return {
        name: peak_mb(
            train_sides.run_alone,
            name,
            config.training(TRAINING[name].precision),
            config.threads,
            timed,
            blur,
            config.first_step,
        )
        for name in names
    }
