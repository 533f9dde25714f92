"""Shows what a run has learned, in one HTML file: `python -m pdm_tf.report --help`."""

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pdm_tf import samples
from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import check_flags, check_pairs, check_seed
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import write_text_atomic
from pdm_tf.core.geometry import ASSUMED_GRID
from pdm_tf.core.images import list_images
from pdm_tf.core.quiet import quiet_start
from pdm_tf.core.source_estimate import SourceEstimate
from pdm_tf.core.stored import read_json
from pdm_tf.evaluation.opened_run import OpenedRun, open_run, read_kernels
from pdm_tf.reporting import estimate_page
from pdm_tf.reporting.page import made_by
from pdm_tf.reporting.run_page import FILE, RunPage
from pdm_tf.run import Run, is_bundle

if TYPE_CHECKING:
    from pdm_tf.evaluation.run_findings import Pairs, Photographs


@dataclass(frozen=True)
class ReportConfig:
    """The request to `report`; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a number is out of range.
    """

    model: str = flag(
        "",
        "A run folder of pdm_tf.train, or one bundle (a folder with "
        "bundle.json). Required.",
        section="What",
        required=True,
    )
    weights: Literal["ema", "raw"] = flag(
        "ema", "Weights of a run folder: the averaged (ema) or the last (raw)."
    )
    real_lr: str = flag(
        "",
        "Photographs with the real degradation: a folder, or shards of "
        "pdm_tf.prepare. Empty: the run's --lr_dir.",
    )
    hr_dir: str = flag(
        "",
        "High-resolution photographs to put through the learned degradation. "
        "Empty: the run's --hr_dir, or else the project's sample photographs.",
    )
    true_kernels: str = flag(
        "",
        "If the true blur is known: its kernels [N, K, K] in a .npy "
        "file, shown and measured next to the learned ones.",
    )
    val_hr_dir: str = flag(
        "",
        "Pairs to score the SR network on, high resolution. Empty: the "
        "run's, if it has some.",
    )
    val_lr_dir: str = flag("", "Their low-resolution partners, matched by file name.")
    output: str = flag(
        "",
        "The HTML file. Empty: report.html in the run folder, or in the "
        "current folder for a bundle on its own.",
        section="Output",
    )
    figures: str = flag(
        "",
        "Folder for the charts as SVG and PDF files, for papers and slides; made if "
        "missing. Empty: none.",
    )
    sliders: int = flag(
        4,
        "Photographs to show before and after, evenly by name; 0 for none.",
        at_least=0,
    )
    seed: int = flag(
        0, "Seed of the kernels, noise and patches that are drawn.", at_least=0
    )

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.report")
        check_seed(self.seed)
        check_pairs(self.val_hr_dir, self.val_lr_dir)


SPEC = ProgramSpec(
    module="pdm_tf.report",
    config=ReportConfig,
    intro="Shows what a run has learned, in one HTML file that needs nothing else: "
    "sampled kernels and noise, observed and synthesised LR patches, measurements, "
    "training curves, and the SR network before and after on real photographs. A line "
    "at the top says whether the degradation is healthy. pdm_tf.train writes the same "
    "report when it has finished.",
    examples=(
        "python -m pdm_tf.report --model=runs/a",
        "python -m pdm_tf.report --model=runs/a/bundles/pdm_ema --real_lr=photos/lr "
        "--true_kernels=true_kernels.npy --output=report.html",
    ),
)

ESTIMATE_FILE = "estimate.json"
_DRAWN = 96  # kernels on the page of an estimate
_SAMPLES = "the project's sample photographs"


@dataclass(frozen=True)
class Written:
    """The outcome of a report.

    Attributes:
      path: of the page.
      headline: the verdict in words.
      left_out: unusable inputs, each with its reason.
    """

    path: Path
    headline: str
    left_out: tuple[str, ...]


def main(config: ReportConfig) -> None:
    """Makes the report; prints the verdict and, last, where the page is."""
    written = write_report(config, say=lambda line: print(line, file=sys.stderr))
    for line in written.left_out:
        print(f"left out: {line}", file=sys.stderr)
    print(written.headline)
    print(f"report: {written.path}")


def report_on_run(run_dir: Path | str, say: Callable[[str], None]) -> Path | None:
    """Writes report.html into a run folder, or says why not and how to try again.

    It raises no exception: the networks are trained and saved, and a failing report
    must not make a script think otherwise. Ctrl-C skips the report.

    Args:
      run_dir: of a run with bundles.
      say: gets a line, for the screen and the log.

    Returns:
      The page, or None.
    """
    again = f"python -m pdm_tf.report --model={run_dir}"
    try:
        written = write_report(ReportConfig(model=str(run_dir)))
    except UserError as error:
        say(f"no report: {error} To try again: {again}")
    except KeyboardInterrupt:
        say(f"no report: interrupted. To make it: {again}")
    except Exception as error:  # noqa: BLE001 - see above; named, with its type
        say(f"no report: {type(error).__name__}: {error}. To try again: {again}")
    else:
        say(f"report: {written.path}: {written.headline}")
        return written.path
    return None


