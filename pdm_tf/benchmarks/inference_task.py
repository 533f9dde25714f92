"""One network on one tile in onnxruntime, TensorFlow and PyTorch, taking turns."""

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pdm_tf.benchmarks import flops, gemm, machine, memory, sides
from pdm_tf.benchmarks.figures import figures
from pdm_tf.benchmarks.inference_table import table
from pdm_tf.benchmarks.report import report
from pdm_tf.benchmarks.rounds import alternate
from pdm_tf.benchmarks.subject import Convolutions, Subject
from pdm_tf.benchmarks.torch_import import import_torch_side
from pdm_tf.cli import program
from pdm_tf.cli.flags_benchmark_inference import InferenceBenchmarkConfig
from pdm_tf.core.quiet import quiet_start

_WARM_UP = 2  # calls of each side before the first round
# Differences of float32 sums in another order grow with the depth of the network; 1e-3
# of the output's range is far above them and far below any real mistake.
_SAME_WORK = 1e-3


def main(config: InferenceBenchmarkConfig) -> int:
    """Runs the measurement, prints a table, writes the JSON."""
    machine.set_threads(config.threads)
    if config.compare == "torch":  # missing packages are told before any work
        import_torch_side("torch_networks")
    with quiet_start():
        from pdm_tf.benchmarks import networks
    with tempfile.TemporaryDirectory() as folder:
        subject = networks.open_subject(config, Path(folder))
        names = sides.wanted(config, subject)
        convolutions = None
        if subject.architecture:
            convolutions = networks.read_convolutions(subject)
        result = measure(config, subject, names, convolutions)
    report(table(result), result, config.output)
    return program.OK


def measure(
    config: InferenceBenchmarkConfig,
    subject: Subject,
    names: Sequence[str],
    convolutions: Convolutions | None,
) -> dict[str, Any]:
    """Measures the sides `names`; returns what is written as JSON.

    Raises:
      RuntimeError: their outputs are not those of the same network.
    """
    lr_shape = (config.batch_size, config.tile, config.tile, 3)
    lr = np.random.default_rng(config.seed).random(lr_shape, np.float32)
    print("warming up", flush=True)
    runs = {
        name: sides.build(
            name, subject, convolutions, lr_shape=lr_shape, threads=config.threads
        )
        for name in names
    }
    outputs = {name: _warmed(run, lr) for name, run in runs.items()}
    products = gemm.products(
        config.gemm_size,
        bfloat16=config.bfloat16,
        with_torch=config.compare == "torch",
        numpy_too=not config.threads,
    )
    for product in products.values():
        product()

    def on_round(index: int, seconds: Mapping[str, float]) -> None:
        shown = ", ".join(f"{name} {seconds[name] * 1e3:.0f}" for name in names)
        print(f"round {index + 1}/{config.rounds}, ms: {shown}", flush=True)

    seconds = alternate(
        {**{name: partial(run, lr) for name, run in runs.items()}, **products},
        rounds=config.rounds,
        calls=config.calls,
        on_round=on_round,
    )
    rates = gemm.rates({name: seconds[name] for name in products}, config.gemm_size)
    found = figures(
        sides.SIDES,
        {name: seconds[name] for name in names},
        flops.count(subject.path, lr_shape),
        gemm.peaks(rates),
        _memory(config, subject, names, lr_shape),
    )
    for name, difference in differences(outputs).items():
        found["sides"][name]["max_difference"] = difference
    return {
        "task": "inference",
        "network": subject.name,
        "architecture": subject.architecture,
        "config": dict(subject.config),
        "lr_shape": list(lr_shape),
        "sr_shape": list(outputs["onnxruntime"].shape),
        "rounds": config.rounds,
        "calls": config.calls,
        "threads": config.threads,
        "machine": machine.describe(),
        "gemm": gemm.to_json(rates, config.gemm_size),
        **found,
    }


def differences(outputs: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Returns side -> largest difference from onnxruntime's output.

    Raises:
      RuntimeError: in float32 it is too large for the same network.
    """
    expected = outputs["onnxruntime"]
    result = {}
    for name, output in outputs.items():
        result[name] = float(np.max(np.abs(output - expected)))
        limit = _SAME_WORK * max(1.0, float(np.max(np.abs(expected))))
        if sides.SIDES[name].precision == "float32" and not result[name] <= limit:
            raise RuntimeError(
                f"{name} does not compute the same as onnxruntime: the outputs differ "
                f"by {result[name]:.3g}. The times would not be comparable."
            )
    return result


def _warmed(run: sides.Run, lr: np.ndarray) -> np.ndarray:
    for _ in range(_WARM_UP):
        output = run(lr)
    return output


def _memory(
    config: InferenceBenchmarkConfig,
    subject: Subject,
    names: Sequence[str],
    lr_shape: tuple[int, ...],
) -> dict[str, float]:
    if not config.memory:
        return {}
    print("measuring memory", flush=True)
    return {
        name: memory.peak_mb(sides.run_alone, name, subject, lr_shape, config.threads)
        for name in names
    }
