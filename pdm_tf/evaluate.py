"""Scores an SR model, or its pictures, on a set: `python -m pdm_tf.evaluate --help`."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pdm_tf import __version__
from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import check_flags, check_seed, named_paths
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import made_folder, write_text_atomic
from pdm_tf.core.images import write_png
from pdm_tf.core.pair_names import PairRules, check_template
from pdm_tf.core.quiet import quiet_start
from pdm_tf.core.stored import read_json
from pdm_tf.data.inventory import converted
from pdm_tf.data.pair_check import displaced
from pdm_tf.evaluation.baseline import baseline_grid
from pdm_tf.evaluation.image_set import (
    ImageSet,
    check_folders,
    open_set,
    set_of_names,
)
from pdm_tf.evaluation.opened_run import (
    MeasuredDegradation,
    measure_run,
    read_kernels,
)
from pdm_tf.evaluation.panels import (
    SAVED,
    CropWriter,
    Extremes,
    ImageSaver,
    PanelWriter,
)
from pdm_tf.evaluation.results import BASELINE, EvaluatedImage
from pdm_tf.evaluation.runner import (
    check_references,
    evaluate_images,
    metric_specs,
    tell_left_out,
)
from pdm_tf.evaluation.subjects import Subject, SubjectRequest, open_subject
from pdm_tf.evaluation.subjects.pictures import PictureSubject
from pdm_tf.reporting.evaluation import (
    FILE,
    evaluation_page,
    terminal_text,
    write_report,
)
from pdm_tf.reporting.kernel_section import kernel_comparison
from pdm_tf.reporting.page import made_by

# The metrics of `--metrics=auto`.
WITH_REFERENCE = ("psnr", "ssim", "psnr_shift")
WITHOUT_REFERENCE = ("niqe",)


@dataclass(frozen=True)
class EvaluateConfig:
    """The request to `evaluate`; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a number is out of range.
    """

    model: str = flag(
        "",
        "A run folder of pdm_tf.train; a bundle (a folder with bundle.json); "
        "an ONNX file, or the folder that python -m export wrote; a SavedModel (the "
        "newest of numbered versions); a folder of finished SR pictures, named like "
        "the images; or the word bicubic for the baseline alone. Required.",
        section="What",
        required=True,
    )
    weights: Literal["ema", "raw"] = flag(
        "ema", "Weights of a run folder: the averaged (ema) or the last (raw)."
    )
    hr_dir: str = flag(
        "",
        "Folder of HR images, searched recursively, or shards. Empty: only "
        "metrics that need no reference (niqe).",
    )
    lr_dir: str = flag(
        "",
        "Folder of LR images, matched to the HR images by file name; an LR "
        "name may end in x4, x4m or the like. Finished pictures do not need it, but "
        "without it bicubic is not scored.",
    )
    hr_name: str = flag(
        "",
        "How the HR images are named, without suffix, where it is not by the usual "
        "endings: {stem}_sharp, with --lr_name={stem}_camera.",
    )
    lr_name: str = flag(
        "",
        "How the LR images are named; {stem} is the HR image's name, or what --hr_name "
        "leaves of it.",
    )
    picture_name: str = flag(
        "",
        "How finished pictures of --model are named; {stem} is the name of their "
        "image, as the results have it.",
    )
    accept_folders: bool = flag(
        False, "Also score pairs that seem to show different scenes."
    )
    scale: int = flag(
        0,
        "HR size / LR size, for bicubic and for pictures; 0 takes it from the "
        "model or from the images.",
        at_least=0,
    )
    max_images: int = flag(
        0, "Evaluate at most this many images; 0 takes all.", at_least=0
    )
    metrics: str = flag(
        "auto",
        "Metrics, separated by commas; auto is psnr,ssim,psnr_shift with HR "
        "images and niqe without. psnr (dB, RGB together), ssim; "
        "psnr_shift (best psnr over displacements of up to 6 px, which forgives a "
        "misaligned result); psnr_y, ssim_y (the Y channel alone); psnr_ntire2018, "
        "ssim_ntire2018 (that challenge's shift search, images of 160 px or more) and "
        "the same with _release (as the PDM release computes them, mistake included); "
        "lpips_alex, lpips_vgg, lpips_squeeze (learned, lower is better); niqe (no "
        "reference, lower is better). The last four need a --metric_arg.",
        section="Scores",
    )
    metric_arg: tuple[str, ...] = flag(
        (),
        "NAME=PATH: the weights or parameters of a metric. For lpips_alex, lpips_vgg "
        "and lpips_squeeze a bundle with backbone and heads, for niqe the .npz file "
        "that pdm_tf.fit_niqe makes.",
    )
    crop_border: int = flag(
        -1,
        "Pixels left out on every side of the HR and SR images before "
        "scoring; -1 takes the scale, the custom of the field.",
    )
    true_kernels: str = flag(
        "",
        "The true blur kernels [N, K, K] in a .npy file, to compare "
        "the learned ones with.",
        section="Learned degradation (of a run with one; measured as pdm_tf.report "
        "does; what a network does not have, as kernels, is null in report.json, with "
        "the reason)",
    )
    pair_kernels: str = flag(
        "",
        "The true kernel of each pair of --hr_dir and --lr_dir, by the "
        "order of their names, likewise: the difference of an LR image from its "
        "blurred HR image is the true noise, to compare the learned one with.",
    )
    real_lr: str = flag(
        "",
        "Photographs with the real degradation (a folder or shards), to "
        "compare synthesised ones with.",
    )
    seed: int = flag(
        0, "Seed of the kernels and patches that are drawn for these.", at_least=0
    )
    output: str = flag(
        "",
        "Folder for report.json, report.csv, report.md, report.html, "
        "panels/*.png, crops/*.png and, with a learned degradation, kernels.png; made "
        "if missing, its files of those names replaced. Required.",
        section="Output",
        required=True,
    )
    panels: int = flag(
        4,
        "How many of the first images to draw side by side; -1 draws all.",
        at_least=-1,
    )
    examples: int = flag(
        3,
        "How many of the best and of the worst images, by the first metric, to show in "
        "report.html.",
        at_least=0,
    )
    crops: int = flag(
        -1,
        "How many of the first images to keep a small crop of, for pdm_tf.compare; -1 "
        "keeps all.",
        at_least=-1,
    )
    save_images: bool = flag(
        False,
        "Also keep every SR picture, whole, as images/NAME.png in the output folder; "
        "that folder is a --model too, for further metrics without the network.",
    )
    tile: int = flag(
        448,
        "LR images of more than TILE x TILE pixels are upscaled in tiles of "
        "that side; 0 never cuts.",
        section="Memory",
    )
    overlap: int = flag(
        64,
        "LR pixels around each tile that are computed and thrown away; exact when the "
        "network sees no further (36 for the default EDSR, 55 behind a translator).",
    )

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.evaluate")
        check_seed(self.seed)
        if self.crop_border < -1:
            raise UserError(
                "--crop_border must be 0 or more, or -1 for the scale. "
                f"Received: {self.crop_border}."
            )
        saved = Path(self.output) / SAVED
        if self.save_images and os.path.realpath(saved) == os.path.realpath(self.model):
            raise UserError(
                "--save_images must not write into the folder of --model. "
                f"Received: --output={self.output}, --model={self.model}."
            )
        if self.tile and (self.overlap < 0 or self.tile <= 2 * self.overlap):
            raise UserError(
                "--tile must be 0 or larger than twice --overlap, which is 0 or more. "
                f"Received: --tile={self.tile}, --overlap={self.overlap}."
            )
        check_template(self.picture_name, "--picture_name")
        # These raise unless they are NAME=PATH, and templates.
        _ = self.metric_files, self.rules

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The requested metrics, in order."""
        if self.metrics.strip() == "auto":
            return WITH_REFERENCE if self.hr_dir else WITHOUT_REFERENCE
        return tuple(name.strip() for name in self.metrics.split(",") if name.strip())

    @property
    def rules(self) -> PairRules:
        """What the person says of the pairs."""
        return PairRules.of(self)

    @property
    def metric_files(self) -> dict[str, str]:
        """Metric -> path of its weights or parameters; the later of two counts.

        Raises:
          UserError: a --metric_arg that is not NAME=PATH.
        """
        return named_paths(self.metric_arg, "--metric_arg")