def page_on_estimate(run_dir: Path | str) -> Path | None:
    """Writes estimate.html into estimate/ of a run folder, unless it is there.

    Returns:
      The page; None for a run that measured nothing.

    Raises:
      UserError: what was measured cannot be read.
    """
    folder = Run(run_dir).estimate
    page = folder / estimate_page.FILE
    if not is_bundle(folder / "bundle"):
        return None
    if not page.exists():
        with quiet_start():
            from pdm_tf.bundles.bundle import load_bundle
        network = load_bundle(folder / "bundle").network
        text = estimate_page.estimate_page(
            read_json(folder / ESTIMATE_FILE, make=SourceEstimate.from_json),
            read_json(folder / "check.json"),
            np.asarray(network.sample_kernels(_DRAWN, seed=0)),
            made_by(),
        )
        write_text_atomic(page, text)
    return page


def write_report(
    config: ReportConfig, say: Callable[[str], None] = lambda line: None
) -> Written:
    """Makes the page and writes it.

    Args:
      config: the request.
      say: called with a line on each action.

    Raises:
      UserError: no such model, or images that are needed and missing.
    """
    true_kernels = read_kernels(config.true_kernels) if config.true_kernels else None
    _check_places(config)
    say(f"opening {config.model}")
    run = open_run(config.model, config.weights)
    with quiet_start():
        from pdm_tf.evaluation.run_findings import degradation_findings

    page = RunPage(run.to_json(), run.records)
    lr_place = config.real_lr or run.folder("lr_dir")
    if not lr_place and run.degradation is None:
        lr_place = config.val_lr_dir or run.folder("val_lr_dir")
    real_lr = _photographs(page, lr_place, "LR photographs") if lr_place else None
    if run.degradation is not None:
        hr_place = config.hr_dir or run.folder("hr_dir")
        hr = _photographs(
            page,
            hr_place or str(samples.PHOTOS_FOR_HR),
            "HR photographs, degraded here",
            hr_place or _SAMPLES,
        )
        say("drawing kernels and degrading photographs")
        found = degradation_findings(
            run.degradation, hr, real_lr, true_kernels, config.seed
        )
        page.add_degradation(**found._asdict(), **_measured_before(run))
    else:
        page.missing.append(("Kernels and noise", _why_no_degradation(run)))
    if run.sr is not None:
        page.note_displaced(_displaced_in_training(run))
        _add_sr(page, config, run, real_lr, say)
    else:
        why = f"{run.place} has no SR network."
        page.missing.append(("Photographs before and after, scores", why))
    if config.true_kernels:
        page.sources.append(("true kernels", config.true_kernels))
    text, verdict = page.render()
    default = run.run.report if run.run else Path(FILE)
    path = Path(config.output) if config.output else default
    write_text_atomic(path, text)
    if config.figures:
        page.save_figures(Path(config.figures))
    return Written(path, verdict.headline, tuple(page.left_out))


def _measured_before(run: OpenedRun) -> dict[str, Any]:
    """What the run measured of its source before training, for the page."""
    if run.run is None or not run.run.decision.is_file():
        return {}
    path = run.run.estimate / ESTIMATE_FILE
    return {
        "estimate": read_json(path, make=SourceEstimate.from_json),
        "decision": read_json(run.run.decision),
    }


def _photographs(
    page: RunPage, place: str, what: str, shown: str = ""
) -> "Photographs":
    """Reads some photographs of a place, and notes that on the page."""
    from pdm_tf.evaluation.run_findings import read_photographs

    found = dataclasses.replace(read_photographs(place), place=shown or place)
    page.sources.append((what, f"{found.place}, {len(found.names)} of {found.count}"))
    page.left_out += [f"{name}: {reason}" for name, reason in found.problems]
    return found


def _why_no_degradation(run: OpenedRun) -> str:
    method = run.run.settings.get("method", "") if run.run else ""
    if not method:
        return f"{run.place} is an SR network on its own."
    return f"--method={method} learns none: it takes its pairs as they are made."


