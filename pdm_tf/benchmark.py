"""Measures speed: `python -m pdm_tf.benchmark --help`.

Times on a shared machine swing by a factor of two, so both sides of a ratio take turns
in one process, several rounds each, and medians are compared.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pdm_tf.config import exit_codes, program
from pdm_tf.config.flags_benchmark import SPEC, BenchmarkConfig
from pdm_tf.config.quiet import quiet_start
from pdm_tf.core.files import write_json_atomic

_DATA_FACTOR = 20  # batches of a pipeline round for each step of a training round


def main(config: BenchmarkConfig) -> int:
    """Runs the measurement, prints a table, writes the JSON."""
    with quiet_start():
        from pdm_tf import build
    setup = build.build_training(config)
    step = build.compiled_step(setup.method, config)
    batch = next(iter(setup.make_batches(0)))
    print("warming up", flush=True)
    step(batch, 0)
    batches = iter(setup.make_batches(0))
    next(batches)

    consumed: list[float] = []
    delivered: list[float] = []
    for index in range(config.rounds):
        consumed.append(
            _rate(config, config.round_steps, lambda i: step(batch, i), step.fetch)
        )
        count = _DATA_FACTOR * config.round_steps
        delivered.append(_rate(config, count, lambda _: _touch(batches)))
        print(
            f"round {index + 1}/{config.rounds}: training consumes "
            f"{consumed[-1]:.1f} patches/s, pipeline delivers {delivered[-1]:.0f}",
            flush=True,
        )
    result = {
        "task": config.task,
        "batch_size": config.batch_size,
        "patches": dict(setup.method.patches),
        "training_patches_per_second": _summary(consumed),
        "pipeline_patches_per_second": _summary(delivered),
        "ratio": statistics.median(delivered) / statistics.median(consumed),
    }
    print(
        "patches of each stream per second, median (least to most):\n"
        f"  training consumes  {_shown(consumed)}\n"
        f"  pipeline delivers  {_shown(delivered)}\n"
        f"  ratio              {result['ratio']:.1f}"
    )
    if config.output:
        write_json_atomic(Path(config.output), result)
        print(f"written to {config.output}")
    return exit_codes.OK


def _touch(batches: Iterator[Any]) -> None:
    for tensor in next(batches).values():
        tensor.shape.assert_is_fully_defined()


def _rate(
    config: BenchmarkConfig,
    count: int,
    run: Callable[[int], Any],
    finish: Callable[[], Any] = lambda: None,
) -> float:
    """Patches per second of `count` batches; `finish` waits for the device."""
    begin = time.perf_counter()
    for index in range(count):
        run(index)
    finish()
    return count * config.batch_size / (time.perf_counter() - begin)


def _summary(values: list[float]) -> dict[str, float]:
    return {
        "median": statistics.median(values),
        "least": min(values),
        "most": max(values),
    }


def _shown(values: list[float]) -> str:
    middle = statistics.median(values)
    return f"{middle:.0f} ({min(values):.0f} to {max(values):.0f})"


if __name__ == "__main__":
    program.run(SPEC, main)