SPEC = ProgramSpec(
    module="pdm_tf.evaluate",
    config=EvaluateConfig,
    intro="Scores a trained network, an exported model or finished pictures on pairs "
    "of LR and HR images, and bicubic on the same images; or, without HR images, by "
    "metrics that need none. Writes report.json (for scripts), report.csv, report.md "
    "and report.html (for people) and side-by-side pictures, and prints the table. "
    "Images that cannot be paired, read or compared are named and left out. "
    "pdm_tf.compare sets several results side by side.",
    examples=(
        "python -m pdm_tf.evaluate --model=runs/a --hr_dir=val/hr --lr_dir=val/lr "
        "--output=runs/a/eval/val",
        "python -m pdm_tf.evaluate --model=bicubic --hr_dir=val/hr --lr_dir=val/lr "
        "--output=eval/bicubic --metrics=psnr,ssim",
        "python -m pdm_tf.evaluate --model=results/other --hr_dir=val/hr "
        "--lr_dir=val/lr --output=eval/other",
        "python -m pdm_tf.evaluate --model=exported/model.onnx --lr_dir=photos/lr "
        "--output=eval/photos --metrics=niqe --metric_arg=niqe=niqe.npz",
        "python -m pdm_tf.evaluate --model=runs/a --hr_dir=val/hr --lr_dir=val/lr "
        "--output=runs/a/eval/val --metrics=psnr,lpips_alex,niqe "
        "--metric_arg=lpips_alex=bundles/lpips_alex --metric_arg=niqe=niqe.npz",
    ),
)

