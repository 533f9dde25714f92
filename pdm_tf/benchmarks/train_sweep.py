"""Measures how the time of our step grows with the batch, the kernel, or the patch.

All sizes take turns in one run, so that a change of the machine's speed does not look
like a change with size. The exponent is the slope of log time over log size: 1 is time
in proportion; below 1 there is a part that does not grow.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pdm_tf.benchmarks import train_sides
from pdm_tf.benchmarks.measuring import Summary, alternate, peak_mb, summary
from pdm_tf.benchmarks.sides import (
    aligned_table,
    format_ms,
    format_range,
    format_value,
)
from pdm_tf.core.errors import UserError
from pdm_tf.train_config import TrainConfig

_WARM_UP = 2  # steps of each size before the first round
_SIDE_OF = {"float32": "tensorflow", "bfloat16": "tensorflow_bfloat16"}


def _batch(training: TrainConfig, size: int) -> TrainConfig:
    return dataclasses.replace(training, batch_size=size)


def _kernel(training: TrainConfig, size: int) -> TrainConfig:
    kernel_arg = (*training.kernel_arg, f"kernel_size={size}")
    return dataclasses.replace(training, kernel_arg=kernel_arg)


def _patch(training: TrainConfig, size: int) -> TrainConfig:
    if size % training.scale:
        raise UserError(
            "--sweep_sizes of HR patches must be multiples of --scale. "
            f"Received: {size}, {training.scale}."
        )
    return dataclasses.replace(training, lr_patch=size // training.scale)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A varied setting.

    Attributes:
      sizes: to take when none are given.
      changed: (training, size) -> training.
      unit: of the amount that the time is compared with.
    """

    sizes: tuple[int, ...]
    changed: Callable[[TrainConfig, int], TrainConfig]
    unit: str = "HR pixels"


SWEEPS = {
    "batch": Sweep((4, 8, 16, 32), _batch),
    "kernel": Sweep((11, 15, 21, 25, 31), _kernel, "kernel taps"),
    "patch": Sweep((96, 128, 192, 256), _patch),
}


def measure(
    training: TrainConfig,
    kind: str,
    sizes: Sequence[int],
    *,
    precisions: Sequence[str],
    rounds: int,
    calls: int,
    memory: bool,
    threads: int,
) -> dict[str, Any]:
    """Measures all sizes.

    Args:
      training: the step, but for its size.
      kind: of `SWEEPS`.
      sizes: empty: those of the sweep.
      precisions: "float32", "bfloat16" or both.
      rounds, calls: as of `alternate`.
      memory: also measure peak memory.
      threads: of TensorFlow where memory is measured; 0 leaves it to the library.

    Returns:
      "unit", and "sweep": precision -> exponent and sizes.

    Raises:
      UserError: an impossible size.
    """
    sweep = SWEEPS[kind]
    sizes = sizes or sweep.sizes
    changed = {size: sweep.changed(training, size) for size in sizes}
    amounts = {size: amount(kind, changed[size]) for size in sizes}
    sides, peaks = {}, {}
    for precision in precisions:
        for size in sizes:
            print(f"warming up {precision}, {kind} {size}", flush=True)
            step_of = dataclasses.replace(changed[size], mixed_precision=precision)
            method = train_sides.build_method(step_of)
            images = train_sides.random_images(
                method.patches, step_of.batch_size, training.seed
            )
            step = train_sides.our_step(method, step_of, images)
            for _ in range(_WARM_UP):
                step()
            sides[precision, size] = step

    def on_round(index: int, seconds: Mapping[Any, float]) -> None:
        times = ", ".join(f"{size} {seconds[p, size] * 1e3:.0f}" for p, size in sides)
        print(f"round {index + 1}/{rounds}, ms: {times}", flush=True)

    seconds = alternate(sides, rounds=rounds, calls=calls, on_round=on_round)
    if memory:
        print("measuring memory", flush=True)
        for precision, size in sides:
            step_of = dataclasses.replace(changed[size], mixed_precision=precision)
            peaks[precision, size] = peak_mb(
                train_sides.run_alone, _SIDE_OF[precision], step_of, threads
            )
    return {
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
                        "peak_mb": peaks.get((precision, size)),
                    }
                    for size in sizes
                ],
            }
            for precision in precisions
        },
    }


def amount(kind: str, training: TrainConfig) -> int:
    """Returns the size in units that time may be in proportion to."""
    if kind == "kernel":
        return int(training.kernel_arg[-1].partition("=")[2]) ** 2
    return training.batch_size * (training.lr_patch * training.scale) ** 2


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
        f"our step of {config['method']}, --preset={config['preset']}, by "
        f"{config['sweep']}; medians of {config['rounds']} rounds (least to most)"
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
                format_ms(entry["ms"]),
                f"{1e3 * entry['ms']['median'] / entry['amount']:.3g}",
                format_value(entry["peak_mb"]),
            )
            for entry in found["sizes"]
        ]
        power = format_range(found["exponent"])
        lines += [*aligned_table([heads, *rows]), f"time ~ ({unit}) ^ {power}"]
    return "\n".join(lines)
