"""Results of an evaluation: scores per image, means, and the content of report.json.

Infinite PSNR (an image identical to its reference) has no place in JSON and would
drown a mean. The rule, here and in every report: such a value is written as null and
named in the image's "infinite" list; the mean is over the finite values and its entry
in "infinite" counts those left out; the mean is null only when no finite value is left.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from pdm_tf.core.geometry import ASSUMED_GRID
from pdm_tf.data.pair_check import displacement
from pdm_tf.evaluation.bootstrap import intervals_of
from pdm_tf.metrics import MetricSpec
from pdm_tf.metrics.base import crop_border as cropped

BASELINE = "bicubic"


class Item(Protocol):
    """One image of a set; `pdm_tf.data.pairs.ImagePair` is an example."""

    @property
    def name(self) -> str: ...

    def load(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(hr_u8, lr_u8), both [H, W, 3] uint8; None for one that the set lacks."""
        ...


@dataclass(frozen=True)
class Scores:
    """The metrics' values for one SR image.

    Attributes:
      values: metric name -> value; PSNRs may be infinite.
      details: further findings of metrics, JSON-ready, e.g. {"shift": [dy, dx]}.
    """

    values: Mapping[str, float]
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns values and details in one dict, infinite ones as null and named."""
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


@dataclass(frozen=True)
class ImageRow:
    """Scores of one image.

    Attributes:
      name: of the image.
      scores: of the model's image.
      baseline: of the bicubic image; None if not requested, or without LR image.
      seconds: the model's time for this image, without decoding and scoring; for a
        finished picture, the time to read it.
    """

    name: str
    scores: Scores
    baseline: Scores | None
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """{"name", metric: value, ..., "shift", "bicubic": {...}, "seconds"}."""
        out = {"name": self.name, **self.scores.to_json()}
        if self.baseline is not None:
            out[BASELINE] = self.baseline.to_json()
        return {**out, "seconds": round(self.seconds, 4)}


@dataclass(frozen=True)
class EvaluatedImage:
    """Everything about one evaluated image, for drawing; all uint8 RGB.

    Images that the set does not have are None; bicubic needs the LR image.
    """

    row: ImageRow
    lr_u8: np.ndarray | None
    sr_u8: np.ndarray
    hr_u8: np.ndarray | None
    bicubic_u8: np.ndarray | None

    @property
    def displacement(self) -> tuple[float, float] | None:
        """Where its LR image lies, see `data.pair_check`; None: nothing can be told."""
        if self.lr_u8 is None or self.hr_u8 is None:
            return None
        return displacement(self.hr_u8, self.lr_u8)


@dataclass(frozen=True)
class EvaluationResult:
    """Scores of a set of images.

    Attributes:
      rows: one per image that could be scored, in the order of the set.
      problems: (name, reason) of each that could not be scored.
      metrics: the metrics applied, in order.
      crop_border: pixels left out on every side.
      scale: SR size / LR size.
      grid: that bicubic put LR pixels on.
    """

    rows: tuple[ImageRow, ...]
    problems: tuple[tuple[str, str], ...]
    metrics: tuple[MetricSpec, ...]
    crop_border: int
    scale: int
    grid: str = ASSUMED_GRID

    @property
    def scores(self) -> list[Scores]:
        """Scores of the model, one per image."""
        return [row.scores for row in self.rows]

    @property
    def baseline_scores(self) -> list[Scores]:
        """Scores of bicubic, empty if it was not requested."""
        return [row.baseline for row in self.rows if row.baseline is not None]

    @property
    def mean(self) -> dict[str, float]:
        """Returns metric -> mean over images with a finite value; infinite if none."""
        return mean_values(self.scores)

    @property
    def baseline_mean(self) -> dict[str, float]:
        """Returns the means of bicubic; empty if it was not requested."""
        return mean_values(self.baseline_scores)

    def to_report(self, model: str = "") -> dict[str, Any]:
        """Makes the content of report.json; infinite values as in the header.

        Args:
          model: the evaluated model, in words.
        """
        mean, baseline = self.mean, self.baseline_mean
        report: dict[str, Any] = {
            "model": model,
            "scale": self.scale,
            "crop_border": self.crop_border,
            "count": len(self.rows),
            "metrics": {
                spec.name: {
                    "unit": spec.unit,
                    "higher_is_better": spec.higher_is_better,
                    "decimals": spec.decimals,
                    **({"source": spec.source} if spec.source else {}),
                }
                for spec in self.metrics
            },
            "mean": {name: finite_or_none(value) for name, value in mean.items()},
            "baseline": {},
            "gain": {},
            "images": [row.to_json() for row in self.rows],
            "problems": [{"name": n, "reason": reason} for n, reason in self.problems],
        }
        if baseline:
            report["baseline_grid"] = self.grid
            report["baseline"][BASELINE] = {
                name: finite_or_none(value) for name, value in baseline.items()
            }
            report["gain"][BASELINE] = {
                name: finite_or_none(mean[name] - baseline[name])
                if math.isfinite(mean[name])
                else None
                for name in baseline
            }
        report["interval"] = intervals_of(
            by_metric(self.scores), by_metric(self.baseline_scores), BASELINE
        )
        shift = mean_shift(self.scores)
        if shift is not None:
            report["mean_shift"] = shift
            if "psnr" in mean and math.isfinite(mean["psnr_shift"] + mean["psnr"]):
                report["shift_gap"] = mean["psnr_shift"] - mean["psnr"]
        infinite = {
            "model": infinite_counts(self.scores),
            BASELINE: infinite_counts(self.baseline_scores),
        }
        if any(infinite.values()):
            report["infinite"] = infinite
        return report


def finite_or_none(value: float) -> float | None:
    """Returns the value, or None if JSON has no number for it."""
    return float(value) if math.isfinite(value) else None


def mean_values(scores: Iterable[Scores]) -> dict[str, float]:
    """Returns metric -> mean over images where it is finite; infinite if none is."""
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
    """Returns the mean [dy, dx] of the best shifts in HR pixels; None without any."""
    shifts = [s.details["shift"] for s in scores if "shift" in s.details]
    return [float(v) for v in np.mean(shifts, axis=0)] if shifts else None
