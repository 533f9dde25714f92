"""One evaluation from its settings to its files; `evaluate` and `compare` call it."""

import dataclasses
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_tf import __version__
from pdm_tf.cli.flags_evaluate import EvaluateConfig
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import read_json, write_text_atomic
from pdm_tf.core.images import write_png
from pdm_tf.core.quiet import quiet_start
from pdm_tf.evaluation import report as reports
from pdm_tf.evaluation.crops import CropWriter
from pdm_tf.evaluation.image_set import (
    ImageSet,
    check_folders,
    open_set,
    set_of_names,
)
from pdm_tf.evaluation.panels import PanelWriter
from pdm_tf.evaluation.results import BASELINE
from pdm_tf.evaluation.runner import evaluate_images, metric_specs
from pdm_tf.evaluation.subjects import Subject, SubjectRequest, open_subject
from pdm_tf.evaluation.subjects.pictures import PictureSubject
from pdm_tf.metrics import MetricSpec
from pdm_tf.reporting.evaluation_page import FILE, evaluation_page
from pdm_tf.reporting.exhibits import Extremes

if TYPE_CHECKING:
    from pdm_tf.reporting.degradation_numbers import MeasuredDegradation

KERNELS = "kernels.png"
# Settings that do not change what is measured.
_COSMETIC = ("output_dir", "panels", "examples", "crops", "tile", "overlap")


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """What came out.

    Attributes:
      report: content of report.json.
      path: of report.json.
      panels: pictures drawn.
      reused: whether it was there already.
    """

    report: dict[str, Any]
    path: Path
    panels: tuple[Path, ...] = ()
    reused: bool = False


def run_evaluation(
    config: EvaluateConfig, warn: Callable[[str], None], *, reuse: bool = False
) -> Evaluated:
    """Evaluates, and writes reports and pictures.

    Args:
      config: what, on what, how.
      warn: told at once what is left out.
      reuse: whether a report of the same settings and model in the output folder is
        taken as it is.

    Raises:
      UserError: a request that cannot be met; most are found before an image is read.
    """
    check_folders([place for place in (config.hr_dir, config.lr_dir) if place])
    kernels = _read_kernels(config)
    with quiet_start():  # LPIPS loads TensorFlow
        metrics = metric_specs(config.metric_names, config.metric_files)
    _check_references(metrics, config)
    output = _made(Path(config.output_dir))
    subject = open_subject(_request_of(config))
    if subject.needs_lr and not config.lr_dir:
        raise UserError(
            f"--lr_dir is required: {subject.name} makes its pictures from LR images. "
            "Received nothing."
        )
    settings = _settings(config, subject, metrics)
    if reuse and (done := _finished(output, settings)) is not None:
        return done
    images = _open_images(config, subject)
    measured = _degradation(config, kernels)
    problems = [*images.problems, *subject.unused(item.name for item in images.items)]
    for name, reason in problems:
        warn(f"{name}: {reason}")

    panels = PanelWriter(output / "panels", config.panels, label=subject.label)
    crops = CropWriter(output, config.crops)
    extremes = Extremes(metrics[0], config.examples, label=subject.label)
    result = evaluate_images(
        subject.picture,
        images.items,
        metrics=metrics,
        crop_border=subject.scale if config.crop_border < 0 else config.crop_border,
        scale=subject.scale,
        baseline=subject.name != BASELINE,
        progress=True,
        on_image=lambda image: [f(image) for f in (panels, crops, extremes)],
        on_problem=warn,
    )
    crops.finish()
    report = result.to_report(subject.name)
    if subject.name == BASELINE:
        report["baseline"] = {BASELINE: report["mean"]}
        report["interval"]["baseline"] = {BASELINE: report["interval"]["mean"]}
    report["problems"] = [
        *({"name": name, "reason": reason} for name, reason in problems),
        *report["problems"],
    ]
    report |= {
        "model_facts": dict(subject.facts),
        "set": {"hr": config.hr_dir, "lr": config.lr_dir},
        **(measured.numbers if measured else {}),
        "settings": settings,
        "pdm_tf": __version__,
    }
    if measured:
        write_png(output / KERNELS, measured.kernels)
    else:
        (output / KERNELS).unlink(missing_ok=True)  # of an evaluation before
    page = evaluation_page(report, extremes.worst(), extremes.best(), made_by())
    write_text_atomic(output / FILE, page)
    return Evaluated(
        report, reports.write_report(report, output), tuple(panels.written)
    )


def made_by() -> str:
    """A page's footer: version and time."""
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return f"Made by pdm_tf {__version__} at {now}. This file needs no network."


def _request_of(config: EvaluateConfig) -> SubjectRequest:
    names = [field.name for field in dataclasses.fields(SubjectRequest)]
    values = {name: getattr(config, name) for name in names if name != "location"}
    return SubjectRequest(config.model, **values)


def _check_references(metrics: tuple[MetricSpec, ...], config: EvaluateConfig) -> None:
    needing = [spec.name for spec in metrics if spec.needs_reference]
    if needing and not config.hr_dir:
        raise UserError(
            f"--hr_dir is required for {', '.join(needing)}, which compare with HR "
            "images; without it, leave them out of --metrics (niqe needs none). "
            "Received no --hr_dir."
        )


def _open_images(config: EvaluateConfig, subject: Subject) -> ImageSet:
    if config.hr_dir or config.lr_dir:
        return open_set(config.hr_dir, config.lr_dir, subject.scale, config.max_images)
    assert isinstance(subject, PictureSubject)  # others need LR images
    return set_of_names(subject.pictures.stems, config.max_images)


def _read_kernels(config: EvaluateConfig) -> dict[str, Any]:
    """Flag -> the kernels that it names; read before any work is done."""
    from pdm_tf.reporting.degradation_report import read_kernels

    paths = {"true_kernels": config.true_kernels, "pair_kernels": config.pair_kernels}
    return {flag: read_kernels(path, flag) for flag, path in paths.items() if path}


def _degradation(
    config: EvaluateConfig, kernels: dict[str, Any]
) -> "MeasuredDegradation | None":
    """The model's learned degradation, where it is asked for."""
    if not (kernels or config.real_lr):
        return None
    from pdm_tf.reporting.degradation_numbers import degradation_numbers

    return degradation_numbers(config, **kernels)


def _settings(
    config: EvaluateConfig, subject: Subject, metrics: tuple[MetricSpec, ...]
) -> dict[str, Any]:
    """What decides the numbers, JSON-ready."""
    values = dataclasses.asdict(config)
    kept = {name: value for name, value in values.items() if name not in _COSMETIC}
    kept |= {
        "metrics": [f"{spec.name} {spec.source}".strip() for spec in metrics],
        "metric_arg": list(config.metric_arg),
        "model_sha256": subject.facts.get("sha256", ""),
    }
    return kept


def _finished(output: Path, settings: dict[str, Any]) -> Evaluated | None:
    path = output / "report.json"
    if not path.is_file():
        return None
    report = read_json(path)
    if report.get("settings") != settings or report["pdm_tf"] != __version__:
        return None
    return Evaluated(report, path, reused=True)


def _made(folder: Path) -> Path:
    """Makes the output folder now: not after minutes of work."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--output_dir must be a folder that can be written. Received: {folder} "
            f"({error.strerror})."
        ) from error
    return folder
