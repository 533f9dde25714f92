"""Bootstrap confidence intervals of means over images.

Efron 1987, "Better bootstrap confidence intervals" (BCa), as `scipy.stats.bootstrap`
computes it: images are drawn with replacement, the mean taken of each draw, and the
percentiles of those means corrected for bias and skewness. Results on the same images
(model and bicubic, or two models) are compared image by image: the interval of the mean
difference is much narrower than those of the two means, and the one to look at when
asking whether a gain is real.

The intervals show the spread over images, not over training runs, whose spread is
`sample_deviation`. With fewer than about
20 images they are too narrow.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LEVEL = 0.95
RESAMPLES = 10_000
SEED = 0
_CHUNK = 2**22  # values drawn at a time


def bootstrap_interval(
    values: Sequence[float],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[float, float] | None:
    """BCa interval of the mean.

    Args:
      values: one per image; non-finite ones are left out, as in the mean.
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
    from scipy.stats import bootstrap  # half a second, which --help need not wait for

    found = bootstrap(
        (sample,),
        np.mean,
        confidence_level=level,
        n_resamples=resamples,
        batch=max(1, _CHUNK // len(sample)),  # so that memory is bounded
        method="BCa",
        random_state=np.random.default_rng(seed),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def paired_interval(
    values: Sequence[float], others: Sequence[float], **settings: Any
) -> tuple[float, float] | None:
    """BCa interval of the mean of values - others, where both are finite.

    Raises:
      ValueError: the two have different lengths.
    """
    if len(values) != len(others):
        raise ValueError(
            "`values` and `others` must be of the same images. "
            f"Received: {len(values)} and {len(others)}."
        )
    pairs = zip(values, others, strict=True)
    both = [a - b for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
    return bootstrap_interval(both, **settings)


def sample_deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation; None for fewer than two values or infinite ones."""
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return None
    return statistics.stdev(values)


def share_interval(
    values: Sequence[float],
    floor: Sequence[float],
    ceiling: Sequence[float],
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[float, float] | None:
    """BCa interval of (mean values - mean floor) / (mean ceiling - mean floor).

    Args:
      values, floor, ceiling: one for each image, the same images; an image counts
        where all three are finite.
      level, resamples, seed: see `bootstrap_interval`.

    Returns:
      (low, high), or None for fewer than two images, and where the denominator's own
      interval holds 0: the share could then be anything.
    """
    gain = paired_interval(ceiling, floor, level=level, resamples=resamples, seed=seed)
    samples = np.asarray([values, floor, ceiling], np.float64)
    samples = samples[:, np.isfinite(samples).all(axis=0)]
    if gain is None or gain[0] <= 0 <= gain[1] or samples.shape[1] < 2:
        return None
    shares = (samples[0] - samples[1]) / (samples[2] - samples[1])
    if np.ptp(shares) == 0:
        return float(shares[0]), float(shares[0])
    from scipy.stats import bootstrap

    def share(
        values: np.ndarray, floor: np.ndarray, ceiling: np.ndarray, axis: int
    ) -> np.ndarray:
        over = values.mean(axis=axis) - floor.mean(axis=axis)
        return over / (ceiling.mean(axis=axis) - floor.mean(axis=axis))

    found = bootstrap(
        tuple(samples),
        share,
        paired=True,
        vectorized=True,
        confidence_level=level,
        n_resamples=resamples,
        batch=max(1, _CHUNK // samples.shape[1]),
        method="BCa",
        random_state=np.random.default_rng(seed),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def intervals_of(
    model: Mapping[str, Sequence[float]],
    baseline: Mapping[str, Sequence[float]],
    baseline_name: str,
) -> dict[str, Any]:
    """Makes the "interval" of report.json.

    Args:
      model: metric -> one value per image.
      baseline: likewise for the baseline, in the same order; empty without one.
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
