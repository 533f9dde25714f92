"""Sets several methods side by side on one set: `python -m pdm_tf.compare --help`."""

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import check_flags, lookup, named_paths
from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.files import write_text_atomic
from pdm_tf.core.stored import read_json
from pdm_tf.evaluate import EvaluateConfig, run_evaluation
from pdm_tf.evaluation.comparison import Row, compare
from pdm_tf.evaluation.image_set import evenly
from pdm_tf.evaluation.panels import StoredCrop, stored_crops
from pdm_tf.evaluation.results import BASELINE
from pdm_tf.evaluation.runner import tell_left_out
from pdm_tf.reporting.comparison import (
    FILE,
    CropRow,
    comparison_page,
    terminal_text,
    write_comparison,
)
from pdm_tf.reporting.evaluation import number
from pdm_tf.reporting.page import made_by
from pdm_tf.run import is_bundle


@dataclass(frozen=True)
class CompareConfig:
    """The request to `compare`; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a value is none that it takes.
    """

    model: tuple[str, ...] = flag(
        (),
        "NAME=PATH, once for each method, in the order of the rows: the "
        "folder of a finished pdm_tf.evaluate, or any model that it takes, "
        "which is evaluated first. Several paths, separated by commas, are runs of one "
        "method with several seeds: their row has the mean, and its spread. Bicubic "
        "becomes the first row by itself. Required.",
        section="What",
        required=True,
    )
    against: str = flag(
        "best",
        "The row to compare with: best (for each metric) or the name of a method, "
        "bicubic included.",
    )
    oracle: str = flag(
        "",
        "The row that was trained on the true degradation. The table then also shows "
        "which share of its gain over --floor every row reaches.",
    )
    floor: str = flag(
        BASELINE, "The row whose share of the oracle's gain is 0, with --oracle."
    )
    hr_dir: str = flag(
        "",
        "Folder of HR images.",
        section="For models that are not evaluated yet (as in pdm_tf.evaluate)",
    )
    lr_dir: str = flag("", "Folder of their LR images.")
    hr_name: str = flag("", "How the HR images are named, e.g. {stem}_sharp.")
    lr_name: str = flag("", "How the LR images are named, e.g. {stem}_camera.")
    picture_name: str = flag("", "How finished pictures are named, e.g. {stem}_out.")
    accept_folders: bool = flag(
        False, "Also score pairs that seem to show different scenes."
    )
    metrics: str = flag(
        "auto",
        "Metrics, separated by commas; auto is psnr,ssim,psnr_shift with HR images and "
        "niqe without.",
    )
    metric_arg: tuple[str, ...] = flag(
        (), "NAME=PATH: the weights or parameters of a metric."
    )
    weights: Literal["ema", "raw"] = flag(
        "ema", "Weights of a run folder: the averaged (ema) or the last (raw)."
    )
    scale: int = flag(
        0, "HR size / LR size, if model and images do not show it; 0: they do."
    )
    crop_border: int = flag(
        -1, "Pixels left out on every side before scoring; -1: the scale."
    )
    max_images: int = flag(0, "Evaluate at most this many images; 0 takes all.")
    tile: int = flag(
        448,
        "LR images of more than TILE x TILE pixels are upscaled in tiles of "
        "that side; 0 never cuts.",
    )
    overlap: int = flag(
        64, "LR pixels around each tile that are computed and thrown away."
    )
    output: str = flag(
        "",
        "Folder for comparison.json, .csv, .md and .html, and for "
        "evaluations/NAME/ of models evaluated now. Required.",
        section="Output",
        required=True,
    )
    examples: int = flag(
        4, "How many images' crops to show, evenly by name.", at_least=0
    )
    images: str = flag("", "Or their names, without suffix, separated by commas.")

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.compare")
        if self.floor != BASELINE and not self.oracle:
            raise UserError(
                "--floor has no meaning without --oracle. "
                f"Received: --floor={self.floor}."
            )
        names = list(self.methods)
        if len(names) < len(self.model):
            raise UserError(
                "--model must give every method a name of its own. "
                f"Received: {' '.join(self.model)}."
            )

    @property
    def methods(self) -> dict[str, str]:
        """Name -> path, in order.

        Raises:
          UserError: a --model that is not NAME=PATH.
        """
        return named_paths(self.model, "--model")


