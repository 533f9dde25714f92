"""What an evaluation found: scores per image, means, and the content of report.json."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pdm_tf.evaluation.bootstrap import intervals_of
from pdm_tf.evaluation.scores import (
    Scores,
    by_metric,
    finite_or_none,
    infinite_counts,
    mean_shift,
    mean_values,
)
from pdm_tf.metrics import MetricSpec

BASELINE = "bicubic"


@dataclass(frozen=True)
class ImageRow:
    """Scores of one image.

    Attributes:
      name: of the image.
      scores: of the model's image.
      baseline: of the bicubic image; None when not asked for, or without LR image.
      seconds: the model took for this image, decoding and scoring left out; for a
        finished picture, what reading it took.
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
    """Everything about one evaluated image, for whoever draws it; all uint8 RGB.

    What the set does not have is None; bicubic needs the LR image.
    """

    row: ImageRow
    lr_u8: np.ndarray | None
    sr_u8: np.ndarray
    hr_u8: np.ndarray | None
    bicubic_u8: np.ndarray | None


@dataclass(frozen=True)
class EvaluationResult:
    """Scores of a set of images.

    Attributes:
      rows: one per image that could be scored, in the order of the set.
      problems: (name, reason) of each that could not.
      metrics: the metrics applied, in order.
      crop_border: pixels left out on every side.
      scale: SR size / LR size.
    """

    rows: tuple[ImageRow, ...]
    problems: tuple[tuple[str, str], ...]
    metrics: tuple[MetricSpec, ...]
    crop_border: int
    scale: int

    @property
    def scores(self) -> list[Scores]:
        """Scores of the model, one per image."""
        return [row.scores for row in self.rows]

    @property
    def baseline_scores(self) -> list[Scores]:
        """Scores of bicubic, empty when it was not asked for."""
        return [row.baseline for row in self.rows if row.baseline is not None]

    @property
    def mean(self) -> dict[str, float]:
        """Metric -> mean over the images with a finite value; infinite if none."""
        return mean_values(self.scores)

    @property
    def baseline_mean(self) -> dict[str, float]:
        """The same of bicubic; empty when it was not asked for."""
        return mean_values(self.baseline_scores)

    def to_report(self, model: str = "") -> dict[str, Any]:
        """The content of report.json; infinite values as `scores.py` says.

        Args:
          model: what was evaluated, as a person would name it.
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
