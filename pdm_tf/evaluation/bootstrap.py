"""How sure a mean over images is: bootstrap confidence intervals.

Efron 1987, "Better bootstrap confidence intervals" (BCa): images are drawn with
replacement, the mean taken of each draw, and the percentiles of those means corrected
for bias and skewness. What is compared on the same images (model and bicubic, or two
models) is compared image by image: the interval of the mean difference is much narrower
than those of the two means, and the one to look at when asking whether a gain is real.

It is the spread over images that is measured, not over training runs. Of fewer than
about 20 images the intervals come out too narrow.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

LEVEL = 0.95
RESAMPLES = 10_000
SEED = 0
_CHUNK = 2**22


def bootstrap_interval(
    values: Sequence[float],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[float, float] | None:
    """BCa interval of the mean.

    Args:
      values: one per image; those that are not finite are left out, as of the mean.
      level: probability that the interval holds the true mean.
      resamples: how many draws.
      seed: the same values and seed give the same interval.

    Returns:
      (low, high), or None for fewer than two finite values.
    """
    sample = np.asarray([v for v in values if math.isfinite(v)], np.float64)
    if len(sample) < 2:
        return None
    if np.ptp(sample) == 0:
        return float(sample[0]), float(sample[0])
    means = np.sort(_resampled_means(sample, resamples, seed))
    low, high = (
        _percentile(means, _corrected(sample, means, quantile))
        for quantile in ((1 - level) / 2, (1 + level) / 2)
    )
    return low, high


def paired_interval(
    values: Sequence[float], others: Sequence[float], **settings: Any
) -> tuple[float, float] | None:
    """Interval of the mean of values - others, image by image, where both are finite.

    Raises:
      ValueError: they are not of the same images.
    """
    if len(values) != len(others):
        raise ValueError(
            "`values` and `others` must be of the same images. "
            f"Received: {len(values)} and {len(others)}."
        )
    pairs = zip(values, others, strict=True)
    both = [a - b for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
    return bootstrap_interval(both, **settings)


def intervals_of(
    model: Mapping[str, Sequence[float]],
    baseline: Mapping[str, Sequence[float]],
    baseline_name: str,
) -> dict[str, Any]:
    """The "interval" of report.json.

    Args:
      model: metric -> one value per image.
      baseline: the same of the baseline, in the same order; empty without one.
      baseline_name: its key.

    Returns:
      {"level", "method", "resamples", "seed", "mean": {metric: [low, high] or None},
      "baseline": {name: ...}, "gain": {name: ...}}.
    """
    report: dict[str, Any] = {
        "level": LEVEL,
        "method": "bootstrap over images, BCa",
        "resamples": RESAMPLES,
        "seed": SEED,
        "mean": {name: _pair(bootstrap_interval(v)) for name, v in model.items()},
        "baseline": {},
        "gain": {},
    }
    if baseline:
        report["baseline"][baseline_name] = {
            name: _pair(bootstrap_interval(v)) for name, v in baseline.items()
        }
        report["gain"][baseline_name] = {
            name: _pair(paired_interval(model[name], baseline[name])) for name in model
        }
    return report


def _pair(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _resampled_means(sample: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    count = len(sample)
    rows = max(1, _CHUNK // count)  # at a time, so that memory is bounded
    parts = [
        sample[rng.integers(0, count, (min(rows, resamples - start), count))].mean(1)
        for start in range(0, resamples, rows)
    ]
    return np.concatenate(parts)


def _corrected(sample: np.ndarray, means: np.ndarray, quantile: float) -> float:
    """Efron's a[alpha]: the percentile to take in the place of `quantile`."""
    normal = NormalDist()
    mean = sample.mean()
    # Ties count half. Kept off 0 and 1, where the normal's inverse is infinite.
    below = (np.sum(means < mean) + 0.5 * np.sum(means == mean)) / len(means)
    bias = normal.inv_cdf(min(max(below, 0.5 / len(means)), 1 - 0.5 / len(means)))
    # Of the mean, leaving one image out differs by (x_i - mean) / (n - 1): skewness.
    influence = sample - mean
    skew = np.sum(influence**3) / (6 * np.sum(influence**2) ** 1.5)
    shifted = bias + normal.inv_cdf(quantile)
    return normal.cdf(bias + shifted / (1 - skew * shifted))


def _percentile(means: np.ndarray, quantile: float) -> float:
    return float(np.quantile(means, quantile))