KERNELS = "kernels.png"
# Settings that do not change the measurements.
_COSMETIC = (
    *("output", "panels", "examples", "crops", "save_images"),
    *("tile", "overlap"),
)


@dataclass(frozen=True)
class Evaluated:
    """The outcome of an evaluation.

    Attributes:
      report: content of report.json.
      path: of report.json.
      panels: pictures drawn.
      saved: SR pictures kept.
      reused: whether it is one of an earlier start.
    """

    report: dict[str, Any]
    path: Path
    panels: tuple[Path, ...] = ()
    saved: int = 0
    reused: bool = False


def main(config: EvaluateConfig) -> None:
    """Evaluates, writes the reports and pictures, prints the table."""
    done = run_evaluation(config, tell_left_out)
    print(terminal_text(done.report))
    if done.panels:
        pictures = "picture" if len(done.panels) == 1 else "pictures"
        print(f"\n{len(done.panels)} {pictures}: {Path(config.output) / 'panels'}")
    if done.saved:
        print(f"\n{done.saved} SR images: {Path(config.output) / SAVED}")
    print(f"\npage: {done.path.with_name(FILE)}")
    print(f"report: {done.path}")


def run_evaluation(
    config: EvaluateConfig, warn: Callable[[str], None], *, reuse: bool = False
) -> Evaluated:
    """Evaluates, and writes reports and pictures.

    Args:
      config: the request.
      warn: called at once with a line on each image left out.
      reuse: whether to take a report of the same settings and model from the output
        folder unchanged.

    Raises:
      UserError: a request that cannot be met; most are found before an image is read.
    """
    check_folders([place for place in (config.hr_dir, config.lr_dir) if place])
    kernels = _read_kernels(config)
    with quiet_start():  # LPIPS loads TensorFlow
        metrics = metric_specs(config.metric_names, config.metric_files)
    check_references(metrics, config.hr_dir)
    output = made_folder(config.output)
    subject = open_subject(_request_of(config))
    if subject.needs_lr and not config.lr_dir:
        raise UserError(
            f"--lr_dir is required: {subject.name} makes its pictures from LR images. "
            "Received nothing."
        )
    sources = [f"{spec.name} {spec.source}".strip() for spec in metrics]
    images = _open_images(config, subject)
    grid = baseline_grid(
        images.items, subject.scale, recorded=images.grid, network=subject.grid
    )
    settings = _settings(config, subject, sources) | {"baseline_grid": grid}
    if reuse and (done := _finished(output, settings)) is not None:
        return done
    measured = _degradation(config, kernels)
    problems = [*images.problems, *subject.unused(item.name for item in images.items)]
    for name, reason in problems:
        warn(f"{name}: {reason}")

    panels = PanelWriter(output / "panels", config.panels, label=subject.label)
    crops = CropWriter(output, config.crops)
    extremes = Extremes(metrics[0], config.examples, label=subject.label)
    saver = ImageSaver(output)
    places = []

    def keep_pictures(image: EvaluatedImage) -> None:
        places.append(image.displacement)
        panels(image)
        crops(image)
        extremes(image)
        if config.save_images:
            saver(image)

    result = evaluate_images(
        subject.picture,
        images.items,
        metrics=metrics,
        crop_border=subject.scale if config.crop_border < 0 else config.crop_border,
        scale=subject.scale,
        baseline=subject.name != BASELINE,
        grid=grid,
        progress=True,
        on_image=keep_pictures,
        on_problem=warn,
    )
    crops.finish()
    report = result.to_report(subject.name)
    if subject.name == BASELINE:
        report["baseline_grid"] = grid
        report["baseline"] = {BASELINE: report["mean"]}
        report["interval"]["baseline"] = {BASELINE: report["interval"]["mean"]}
    report["problems"] = [
        *({"name": name, "reason": reason} for name, reason in problems),
        *report["problems"],
    ]
    if beside := displaced(places, subject.scale, images.grid):
        report["displaced"] = beside
    folders = {"--hr_dir": config.hr_dir, "--lr_dir": config.lr_dir}
    if lines := converted({x: place for x, place in folders.items() if place}):
        report["converted"] = lines
    report |= {
        "model_facts": dict(subject.facts),
        "set": {"hr": config.hr_dir, "lr": config.lr_dir},
        **(_degradation_report(measured, config) if measured else {}),
        "settings": settings,
        "pdm_tf": __version__,
    }
    if measured and measured.kernels:
        write_png(output / KERNELS, kernel_comparison(measured.kernels))
    else:
        (output / KERNELS).unlink(missing_ok=True)  # of an evaluation before
    page = evaluation_page(report, extremes.worst(), extremes.best(), made_by())
    write_text_atomic(output / FILE, page)
    path = write_report(report, output)
    return Evaluated(report, path, tuple(panels.written), saver.written)


