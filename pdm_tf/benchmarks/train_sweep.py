"""How the time of our step grows with the batch, the kernel, or the patch.

All sizes take turns in one run, so that a change of the machine's speed does not look
like a change with size. The exponent is the slope of log time over log size: 1 is time
in proportion; below 1 there is a part that does not grow.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pdm_tf.benchmarks import machine, memory, train_sides
from pdm_tf.benchmarks.rounds import Summary, alternate, summary
from pdm_tf.benchmarks.table import aligned, milliseconds, ranged, shown
from pdm_tf.cli.component import to_json_dict
from pdm_tf.cli.flags_benchmark_train import TrainBenchmarkConfig
from pdm_tf.core.errors import UserError

_WARM_UP = 2  # steps of each size before the first round


def _batch(config: TrainBenchmarkConfig, size: int) -> TrainBenchmarkConfig:
    return dataclasses.replace(config, batch_size=size)


def _kernel(config: TrainBenchmarkConfig, size: int) -> TrainBenchmarkConfig:
    kernel_arg = (*config.kernel_arg, f"kernel_size={size}")
    return dataclasses.replace(config, kernel_arg=kernel_arg)


def _patch(config: TrainBenchmarkConfig, size: int) -> TrainBenchmarkConfig:
    if size % config.scale:
        raise UserError(
            "--sweep_sizes of HR patches must be multiples of --scale. "
            f"Received: {size}, {config.scale}."
        )
    return dataclasses.replace(config, lr_patch=size // config.scale)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What is varied.

    Attributes:
      sizes: to take when none are given.
      changed: (config, size) -> config.
      unit: of what the time is compared with.
    """

    sizes: tuple[int, ...]
    changed: Callable[[TrainBenchmarkConfig, int], TrainBenchmarkConfig]
    unit: str = "HR pixels"


SWEEPS = {
    "batch": Sweep((4, 8, 16, 32), _batch),
    "kernel": Sweep((11, 15, 21, 25, 31), _kernel, "kernel taps"),
    "patch": Sweep((96, 128, 192, 256), _patch),
}


def measure(config: TrainBenchmarkConfig) -> dict[str, Any]:
    """Measures all sizes; returns what is written as JSON.

    Raises:
      UserError: a size cannot be.
    """
    sweep = SWEEPS[config.sweep]
    sizes = config.sweep_sizes or sweep.sizes
    configs = {size: sweep.changed(config, size) for size in sizes}
    amounts = {size: _amount(config.sweep, configs[size]) for size in sizes}
    precisions = ["float32", "bfloat16"] if config.bfloat16 else ["float32"]
    sides = {}
    for precision in precisions:
        for size, changed in configs.items():
            print(f"warming up {precision}, {config.sweep} {size}", flush=True)
            method = train_sides.build_method(changed, precision)
            images = train_sides.random_images(
                train_sides.subject_of(method, changed), config.seed
            )
            step = train_sides.our_step(method, changed, precision, images)
            for _ in range(_WARM_UP):
                step()
            sides[precision, size] = step

    def on_round(index: int, seconds: Mapping[Any, float]) -> None:
        times = ", ".join(f"{size} {seconds[p, size] * 1e3:.0f}" for p, size in sides)
        print(f"round {index + 1}/{config.rounds}, ms: {times}", flush=True)

    seconds = alternate(
        sides, rounds=config.rounds, calls=config.calls, on_round=on_round
    )
    peak_mb = _memory(config, configs, precisions)
    return {
        "task": "train",
        "config": to_json_dict(config),
        "machine": machine.describe(),
        "unit": sweep.unit,
        "sweep": {
            precision: {
                "exponent": exponent(
                    [amounts[size] for size in sizes],
                    [seconds[precision, size] for size in sizes],
                ).to_json(),
                "sizes": [
                    {
                        "size": size,
                        "amount": amounts[size],
                        "ms": summary(
                            [1e3 * value for value in seconds[precision, size]]
                        ).to_json(),
                        "peak_mb": peak_mb.get((precision, size)),
                    }
                    for size in sizes
                ],
            }
            for precision in precisions
        },
    }


def exponent(amounts: Sequence[float], seconds: Sequence[Sequence[float]]) -> Summary:
    """Fits time ~ amount ** exponent by least squares on logarithms.

    Args:
      amounts: two different ones or more.
      seconds: for each amount, the times of all rounds.

    Returns:
      The exponent of the medians, and the range of the rounds' own.
    """

    def slope(times: Sequence[float]) -> float:
        return float(np.polyfit(np.log(amounts), np.log(times), 1)[0])

    own = [slope(times) for times in zip(*seconds, strict=True)]
    return Summary(slope([np.median(values) for values in seconds]), min(own), max(own))


def table(result: Mapping[str, Any]) -> str:
    """Returns one table for each precision."""
    config, unit = result["config"], result["unit"]
    lines = [
        f"our joint step, --preset={config['preset']}, by {config['sweep']}; medians "
        f"of {config['rounds']} rounds (least to most)"
    ]
    for precision, found in result["sweep"].items():
        heads = (
            f"{precision}, {config['sweep']}",
            unit,
            "ms",
            "us for each",
            "peak MB",
        )
        rows = [
            (
                str(entry["size"]),
                str(entry["amount"]),
                milliseconds(entry["ms"]),
                f"{1e3 * entry['ms']['median'] / entry['amount']:.3g}",
                shown(entry["peak_mb"]),
            )
            for entry in found["sizes"]
        ]
        power = ranged(found["exponent"])
        lines += [*aligned([heads, *rows]), f"time ~ ({unit}) ^ {power}"]
    return "\n".join(lines)


def _amount(sweep: str, config: TrainBenchmarkConfig) -> int:
    """Size in units that time may be in proportion to."""
    if sweep == "kernel":
        return int(config.kernel_arg[-1].partition("=")[2]) ** 2
    return config.batch_size * (config.lr_patch * config.scale) ** 2


def _memory(
    config: TrainBenchmarkConfig,
    configs: Mapping[int, TrainBenchmarkConfig],
    precisions: Sequence[str],
) -> dict[tuple[str, int], float]:
    if not config.memory:
        return {}
    print("measuring memory", flush=True)
    sides = {"float32": "tensorflow", "bfloat16": "tensorflow_bfloat16"}
    return {
        (precision, size): memory.peak_mb(
            train_sides.run_alone, sides[precision], changed
        )
        for precision in precisions
        for size, changed in configs.items()
    }
