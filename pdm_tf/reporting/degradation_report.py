"""The report of a run or a bundle: opens, finds its images, writes one HTML file."""

import dataclasses
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pdm_tf import __version__, samples
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import write_text_atomic
from pdm_tf.core.images import list_images
from pdm_tf.core.quiet import quiet_start
from pdm_tf.reporting.about_section import about_section
from pdm_tf.reporting.opening import Subject, open_subject
from pdm_tf.reporting.page import Section, render_page
from pdm_tf.reporting.training_section import last_text, last_value, training_section
from pdm_tf.reporting.verdict import Facts, verdict_on

FILE = "report.html"
_SAMPLES = "the project's sample photographs"


@dataclasses.dataclass(frozen=True)
class ReportRequest:
    """What is to be reported on, with what.

    Attributes:
      model: run folder or bundle.
      real_lr: folder or shards of observed LR photographs; "": those of the run.
      hr_dir: HR photographs to degrade; "": those of the run, else the project's
        sample photographs.
      true_kernels: .npy of [N, K, K] true kernels, or "".
      val_hr_dir, val_lr_dir: pairs to score; "": those of the run, if any.
      weights: of a run: "ema" or "raw".
      output: the HTML file; "": report.html in the run folder, or here.
      sliders: photographs for before and after.
      seed: of what is drawn.
    """

    model: str
    real_lr: str = ""
    hr_dir: str = ""
    true_kernels: str = ""
    val_hr_dir: str = ""
    val_lr_dir: str = ""
    weights: str = "ema"
    output: str = ""
    sliders: int = 4
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Written:
    """What came out.

    Attributes:
      path: of the page.
      headline: the verdict in words.
      left_out: what could not be used, each with its reason.
    """

    path: Path
    headline: str
    left_out: tuple[str, ...]


def write_degradation_report(
    request: ReportRequest, say: Callable[[str], None] = lambda line: None
) -> Written:
    """Makes the page and writes it.

    Args:
      request: what to report on.
      say: told what is being done.

    Raises:
      UserError: no such model, or images that are needed and missing.
    """
    true_kernels = read_kernels(request.true_kernels) if request.true_kernels else None
    _check_places(request)
    say(f"opening {request.model}")
    subject = open_subject(request.model, request.weights)
    with quiet_start():
        from pdm_tf.reporting.sampling import read_photographs

    sources: list[tuple[str, str]] = []
    left_out: list[str] = []

    def photographs(place: str, what: str, shown: str = "") -> Any:
        found = read_photographs(place)
        found = dataclasses.replace(found, place=shown or place)
        sources.append((what, f"{found.place}, {len(found.names)} of {found.count}"))
        left_out.extend(f"{name}: {reason}" for name, reason in found.problems)
        return found

    lr_place = request.real_lr or subject.folder("lr_dir")
    if not lr_place and subject.pdm is None:
        lr_place = request.val_lr_dir or subject.folder("val_lr_dir")
    real_lr = photographs(lr_place, "LR photographs") if lr_place else None
    sections: list[Section] = []
    facts: dict[str, Any] = _facts_of(subject)

    def add(parts: Any) -> None:
        sections.extend(parts.sections)
        facts.update(parts.facts)
        left_out.extend(parts.left_out)

    from pdm_tf.reporting import parts

    if subject.pdm is not None:
        hr_place = request.hr_dir or subject.folder("hr_dir")
        hr = photographs(
            hr_place or str(samples.PHOTOS_FOR_HR),
            "HR photographs, degraded here",
            hr_place or _SAMPLES,
        )
        say("drawing kernels and degrading photographs")
        add(
            parts.degradation_parts(
                subject.pdm, hr, real_lr, true_kernels, request.seed
            )
        )
    if subject.sr is not None:
        _add_sr(request, subject, real_lr, add, say)
    training = training_section(subject.records)
    if training is not None:
        sections.append(training)
    if request.true_kernels:
        sources.append(("true kernels", request.true_kernels))
    sections.append(about_section(subject, sources))
    verdict = verdict_on(Facts(**facts))
    page = render_page(
        f"What \u201c{subject.name}\u201d has learned",
        _subtitle(subject),
        verdict,
        sections,
        _footer(left_out),
    )
    path = Path(request.output) if request.output else _default_output(subject)
    write_text_atomic(path, page)
    return Written(path, verdict.headline, tuple(left_out))


