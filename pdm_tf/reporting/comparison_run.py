"""A comparison from its settings to its files, of evaluations and models alike."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pdm_tf.cli.flags_compare import CompareConfig
from pdm_tf.cli.flags_evaluate import EvaluateConfig
from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.files import read_json, write_text_atomic
from pdm_tf.core.names import lookup
from pdm_tf.evaluation import comparison_report as reports
from pdm_tf.evaluation.comparison import Method, compare
from pdm_tf.evaluation.crops import StoredCrop, stored_crops
from pdm_tf.evaluation.results import BASELINE
from pdm_tf.reporting.comparison_page import FILE, CropRow, comparison_page
from pdm_tf.reporting.evaluation_run import made_by, run_evaluation

_REPORT = "report.json"
_NEEDED = ("model", "scale", "crop_border", "metrics", "mean", "images")
_SHARED = ("hr_dir", "lr_dir", "metrics", "metric_arg", "weights", "scale")
_SHARED += ("crop_border", "max_images", "tile", "overlap")


def run_comparison(
    config: CompareConfig, say: Callable[[str], None], warn: Callable[[str], None]
) -> tuple[dict[str, Any], Path]:
    """Evaluates what is not evaluated yet, compares, writes the files.

    Args:
      config: which methods, on what.
      say: told what is being done.
      warn: told what is left out.

    Returns:
      The content of comparison.json, and its path.

    Raises:
      UserError: a method that cannot be evaluated, or evaluations that do not go
        together.
    """
    output = Path(config.output_dir)
    finished = {n: p for n, p in config.methods.items() if is_evaluation(p)}
    if len(finished) < len(config.methods) and not (config.hr_dir or config.lr_dir):
        left = next(p for n, p in config.methods.items() if n not in finished)
        raise UserError(
            "--hr_dir and --lr_dir are required for what is not a finished evaluation "
            f"(a folder with {_REPORT}). Received: {left}, without them."
        )
    methods, folders = [], []
    for name, place in config.methods.items():
        folder = Path(place)
        if name not in finished:
            folder = output / "evaluations" / name.replace("/", "_")
            say(f"evaluating {name}")
            wanted = _evaluation(config, place, folder)
            if run_evaluation(wanted, warn, reuse=True).reused:
                say(f"{name}: {folder / _REPORT} is of the same model and settings")
        methods.append(Method(name, read_report(folder)))
        folders.append(folder)
    comparison = compare(methods, config.against)
    crops = _crop_rows(comparison, methods, folders, config, warn)
    write_text_atomic(output / FILE, comparison_page(comparison, crops, made_by()))
    return comparison, reports.write_comparison(comparison, output)


def is_evaluation(place: str) -> bool:
    """Whether a folder holds a report of pdm_tf.evaluate, and is no run or bundle."""
    folder = Path(place)
    return (folder / _REPORT).is_file() and not (folder / "bundle.json").is_file()


def read_report(folder: Path) -> Mapping[str, Any]:
    """The content of report.json.

    Raises:
      UserError: it is not one of pdm_tf.evaluate.
    """
    report = read_json(folder / _REPORT)
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
        EvaluateConfig(model=place, output_dir=str(folder)), panels=0, **shared
    )


def _crop_rows(
    comparison: Mapping[str, Any],
    methods: Sequence[Method],
    folders: Sequence[Path],
    config: CompareConfig,
    warn: Callable[[str], None],
) -> list[CropRow]:
    """The crops of the images to show, in the columns of the table."""
    stored = {m.name: stored_crops(f) for m, f in zip(methods, folders, strict=True)}
    known = {image["name"]: image for image in comparison["images"]}
    names = list(known)
    if config.images:
        chosen = [n.strip() for n in config.images.split(",") if n.strip()]
        for name in chosen:
            lookup(known, name, "--images")
    else:
        count = min(config.examples, len(names))
        chosen = [names[i * len(names) // count] for i in range(count)]
    metric, spec = next(iter(comparison["metrics"].items()))

    def line(name: str, who: str) -> str:
        value = reports.number(spec, known[name][who][metric])
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
                shown = (
                    _bicubic_itself(crops, methods, warn) if shown is None else shown
                )
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
    methods: Sequence[Method],
    warn: Callable[[str], None],
) -> Any:
    for method in methods:
        if method.report["model"] == BASELINE:
            return _read(crops.get(method.name), "sr", warn)
    return None


def _read(crop: StoredCrop | None, key: str, warn: Callable[[str], None]) -> Any:
    try:
        return None if crop is None else crop.read(key)
    except ImageError as error:
        warn(str(error))
        return None
