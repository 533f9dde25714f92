"""One network on one tile in onnxruntime, TensorFlow and PyTorch, taking turns."""

import contextlib
import os
import re
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from pdm_tf.benchmarks import flops, gemm, memory, sides
from pdm_tf.benchmarks.inference_table import table
from pdm_tf.benchmarks.rounds import alternate, ratio, summary
from pdm_tf.benchmarks.subject import Convolutions, Subject
from pdm_tf.config import exit_codes
from pdm_tf.config.flags_benchmark_inference import InferenceBenchmarkConfig
from pdm_tf.config.quiet import quiet_start
from pdm_tf.core.files import write_json_atomic

_WARM_UP = 2  # calls of each side before the first round
# Differences of float32 sums in another order grow with the depth of the network; 1e-3
# of the output's range is far above them and far below any real mistake.
_SAME_WORK = 1e-3


def main(config: InferenceBenchmarkConfig) -> int:
    """Runs the measurement, prints a table, writes the JSON."""
    sides.set_threads(config.threads)
    if config.compare == "torch":  # missing packages are told before any work
        sides.import_torch_networks()
    with quiet_start():
        from pdm_tf.benchmarks import networks
    with tempfile.TemporaryDirectory() as folder:
        subject = networks.open_subject(config, Path(folder))
        names = sides.wanted(config, subject)
        convolutions = None
        if subject.architecture:
            convolutions = networks.read_convolutions(subject)
        result = measure(config, subject, names, convolutions)
    print(table(result))
    if config.output:
        write_json_atomic(Path(config.output), result)
        print(f"written to {config.output}")
    return exit_codes.OK


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
    products = _products(config)
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
        "machine": machine(),
        "gemm": {
            "size": config.gemm_size,
            "gflops": {name: rate.to_json() for name, rate in rates.items()},
            "peak_gflops": gemm.peaks(rates),
        },
        **figures(
            {name: seconds[name] for name in names},
            flops.count(subject.path, lr_shape),
            gemm.peaks(rates),
            differences(outputs),
            _memory(config, subject, names, lr_shape),
        ),
    }


def figures(
    seconds: Mapping[str, Sequence[float]],
    operations: int | None,
    peaks: Mapping[str, float],
    difference: Mapping[str, float],
    peak_mb: Mapping[str, float],
) -> dict[str, Any]:
    """Turns measurements into what is said about them.

    Args:
      seconds: side -> seconds of a call in each round.
      operations: of a call; None: unknown.
      peaks: precision -> GFLOP/s of matrix products.
      difference: side -> largest difference from onnxruntime's output.
      peak_mb: side -> peak memory; empty: not measured.

    Returns:
      "gflop", "references" (precision -> the faster of the torch forms) and "sides".
    """
    gflop = None if operations is None else operations / 1e9
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    references: dict[str, str] = {}
    for name in seconds:
        side = sides.SIDES[name]
        if side.library == "torch":
            best = references.get(side.precision, name)
            references[side.precision] = min(best, name, key=medians.get)
    entries = {}
    for name, values in seconds.items():
        precision = sides.SIDES[name].precision
        reference = references.get(precision)
        rate = gflop and gflop / medians[name]
        entries[name] = {
            "precision": precision,
            "ms": summary([1e3 * value for value in values]).to_json(),
            "gflops": rate,
            "share_of_gemm": rate and rate / peaks[precision],
            "ratio_to_torch": (
                reference and ratio(values, seconds[reference]).to_json()
            ),
            "max_difference": difference[name],
            "peak_mb": peak_mb.get(name),
        }
    return {"gflop": gflop, "references": references, "sides": entries}


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


def machine() -> dict[str, Any]:
    """Returns what the numbers depend on: processor and versions."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    model = re.search(r"^model name\s*: (.*)$", cpuinfo, re.M)
    versions = {}
    for name in ("onnxruntime", "onnxruntime-gpu", "tensorflow", "torch", "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "processor": model.group(1) if model else "",
        "processors": len(os.sched_getaffinity(0)),
        "versions": versions,
    }


def _warmed(run: sides.Run, lr: np.ndarray) -> np.ndarray:
    for _ in range(_WARM_UP):
        output = run(lr)
    return output


def _products(config: InferenceBenchmarkConfig) -> dict[str, Callable[[], object]]:
    import tensorflow

    with_torch = config.compare == "torch"
    return gemm.products(
        config.gemm_size,
        bfloat16=config.bfloat16,
        tensorflow=tensorflow,
        torch=sides.import_torch_networks().torch if with_torch else None,
        numpy_too=not config.threads,
    )


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
        name: memory.peak_mb(name, subject, lr_shape, config.threads) for name in names
    }