def _request_of(config: EvaluateConfig) -> SubjectRequest:
    names = [field.name for field in dataclasses.fields(SubjectRequest)]
    values = {name: getattr(config, name) for name in names if name != "location"}
    return SubjectRequest(config.model, **values)


def _open_images(config: EvaluateConfig, subject: Subject) -> ImageSet:
    if config.hr_dir or config.lr_dir:
        return open_set(
            config.hr_dir,
            config.lr_dir,
            subject.scale,
            config.max_images,
            config.rules,
        )
    assert isinstance(subject, PictureSubject)  # others need LR images
    return set_of_names(subject.pictures.stems, config.max_images)


def _read_kernels(config: EvaluateConfig) -> dict[str, Any]:
    """Reads flag -> the kernels that it names, before any work is done."""
    paths = {"true_kernels": config.true_kernels, "pair_kernels": config.pair_kernels}
    return {flag: read_kernels(path, flag) for flag, path in paths.items() if path}


def _degradation(
    config: EvaluateConfig, kernels: dict[str, Any]
) -> MeasuredDegradation | None:
    """Measures the model's learned degradation, if requested."""
    if not (kernels or config.real_lr):
        return None
    return measure_run(
        config.model,
        config.weights,
        hr_dir=config.hr_dir,
        lr_dir=config.lr_dir,
        real_lr=config.real_lr,
        seed=config.seed,
        rules=config.rules,
        **kernels,
    )


def _degradation_report(
    measured: MeasuredDegradation, config: EvaluateConfig
) -> dict[str, Any]:
    """Makes the part of report.json on the learned degradation."""
    return {
        "degradation": measured.numbers,
        "degradation_settings": {
            "sha256": measured.sha256,
            "step": measured.step,
            "photographs": measured.photographs,
            "true_kernels": config.true_kernels,
            "pair_kernels": config.pair_kernels,
            "real_lr": config.real_lr,
            "seed": config.seed,
        },
    }


def _settings(
    config: EvaluateConfig, subject: Subject, metrics: Sequence[str]
) -> dict[str, Any]:
    """Lists everything that decides the numbers, JSON-ready; `metrics` give sources."""
    values = dataclasses.asdict(config)
    kept = {name: value for name, value in values.items() if name not in _COSMETIC}
    kept |= {
        "metrics": list(metrics),
        "metric_arg": list(config.metric_arg),
        "model_sha256": subject.facts.get("sha256", ""),
    }
    return kept


def _finished(output: Path, settings: dict[str, Any]) -> Evaluated | None:
    path = output / "report.json"
    if not path.is_file():
        return None
    report = read_json(path, remedy="Remove it to have it made again.")
    if report.get("settings") != settings or report.get("pdm_tf") != __version__:
        return None
    return Evaluated(report, path, reused=True)


if __name__ == "__main__":
    program.run(SPEC, main)