SPEC = ProgramSpec(
    module="pdm_tf.compare",
    config=CompareConfig,
    intro="Compares several methods on one set: a table with methods as rows and "
    "metrics as columns, the best bold and the second underlined, the differences with "
    "their bootstrap intervals, and the same crops side by side. Takes finished "
    "evaluations, so that nothing is computed twice, and evaluates models that have "
    "none yet; started again, it goes on where it was.",
    examples=(
        "python -m pdm_tf.compare --model=ours=eval/ours --model=other=eval/other "
        "--output=eval/comparison",
        "python -m pdm_tf.compare --model=PDM-SR=runs/a --model=ESRGAN=bundles/esrgan "
        "--model=paper=results/paper --hr_dir=val/hr --lr_dir=val/lr "
        "--output=eval/comparison",
        "python -m pdm_tf.compare --model=ours=eval/ours --model=true=eval/oracle "
        "--oracle=true --output=eval/comparison",
        "python -m pdm_tf.compare --model=ours=eval/s0,eval/s1,eval/s2 "
        "--model=other=eval/other --output=eval/comparison",
    ),
)

_REPORT = "report.json"
_NEEDED = ("model", "scale", "crop_border", "metrics", "mean", "images")
_FORM = {
    "model?": str,
    "scale?": int,
    "metrics?": dict,
    "mean?": {str: (float, None, dict)},
    "images?": [{"name": str}],
}
_SHARED = ("hr_dir", "lr_dir", "metrics", "metric_arg", "weights", "scale")
_SHARED += ("crop_border", "max_images", "tile", "overlap")
_SHARED += ("hr_name", "lr_name", "picture_name", "accept_folders")


def main(config: CompareConfig) -> None:
    """Compares; prints the table and, last, where the files are."""
    comparison, path = run_comparison(
        config, say=lambda line: print(line, file=sys.stderr), warn=tell_left_out
    )
    print(terminal_text(comparison))
    print(f"\npage: {path.with_name(FILE)}")
    print(f"comparison: {path}")


def run_comparison(
    config: CompareConfig, say: Callable[[str], None], warn: Callable[[str], None]
) -> tuple[dict[str, Any], Path]:
    """Evaluates models without evaluation, compares, writes the files.

    Args:
      config: which methods, on what.
      say: called with a line on each action.
      warn: called with a line on everything left out.

    Returns:
      The content of comparison.json, and its path.

    Raises:
      UserError: a method that cannot be evaluated, or evaluations that do not go
        together.
    """
    output = Path(config.output)
    places = {name: _places(paths) for name, paths in config.methods.items()}
    left = [p for paths in places.values() for p in paths if not is_evaluation(p)]
    if left and not (config.hr_dir or config.lr_dir):
        raise UserError(
            "--hr_dir and --lr_dir are required for what is not a finished evaluation "
            f"(a folder with {_REPORT}). Received: {left[0]}, without them."
        )
    rows = []
    for name, paths in places.items():
        folders = []
        for which, place in enumerate(paths, start=1):
            folder = Path(place)
            if place in left:
                ending = f"_{which}" if len(paths) > 1 else ""
                folder = output / "evaluations" / (name.replace("/", "_") + ending)
                say(f"evaluating {name}{ending}")
                wanted = _evaluation(config, place, folder)
                if run_evaluation(wanted, warn, reuse=True).reused:
                    say(f"{name}: {folder / _REPORT} is of the same model and settings")
            folders.append(folder)
        rows.append(Evaluated(name, tuple(folders)))
    comparison = compare(
        [row.read() for row in rows], config.against, config.oracle, config.floor
    )
    chosen = [n.strip() for n in config.images.split(",") if n.strip()]
    crops = crop_rows(comparison, rows, config.examples, chosen, warn)
    write_text_atomic(output / FILE, comparison_page(comparison, crops, made_by()))
    return comparison, write_comparison(comparison, output)


@dataclass(frozen=True)
class Evaluated:
    """A method that is evaluated.

    Attributes:
      name: of its row.
      folders: with a report.json each, of its runs.
    """

    name: str
    folders: tuple[Path, ...]

    def read(self) -> Row:
        """Its row.

        Raises:
          UserError: a report that is none.
        """
        return Row(self.name, tuple(read_report(folder) for folder in self.folders))


