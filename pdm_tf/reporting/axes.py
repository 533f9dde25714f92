"""Axes of charts: round ticks, linear and logarithmic places, labels of numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pdm_tf.core.numbers import number

__all__ = ["Axis", "axis_for", "number", "round_step"]


@dataclass(frozen=True)
class Axis:
    """Values along one side of a chart.

    Attributes:
      low, high: range of the values; low < high, both positive when logarithmic.
      ticks: values with a line and a label, rising, within the range.
      logarithmic: whether equal factors are equal lengths.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value lies: 0 at `low`, 1 at `high`."""
        if self.logarithmic:
            value = math.log(max(value, 1e-300))
            low, high = math.log(self.low), math.log(self.high)
            return (value - low) / (high - low)
        return (value - self.low) / (self.high - self.low)


def axis_for(
    values: Sequence[float],
    *,
    zero: bool = False,
    logarithmic: bool = False,
    count: int = 5,
    tight: bool = False,
) -> Axis:
    """The axis on which finite `values` fill the chart.

    Args:
      values: what is to be seen; others than finite ones are ignored, and those that
        are not positive on a logarithmic axis.
      zero: whether 0 must be on it (linear axes).
      logarithmic: see `Axis`.
      count: about how many ticks.
      tight: whether it ends at the values rather than at round numbers.
    """
    finite = [v for v in values if math.isfinite(v) and (v > 0 or not logarithmic)]
    if logarithmic:
        return _logarithmic(finite or [0.1, 1.0])
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-12):
        pad = abs(low) * 0.05 or 0.5
        low, high = low - pad, high + pad
        if zero and low < 0 <= min(finite or [0.0]):
            low = 0.0
    step = round_step((high - low) / count)
    if not tight:
        low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = tuple(i * step for i in range(first, last + 1))
    return Axis(low, high, ticks)


def round_step(step: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    for factor in (1, 2, 5, 10):
        if factor * power >= step * (1 - 1e-9):
            return factor * power
    raise AssertionError(step)  # 10 * power exceeds any step


def _logarithmic(values: Sequence[float]) -> Axis:
    low = math.floor(math.log10(min(values)) + 1e-9)
    high = math.ceil(math.log10(max(values)) - 1e-9)
    if low == high:
        low, high = low - 1, high + 1
    every = -(-(high - low) // 6)
    if high - low > 1:
        ticks = [10.0**p for p in range(low, high + 1, every)]
    else:
        ticks = [m * 10.0**low for m in (1, 2, 5, 10)]
    return Axis(10.0**low, 10.0**high, tuple(ticks), logarithmic=True)