def read_kernels(path: str, flag: str = "true_kernels") -> np.ndarray:
    """[N, K, K] float64 from a .npy file that `flag` names.

    Raises:
      UserError: no such file, or not kernels.
    """
    try:
        kernels = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"--{flag} must be a .npy file. Received: {path} ({error})."
        ) from error
    good = (
        isinstance(kernels, np.ndarray)
        and kernels.ndim == 3
        and len(kernels) > 0
        and kernels.shape[1] == kernels.shape[2]
        and kernels.shape[1] % 2 == 1
        and np.issubdtype(kernels.dtype, np.number)
        and np.all(np.isfinite(kernels))
        and np.all(kernels.sum(axis=(1, 2)) > 0)
    )
    if not good:
        shape = getattr(kernels, "shape", "several arrays")
        raise UserError(
            f"--{flag} must hold kernels [N, K, K] of odd K, finite and of "
            f"positive sums. Received: {path}, {shape}."
        )
    return np.asarray(kernels, np.float64)


def _check_places(request: ReportRequest) -> None:
    """What can be wrong with the folders, before TensorFlow is loaded."""
    if bool(request.val_hr_dir) != bool(request.val_lr_dir):
        raise UserError(
            "--val_hr_dir and --val_lr_dir go together (paired photographs). "
            f"Received: {request.val_hr_dir!r}, {request.val_lr_dir!r}."
        )
    for name in ("real_lr", "hr_dir"):
        place = getattr(request, name)
        if place and not Path(place).exists():
            raise UserError(f"--{name} must exist. Received: {place}.")
    for place in (request.val_hr_dir, request.val_lr_dir):
        if place:
            list_images(place)


def _add_sr(
    request: ReportRequest,
    subject: Subject,
    real_lr: Any,
    add: Callable[[Any], None],
    say: Callable[[str], None],
) -> None:
    from pdm_tf.evaluation.upscale import keras_upscaler
    from pdm_tf.reporting import parts

    scale = subject.sr.scale
    upscale = keras_upscaler(subject.sr.network, scale)
    if real_lr is not None and request.sliders:
        say("upscaling photographs")
        grid = subject.pdm.config.grid if subject.pdm is not None else ""
        add(parts.slider_parts(upscale, scale, real_lr, request.sliders, grid))
    hr_dir = request.val_hr_dir or subject.folder("val_hr_dir")
    lr_dir = request.val_lr_dir or subject.folder("val_lr_dir")
    if hr_dir and lr_dir:
        say("scoring pairs")
        add(parts.score_parts(upscale, scale, hr_dir, lr_dir))


def _facts_of(subject: Subject) -> dict[str, float | str | None]:
    """What the run itself says; scores measured here take precedence."""
    kind = "val_ema" if last_value(subject.records, "val_ema/psnr") else "val"
    return {
        "psnr": last_value(subject.records, f"{kind}/psnr"),
        "psnr_shift": last_value(subject.records, f"{kind}/psnr_shift"),
        "bicubic_psnr": last_value(subject.records, "val/bicubic/psnr"),
        "alarm": last_text(subject.records, "alarm/active"),
    }


def _subtitle(subject: Subject) -> str:
    what = "a learned degradation" if subject.pdm is not None else "an SR network"
    if subject.pdm is not None and subject.sr is not None:
        what = "a learned degradation, and the SR network trained with it"
    return f"{what[0].upper()}{what[1:]}: x{subject.scale}, step {subject.step:,}."


def _footer(left_out: list[str]) -> str:
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    text = f"Made by pdm_tf {__version__} at {now}. This file needs no network."
    if left_out:
        text += f" Left out: {'; '.join(left_out)}."
    return text


def _default_output(subject: Subject) -> Path:
    return (subject.run_dir or Path()) / FILE