def _places(paths: str) -> list[str]:
    """The paths of a row; a comma may belong to one that is there."""
    if Path(paths).exists():
        return [paths]
    return [path.strip() for path in paths.split(",") if path.strip()]


def is_evaluation(place: str) -> bool:
    """Whether a folder holds a report of pdm_tf.evaluate, and is no run or bundle."""
    folder = Path(place)
    return (folder / _REPORT).is_file() and not is_bundle(folder)


def read_report(folder: Path) -> Mapping[str, Any]:
    """The content of report.json.

    Raises:
      UserError: it is not one of pdm_tf.evaluate.
    """
    report = read_json(folder / _REPORT, _FORM, remedy="Run pdm_tf.evaluate again.")
    missing = [key for key in _NEEDED if key not in report]
    if missing or not report["images"]:
        raise UserError(
            f"{folder / _REPORT} must be a report of pdm_tf.evaluate. Received: a file "
            f"without {', '.join(missing) or 'images'}."
        )
    return report


def _evaluation(config: CompareConfig, place: str, folder: Path) -> EvaluateConfig:
    shared = {name: getattr(config, name) for name in _SHARED}
    return dataclasses.replace(
        EvaluateConfig(model=place, output=str(folder)), panels=0, **shared
    )


def crop_rows(
    comparison: Mapping[str, Any],
    methods: Sequence[Evaluated],
    examples: int,
    images: Sequence[str],
    warn: Callable[[str], None],
) -> list[CropRow]:
    """The crops of the images to show, in the columns of the table.

    Args:
      comparison: content of comparison.json.
      methods: where their crops are; of several runs the first is shown.
      examples: how many images, evenly by name.
      images: names of those to show instead; none: `examples` decides.
      warn: called with a line on everything that is not there.

    Raises:
      UserError: no image of such a name.
    """
    stored = {m.name: stored_crops(m.folders[0]) for m in methods}
    known = {image["name"]: image for image in comparison["images"]}
    names = list(known)
    for name in images:
        lookup(known, name, "--images")
    chosen = images or evenly(names, examples)
    metric, spec = next(iter(comparison["metrics"].items()))

    def line(name: str, who: str) -> str:
        value = number(spec, known[name][who][metric])
        return f"{metric} {value} {spec['unit']}".strip()

    rows = []
    for name in chosen:
        crops = {who: table[name] for who, table in stored.items() if name in table}
        if not crops:
            warn(f"{name}: no evaluation kept a crop of it (evaluate --crops)")
            continue
        first = next(iter(crops.values()))
        crops = {w: c for w, c in crops.items() if c.region == first.region}
        cells = [("LR", _any(crops, "lr", warn), "")]
        for method in comparison["methods"]:
            who = method["name"]
            if who == BASELINE:
                shown = _any(crops, "bicubic", warn)
                if shown is None:
                    shown = _bicubic_itself(crops, methods, warn)
            else:
                shown = _read(crops.get(who), "sr", warn)
            cells.append((who, shown, line(name, who)))
        cells.append(("HR", _any(crops, "hr", warn), "the reference"))
        ends = ("LR", "HR")
        cells = [c for c in cells if c[1] is not None or c[0] not in ends]
        rows.append(CropRow(name, first.region, cells))
    return rows


def _any(crops: Mapping[str, StoredCrop], key: str, warn: Callable[[str], None]) -> Any:
    """The first of the methods that kept this picture."""
    found = (_read(crop, key, warn) for crop in crops.values())
    return next((crop_u8 for crop_u8 in found if crop_u8 is not None), None)


def _bicubic_itself(
    crops: Mapping[str, StoredCrop],
    methods: Sequence[Evaluated],
    warn: Callable[[str], None],
) -> Any:
    for method in methods:
        if method.read().report["model"] == BASELINE:
            return _read(crops.get(method.name), "sr", warn)
    return None


def _read(crop: StoredCrop | None, key: str, warn: Callable[[str], None]) -> Any:
    try:
        return None if crop is None else crop.read(key)
    except ImageError as error:
        warn(str(error))
        return None


if __name__ == "__main__":
    program.run(SPEC, main)
