"""What the runs of a study reached, and what they took, as one table.

The scores are compared by `evaluation.comparison`; this adds columns to its content
that are of runs and not of images, each the mean over the runs of a row with its
sample standard deviation: how well the learned degradation matches the real one, what
training took, how large the networks are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pdm_tf.core.files import read_json, write_json_atomic
from pdm_tf.evaluation.comparison import sample_deviation
from pdm_tf.run import Run
from pdm_tf.studies.plan import Plan, StudyRun
from pdm_tf.studies.running import is_finished, last_state, locked, why_open

REPORT = "report.json"

# name -> unit, decimals, whether higher is better (None: neither).
COLUMNS: dict[str, tuple[str, int, bool | None]] = {
    "coverage": ("%", 0, True),
    "classifier": ("%", 0, False),
    "training": ("min", 1, None),
    "memory": ("GB", 2, None),
    "SR weights": ("M", 3, None),
    "trained weights": ("M", 3, None),
}
COLUMN_NOTES = (
    "coverage: true kernels that have a learned one nearby; classifier: accuracy in "
    "telling synthesised LR patches from real ones, 50 % is chance. A dash: nothing "
    "was learned, or nothing is known to compare it with. training: wall-clock time of "
    "a run with its saving, over all starts, without those of runs that it starts "
    "from; memory: the most that its process held; weights, in millions: of the "
    "network that is used, and of all networks that were trained for it.",
)


def numbers_of(
    run: StudyRun, report: Mapping[str, Any], weights: Mapping[str, int]
) -> dict[str, float]:
    """Column -> number of one run; unknown ones are absent.

    Args:
      run: finished.
      report: of its evaluation.
      weights: how many "sr" and "trained" networks have, where it is known.
    """
    measured = report.get("degradation") or {}
    kernels, real = measured.get("true_kernels"), measured.get("real_lr")
    ending = Run(run.folder).ending or {}
    found = {
        "coverage": kernels and 100 * kernels["learned"]["coverage"],
        "classifier": real and 100 * real["synthesised"]["classifier"]["accuracy"],
        "training": _part(ending.get("perf/train_seconds"), 60),
        "memory": _part(ending.get("perf/peak_memory_mb"), 1000),
        "SR weights": _part(weights.get("sr"), 1e6),
        "trained weights": _part(weights.get("trained"), 1e6),
    }
    return {name: value for name, value in found.items() if value is not None}


def _part(value: float | None, of: float) -> float | None:
    return None if value is None else value / of


def add_columns(
    comparison: dict[str, Any], numbers: Mapping[str, Sequence[Mapping[str, float]]]
) -> None:
    """Adds the columns that any row has a number for to a comparison.

    Args:
      comparison: content of comparison.json.
      numbers: row -> column -> number, of each of its runs.
    """
    there = {name for rows in numbers.values() for row in rows for name in row}
    comparison["columns"] = {
        name: {"unit": unit, "decimals": decimals, "higher_is_better": better}
        for name, (unit, decimals, better) in COLUMNS.items()
        if name in there
    }
    for method in comparison["methods"]:
        of_runs = numbers.get(method["name"], ())
        method["columns"] = {
            name: _over_runs([row[name] for row in of_runs if name in row])
            for name in comparison["columns"]
        }
    comparison["column_notes"] = list(COLUMN_NOTES)


def _over_runs(values: Sequence[float]) -> dict[str, float | None]:
    mean = sum(values) / len(values) if values else None
    return {"mean": mean, "spread": sample_deviation(values)}


def add_missing(
    comparison: dict[str, Any], plan: Plan, dataset: str, reasons: Mapping[str, str]
) -> None:
    """Adds the runs that are not in the table, and rows that have none.

    Args:
      comparison: content of comparison.json.
      plan: of the study.
      dataset: whose table it is.
      reasons: why evaluations failed, by their names.
    """
    missing, absent = [], []
    for method in plan.request.methods:
        runs = plan.row(method, dataset)
        lost = {
            run.name: why
            for run in runs
            if (why := why_missing(plan, run, dataset, reasons))
        }
        missing += [
            {"method": method, "run": name, "reason": why} for name, why in lost.items()
        ]
        if len(lost) == len(runs):
            absent.append(method)
    comparison["missing"], comparison["absent"] = missing, absent


def why_missing(
    plan: Plan, run: StudyRun, dataset: str, reasons: Mapping[str, str]
) -> str:
    """Why a run is not in a table; "" where it is."""
    study = plan.request.folder
    if not is_finished(run):
        return why_open(study, run)
    name = run.evaluation(dataset)
    if reason := reasons.get(name):
        return f"evaluation: {reason}"
    return (
        "" if (evaluation_folder(study, name) / REPORT).is_file() else "no evaluation"
    )


def evaluation_folder(study: Path, name: str) -> Path:
    """Where an evaluation is kept."""
    return study / "evaluations" / name


def cost(plan: Plan, times: Mapping[str, float]) -> dict[str, float]:
    """What the study took besides training, over all its starts.

    Args:
      plan: of the study.
      times: seconds of "checking", "evaluating" and "comparing".

    Returns:
      Seconds: "training" of all finished runs; "starting": what their processes took
      besides; those of `times`; and "overhead": all but training, over training.
    """
    training = starting = 0.0
    for run in plan.runs:
        seconds = (Run(run.folder).ending or {}).get("perf/train_seconds")
        if seconds is None:
            continue
        training += seconds
        wall = last_state(plan.request.folder, run.name).get("wall_seconds")
        if wall is not None:
            starting += max(0.0, wall - seconds)
    parts = {"starting": round(starting, 1), **times}
    found = {"training": round(training, 1), **parts}
    if training:
        found["overhead"] = round(sum(parts.values()) / training, 4)
    return found


def add_time(study: Path, what: str, seconds: float) -> dict[str, float]:
    """Adds to the time that a study's starts took for something; returns all."""
    path = study / "states" / "times.json"
    with locked(path.with_suffix(".lock")):
        times = read_json(path) if path.is_file() else {}
        times[what] = round(times.get(what, 0.0) + seconds, 1)
        write_json_atomic(path, times)
    return times
