"""Whether numbers fall into two groups rather than one, as those of two sources do."""

import dataclasses
from collections.abc import Sequence

import numpy as np

_LEAST = 12
_LEAST_GROUP, _LEAST_SHARE = 3, 0.125
# Separation of the groups, in their own standard deviation, that one group of numbers
# reaches in less than 1 of 100 cases, be they normal, uniform, log-normal or Student's
# t with 3 degrees of freedom: 7 for 12 numbers, 5.3 for 40, 4.8 for 100.
_SEPARATION, _FOR_FEW = 4.5, 30.0


@dataclasses.dataclass(frozen=True)
class TwoGroups:
    """A split of numbers.

    Attributes:
      low, high: indices of the smaller numbers and of the larger ones.
      means: of both.
    """

    low: tuple[int, ...]
    high: tuple[int, ...]
    means: tuple[float, float]


def two_groups(values: Sequence[float], least_apart: float = 0.0) -> TwoGroups | None:
    """Splits numbers where the groups lie furthest apart for their width.

    Args:
      values: the numbers.
      least_apart: distance of the means below which groups do not matter.

    Returns:
      None where they may be one group: fewer than 12 numbers, less than an eighth of
      them (or three) in the smaller group, or groups that overlap.
    """
    x = np.asarray(values, np.float64)
    n = len(x)
    if n < _LEAST:
        return None
    order = np.argsort(x, kind="stable")
    ordered = x[order]
    least = max(_LEAST_GROUP, int(np.ceil(n * _LEAST_SHARE)))
    best, at = 0.0, 0
    for k in range(least, n - least + 1):
        low, high = ordered[:k], ordered[k:]
        spread = np.sqrt((k * low.var() + (n - k) * high.var()) / (n - 2))
        apart = (high.mean() - low.mean()) / max(spread, 1e-9)
        if apart > best:
            best, at = apart, k
    if best < _SEPARATION + _FOR_FEW / n:
        return None
    means = float(ordered[:at].mean()), float(ordered[at:].mean())
    if means[1] - means[0] <= least_apart:
        return None
    low, high = (tuple(sorted(part.tolist())) for part in (order[:at], order[at:]))
    return TwoGroups(low, high, means)
