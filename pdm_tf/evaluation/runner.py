"""Runs an upscaler over paired images and scores it, and bicubic beside it.

Images stream: one pair is in memory at a time. A pair that can't be read or compared
is named, counted and left out; the others go on.
"""

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import to_u8
from pdm_tf.core.imresize import imresize
from pdm_tf.core.names import lookup
from pdm_tf.evaluation.bootstrap import intervals_of
from pdm_tf.evaluation.scores import (
    Scores,
    by_metric,
    finite_or_none,
    infinite_counts,
    mean_shift,
    mean_values,
    score_image,
)
from pdm_tf.metrics import METRICS, MetricSpec

Upscaler = Callable[[np.ndarray], np.ndarray]

BASELINE = "bicubic"


class Pair(Protocol):
    """A named pair of images; `pdm_tf.data.pairs.ImagePair` is one."""

    @property
    def name(self) -> str: ...

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        """(hr_u8, lr_u8), both [H, W, 3] uint8."""
        ...


@dataclass(frozen=True)
class ImageRow:
    """Scores of one image.

    Attributes:
      name: of the pair.
      scores: of the model's image.
      baseline: of the bicubic image, None when not asked for.
      seconds: the model took for this image, decoding and scoring left out.
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
    """Everything about one evaluated image, for whoever draws it; all uint8 RGB."""

    row: ImageRow
    lr_u8: np.ndarray
    sr_u8: np.ndarray
    hr_u8: np.ndarray
    bicubic_u8: np.ndarray | None


@dataclass(frozen=True)
class EvaluationResult:
    """Scores of a set of images.

    Attributes:
      rows: one per image that could be scored, in the order of the pairs.
      problems: (name, reason) of each pair that could not.
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


def bicubic_upscaler(scale: int) -> Upscaler:
    """MATLAB's bicubic in float64, rounded once to 8 bit: the baseline of the field."""

    def upscale(lr_u8: np.ndarray) -> np.ndarray:
        return to_u8(imresize(lr_u8.astype(np.float64) / 255.0, scale))

    return upscale


def metric_specs(
    names: Iterable[str], files: Mapping[str, str] | None = None
) -> tuple[MetricSpec, ...]:
    """Names -> entries of METRICS, without repeats; those that need a file, opened.

    Args:
      names: in METRICS.
      files: metric -> path of its weights or parameters.

    Raises:
      UserError: an unknown name (the nearest right one is given), none at all, a metric
        without the file it needs, a file for a metric that is not asked for, or a file
        that does not fit.
    """
    files = dict(files or {})
    specs = [lookup(METRICS, name, "--metrics") for name in dict.fromkeys(names)]
    if not specs:
        raise UserError(
            f"--metrics must name at least one of {', '.join(METRICS)}. Received none."
        )
    for name in files:
        lookup(METRICS, name, "--metric_arg")
        if name not in [spec.name for spec in specs]:
            raise UserError(
                f"--metric_arg must be for one of --metrics. Received: {name}="
                f"{files[name]}, with --metrics={','.join(s.name for s in specs)}."
            )
    for spec in specs:  # before any is opened, which may take seconds
        if spec.opener is not None and spec.name not in files:
            raise UserError(
                f"{spec.name} needs {spec.opener.what}: "
                f"--metric_arg={spec.name}=PATH. Received none."
            )
    return tuple(s.opened(files[s.name]) if s.name in files else s for s in specs)


def evaluate_pair(
    upscale: Upscaler,
    pair: Pair,
    *,
    metrics: Sequence[MetricSpec],
    crop_border: int,
    scale: int,
    baseline: bool = True,
) -> EvaluatedImage:
    """Upscales and scores one pair.

    Raises:
      UserError: it can't be read, its sizes do not fit `scale`, or it is too small.
    """
    hr_u8, lr_u8 = pair.load()
    start = time.perf_counter()
    sr_u8 = upscale(lr_u8)
    seconds = time.perf_counter() - start
    if sr_u8.shape != hr_u8.shape:
        raise UserError(
            f"HR must be {scale} times LR. Received: LR {_size(lr_u8)}, "
            f"SR {_size(sr_u8)}, HR {_size(hr_u8)} (width x height)."
        )
    bicubic_u8 = bicubic_upscaler(scale)(lr_u8) if baseline else None
    row = ImageRow(
        name=pair.name,
        scores=score_image(sr_u8, hr_u8, metrics, crop_border),
        baseline=None
        if bicubic_u8 is None
        else score_image(bicubic_u8, hr_u8, metrics, crop_border),
        seconds=seconds,
    )
    return EvaluatedImage(row, lr_u8, sr_u8, hr_u8, bicubic_u8)


def evaluate_pairs(
    upscale: Upscaler,
    pairs: Sequence[Pair],
    *,
    metrics: Sequence[str] | Sequence[MetricSpec],
    crop_border: int,
    scale: int,
    baseline: bool = True,
    progress: bool = False,
    on_image: Callable[[EvaluatedImage], None] | None = None,
    on_problem: Callable[[str], None] | None = None,
) -> EvaluationResult:
    """Scores an upscaler on every pair.

    Args:
      upscale: lr_u8 [h, w, 3] -> sr_u8 [h * scale, w * scale, 3], both uint8 RGB.
      pairs: what to score it on; loaded one at a time.
      metrics: names in METRICS, or what `metric_specs` made of them.
      crop_border: pixels left out on every side, >= 0.
      scale: HR size / LR size.
      baseline: whether to score bicubic on the same images.
      progress: whether to show a bar on standard error, if that is a terminal.
      on_image: called with each scored image, in order (to draw it, say).
      on_problem: told at once about each pair that is left out.

    Raises:
      UserError: an unknown metric, a negative crop, or no pair that can be scored.
    """
    named = all(isinstance(metric, str) for metric in metrics)
    specs = metric_specs(metrics) if named else tuple(metrics)
    if crop_border < 0:
        raise UserError(f"`crop_border` must be 0 or more. Received: {crop_border}.")
    rows, problems = [], []
    bar = tqdm(
        pairs,
        desc="evaluate",
        unit="image",
        disable=None if progress else True,
        file=sys.stderr,
        dynamic_ncols=True,
    )
    with bar:
        for pair in bar:
            try:
                image = evaluate_pair(
                    upscale,
                    pair,
                    metrics=specs,
                    crop_border=crop_border,
                    scale=scale,
                    baseline=baseline,
                )
            except UserError as error:
                problems.append((pair.name, str(error)))
                if on_problem is not None:
                    on_problem(f"{pair.name}: {error}")
                continue
            rows.append(image.row)
            bar.set_postfix_str(_short(specs[0], image.row))
            if on_image is not None:
                on_image(image)
    if not rows:
        reason = f" The first: {': '.join(problems[0])}" if problems else ""
        raise UserError(f"None of {len(problems)} pairs could be evaluated.{reason}")
    return EvaluationResult(tuple(rows), tuple(problems), specs, crop_border, scale)


def _short(spec: MetricSpec, row: ImageRow) -> str:
    return f"{row.name} {row.scores.values[spec.name]:.{spec.decimals}f} {spec.unit}"


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