def _add_sr(
    page: RunPage,
    config: ReportConfig,
    run: OpenedRun,
    real_lr: "Photographs | None",
    say: Callable[[str], None],
) -> None:
    """Adds before and after on photographs, and scores on pairs.

    Where a run has neither, the project's sample photographs serve, reduced as in its
    training.
    """
    from pdm_tf.evaluation.run_findings import compare_regions, open_pairs, score_pairs
    from pdm_tf.evaluation.runner import keras_upscaler

    scale = run.sr.scale
    grid = (run.degradation.network if run.degradation else run.sr).grid or ASSUMED_GRID
    upscale = keras_upscaler(run.sr.network, scale)
    hr_dir = config.val_hr_dir or run.folder("val_hr_dir")
    lr_dir = config.val_lr_dir or run.folder("val_lr_dir")
    pairs = None
    if hr_dir and lr_dir:
        limit = 0 if config.val_hr_dir else run.max_pairs
        pairs = open_pairs(hr_dir, lr_dir, scale, limit, run.pair_rules)
    elif run.degradation is None and _makes_its_pairs(run):
        say(f"reducing {_SAMPLES}")
        pairs = _sample_pairs(page, run)
    if pairs is not None and real_lr is None:
        real_lr = pairs.lr_photographs()
        page.sources.append(("LR photographs", real_lr.place))
    if real_lr is not None and config.sliders:
        say("upscaling photographs")
        page.add_comparisons(
            compare_regions(upscale, scale, grid, real_lr, config.sliders),
            scale=scale,
            place=real_lr.place,
            available=real_lr.count,
            grid=grid,
        )
    else:
        why = (
            "none at hand: --real_lr=FOLDER shows some."
            if config.sliders
            else ("not asked for: --sliders=0.")
        )
        page.missing.append(("Photographs before and after", why))
    if pairs is None:
        why = (
            "there are no pairs at hand: --val_hr_dir=FOLDER --val_lr_dir=FOLDER give "
            "some."
        )
        page.missing.append(("Scores on pairs", why))
        return
    say("scoring pairs")
    scores = score_pairs(upscale, scale, pairs)
    page.add_scores(scores.report, available=pairs.available, place=pairs.place)
    page.left_out += [f"{name}: {reason}" for name, reason in scores.problems]


def _asked(run: OpenedRun) -> dict[str, str]:
    """The settings of a run's method that were given, as texts."""
    settings = run.run.settings if run.run else {}
    return dict(text.partition("=")[::2] for text in settings.get("method_arg") or ())


def _makes_its_pairs(run: OpenedRun) -> bool:
    """Whether the run trains on pairs that it makes by a degradation that is known."""
    method = run.run.settings.get("method", "") if run.run else ""
    return method.startswith("supervised") and _asked(run).get("pairs") != "real"


def _displaced_in_training(run: OpenedRun) -> str:
    """A sentence where the run learned from pairs that lie beside one another."""
    from pdm_tf.evaluation.run_findings import displaced_in_training, open_pairs

    asked = _asked(run)
    hr_dir, lr_dir = run.folder("hr_dir"), run.folder("lr_dir")
    if asked.get("pairs") != "real" or not (hr_dir and lr_dir):
        return ""
    scale, grid = run.sr.scale, asked.get("grid", "auto")
    try:
        pairs = open_pairs(hr_dir, lr_dir, scale, rules=run.pair_rules)
    except UserError:
        return ""  # other photographs lie there by now
    return displaced_in_training(pairs, scale, None if grid == "auto" else grid)


def _sample_pairs(page: RunPage, run: OpenedRun) -> "Pairs | None":
    """Makes pairs of the sample photographs with the degradation of the run's method.

    None, with a reason on the page, where that is not known any more.
    """
    from pdm_tf import build
    from pdm_tf.data.degrading import Request, degrade_photograph
    from pdm_tf.evaluation.run_findings import MadePair, Pairs

    name = _asked(run).get("degradation") or "bicubic"
    try:
        degradation, _ = build.build_degradation(
            name, args=run.run.settings.get("degradation_arg") or (), scale=run.sr.scale
        )
        made = [
            (path.stem, degrade_photograph(path, path.stem, Request(degradation, 0)))
            for path in list_images(samples.PHOTOS_FOR_VALIDATION)
        ]
    except UserError as error:
        page.missing.append(("Sample photographs", f"they cannot be reduced: {error}"))
        return None
    pairs = tuple(MadePair(name, one.hr_u8, one.lr_u8[0]) for name, one in made)
    place = f"{_SAMPLES}, reduced by {name}"
    return Pairs(place, len(pairs), pairs, (), degradation.grid)


def _check_places(config: ReportConfig) -> None:
    """Checks the folders before TensorFlow is loaded."""
    for name in ("real_lr", "hr_dir"):
        place = getattr(config, name)
        if place and not Path(place).exists():
            raise UserError(f"--{name} must exist. Received: {place}.")
    for place in (config.val_hr_dir, config.val_lr_dir):
        if place:
            list_images(place)


if __name__ == "__main__":
    program.run(SPEC, main)
