"""Scores of one image and of a set: the numbers, their means, their JSON.

Infinite PSNR (an image identical to its reference) has no place in JSON and would
drown a mean. The rule, here and in every report: such a value is written as null and
named in the image's "infinite" list; the mean is over the finite values and its entry
in "infinite" counts those left out; the mean is null only when no finite value is left.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pdm_tf.metrics import MetricSpec
from pdm_tf.metrics.arrays import crop_border as cropped


@dataclass(frozen=True)
class Scores:
    """What the metrics say about one SR image.

    Attributes:
      values: metric name -> value; PSNRs may be infinite.
      details: what metrics found besides, JSON-ready, e.g. {"shift": [dy, dx]}.
    """

    values: Mapping[str, float]
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Values and details in one dict, infinite ones as null and named."""
        out: dict[str, Any] = {k: finite_or_none(v) for k, v in self.values.items()}
        out.update(self.details)
        infinite = [k for k, v in self.values.items() if math.isinf(v)]
        if infinite:
            out["infinite"] = infinite
        return out


def score_image(
    sr_u8: np.ndarray,
    hr_u8: np.ndarray | None,
    metrics: Sequence[MetricSpec],
    crop_border: int,
) -> Scores:
    """Crops the borders of both images and applies every metric.

    Args:
      sr_u8: [H, W, 3] uint8.
      hr_u8: the reference, same shape; None if all metrics do without.
      metrics: from METRICS.
      crop_border: pixels left out on every side, >= 0.

    Raises:
      UserError: images that can't be compared, or too small for the crop or a metric.
    """
    sr_u8 = cropped(sr_u8, crop_border)
    hr_u8 = None if hr_u8 is None else cropped(hr_u8, crop_border)
    values, details = {}, {}
    for spec in metrics:
        values[spec.name], found = spec.measure(sr_u8, hr_u8)
        details.update(found)
    return Scores(values, details)


def finite_or_none(value: float) -> float | None:
    """The value, or None where JSON has no number for it."""
    return float(value) if math.isfinite(value) else None


def mean_values(scores: Iterable[Scores]) -> dict[str, float]:
    """Metric -> mean over the images where it is finite; infinite if none is."""
    scores = list(scores)
    out = {}
    for name in scores[0].values if scores else ():
        finite = [s.values[name] for s in scores if not math.isinf(s.values[name])]
        out[name] = float(np.mean(finite)) if finite else math.inf
    return out


def by_metric(scores: Iterable[Scores]) -> dict[str, list[float]]:
    """Metric -> its value for each image, in order."""
    out: dict[str, list[float]] = {}
    for score in scores:
        for name, value in score.values.items():
            out.setdefault(name, []).append(value)
    return out


def infinite_counts(scores: Iterable[Scores]) -> dict[str, int]:
    """Metric -> number of images where it is infinite; only metrics with any."""
    counts: dict[str, int] = {}
    for score in scores:
        for name, value in score.values.items():
            if math.isinf(value):
                counts[name] = counts.get(name, 0) + 1
    return counts


def mean_shift(scores: Iterable[Scores]) -> list[float] | None:
    """Mean [dy, dx] of the best shifts in HR pixels, or None if nobody looked."""
    shifts = [s.details["shift"] for s in scores if "shift" in s.details]
    return [float(v) for v in np.mean(shifts, axis=0)] if shifts else None
