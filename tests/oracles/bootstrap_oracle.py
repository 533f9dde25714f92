"""BCa intervals as Efron & Tibshirani 1993 (ch. 14) write them, with loops.

The resampled means are given, so that two implementations can agree to rounding.
"""

import math
from statistics import NormalDist

import numpy as np


def bca(values, means, level):
    """(low, high): percentiles of `means`, corrected by z0 and by the jackknife's a."""
    normal = NormalDist()
    count = len(values)
    mean = math.fsum(values) / count
    below = sum(1 if m < mean else 0.5 if m == mean else 0 for m in means)
    z0 = normal.inv_cdf(below / len(means))
    left_out = [
        (math.fsum(values) - value) / (count - 1) for value in values
    ]  # means without one value
    centre = math.fsum(left_out) / count
    cubes = math.fsum((centre - m) ** 3 for m in left_out)
    squares = math.fsum((centre - m) ** 2 for m in left_out)
    a = cubes / (6 * squares**1.5)
    ends = []
    for alpha in ((1 - level) / 2, (1 + level) / 2):
        z = z0 + normal.inv_cdf(alpha)
        ends.append(np.quantile(means, normal.cdf(z0 + z / (1 - a * z))))
    return tuple(ends)
