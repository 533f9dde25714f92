"""What the runs of a study reached, and what they took, as one table.

The scores are compared by `evaluation.comparison`; this adds columns to its content
that are of runs and not of images, each the mean over the runs of a row with its
sample standard deviation: how well the learned degradation matches the real one, what
training took, how large the networks are.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pdm_tf.core.files import write_json_atomic
from pdm_tf.core.stored import read_json
from pdm_tf.evaluation.bootstrap import sample_deviation
from pdm_tf.run import Run
from pdm_tf.studies.plan import Plan, StudyRun
from pdm_tf.studies.running import is_finished, last_state, locked, why_open

REPORT = "report.json"

# name -> unit, decimals, whether higher is better (None: neither).
COLUMNS: dict[str, tuple[str, int, bool | None]] = {
    "share": ("%", 0, True),
    "coverage": ("%", 0, True),
    "est. coverage": ("%", 0, True),
    "classifier": ("%", 0, False),
    "training": ("min", 1, None),
    "memory": ("GB", 2, None),
    "SR weights": ("M", 3, None),
    "trained weights": ("M", 3, None),
}
# Column -> the part of a report's "degradation" that it is read from.
_MEASURED = {
    "coverage": "true_kernels",
    "est. coverage": "estimated_kernels",
    "classifier": "real_lr",
}
_NOTES = {
    "share": "share: part of the oracle's gain in {metric} over {floor}.",
    "coverage": "coverage: part of the true kernels that have a learned one nearby.",
    "est. coverage": "est. coverage: the same by kernels that are estimated from a "
    "network's LR images, with or without kernels of its own.",
    "classifier": "classifier: accuracy in telling synthesised LR patches from real "
    "ones; 50 % is chance.",
    "training": "training: wall-clock time of a run, over all its starts, without the "
    "runs that it starts from.",
    "memory": "memory: the most that a run's process held.",
    "SR weights": "weights, in millions: of the network that is used, and of all that "
    "are trained in a run.",
}


class Numbers(NamedTuple):
    """What is known of one run besides its scores.

    Attributes:
      values: column -> number.
      reasons: column -> why there is none.
    """

    values: dict[str, float]
    reasons: dict[str, str]


def numbers_of(
    run: StudyRun, report: Mapping[str, Any], weights: Mapping[str, int]
) -> Numbers:
    """Finds the numbers of one run.

    Args:
      run: finished.
      report: of its evaluation.
      weights: how many "sr" and "trained" networks have, where it is known.
    """
    measured = report.get("degradation") or {}
    kernels, real = measured.get("true_kernels"), measured.get("real_lr")
    estimated = measured.get("estimated_kernels")
    ending = Run(run.folder).ending or {}
    found = {
        "coverage": kernels and 100 * kernels["learned"]["coverage"],
        "est. coverage": estimated and 100 * estimated["learned"]["coverage"],
        "classifier": real and 100 * real["synthesised"]["classifier"]["accuracy"],
        "training": _part(ending.get("perf/train_seconds"), 60),
        "memory": _part(ending.get("perf/peak_memory_mb"), 1000),
        "SR weights": _part(weights.get("sr"), 1e6),
        "trained weights": _part(weights.get("trained"), 1e6),
    }
    reasons = {
        column: "it learns no degradation" if not measured else untold[key]
        for column, key in _MEASURED.items()
        if not measured or key in (untold := measured.get("reasons") or {})
    }
    values = {name: value for name, value in found.items() if value is not None}
    return Numbers(values, {n: why for n, why in reasons.items() if n not in values})


def _part(value: float | None, of: float) -> float | None:
    return None if value is None else value / of


def add_columns(
    comparison: dict[str, Any], numbers: Mapping[str, Sequence[Numbers]]
) -> None:
    """Adds the columns that any row has a number for to a comparison.

    Args:
      comparison: content of comparison.json.
      numbers: row -> those of each of its runs.
    """
    there = {name for rows in numbers.values() for row in rows for name in row.values}
    if "oracle" in comparison:
        there.add("share")
    comparison["columns"] = {
        name: {"unit": unit, "decimals": decimals, "higher_is_better": better}
        for name, (unit, decimals, better) in COLUMNS.items()
        if name in there
    }
    first = next(iter(comparison["metrics"]))
    for method in comparison["methods"]:
        runs = [row.values for row in numbers.get(method["name"], ())]
        method["columns"] = {
            name: _over_runs([row[name] for row in runs if name in row])
            for name in comparison["columns"]
        }
        if share := method.get("share", {}).get(first):
            method["columns"]["share"] = {
                "mean": 100 * share["value"],
                "spread": _share_spread(method, comparison, first),
            }
    names = {"metric": first, "floor": comparison.get("floor", "")}
    known = [name for name in _NOTES if name in comparison["columns"]]
    notes = [_NOTES[name].format(**names) for name in known]
    comparison["column_notes"] = [*notes, *_reasons(numbers, set(known))]


def _share_spread(
    method: Mapping[str, Any], comparison: Mapping[str, Any], metric: str
) -> float | None:
    """Returns the spread of a row's share over its runs, in percent.

    The oracle's gain is that of the means over its own runs, so the share follows the
    score.
    """
    means = {m["name"]: m["mean"][metric] for m in comparison["methods"]}
    gain = means[comparison["oracle"]] - means[comparison["floor"]]
    spread = method["spread"][metric]
    return None if spread is None or not gain else abs(100 * spread / gain)


def _reasons(
    numbers: Mapping[str, Sequence[Numbers]], columns: set[str]
) -> Iterator[str]:
    """Why rows have no number in columns that others have."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for method, runs in numbers.items():
        for run in runs:
            for name, why in run.reasons.items():
                if name in columns:
                    found.setdefault((name, why), {})[method] = None
    alike: dict[tuple[str, str], list[str]] = {}
    for (name, why), methods in found.items():
        alike.setdefault((", ".join(methods), why), []).append(name)
    for (methods, why), names in alike.items():
        yield f"No {' and no '.join(names)} of {methods}: {why.rstrip('.')}."


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


def evaluated(
    plan: Plan, dataset: str, reasons: Mapping[str, str]
) -> dict[str, list[Path]]:
    """Method -> the evaluations of its runs on a data set; those that have any."""
    found = {
        method: [
            evaluation_folder(plan.request.folder, run.evaluation(dataset))
            for run in plan.row(method, dataset)
            if not why_missing(plan, run, dataset, reasons)
        ]
        for method in plan.request.methods
    }
    return {method: folders for method, folders in found.items() if folders}


def evaluation_folder(study: Path, name: str) -> Path:
    """Where an evaluation is kept."""
    return study / "evaluations" / name


def facts(plan: Plan, times: Mapping[str, float]) -> dict[str, Any]:
    """The content of study.json: the runs, and what the study took.

    Args:
      plan: of the study.
      times: seconds of "checking", "evaluating" and "comparing", of all starts.

    Returns:
      {"runs": {name: {"method", "datasets", "seed", "state", "seconds", "memory_mb"}},
      "seconds": {"training": of all finished runs, "starting": what their processes
      took besides, and `times`}, "overhead": all others over "training"}.
    """
    study, runs = plan.request.folder, {}
    starting = 0.0
    for run in plan.runs:
        finished = is_finished(run)
        ending = (Run(run.folder).ending if finished else None) or {}
        seconds = ending.get("perf/train_seconds")
        wall = last_state(study, run.name).get("wall_seconds")
        if seconds is not None and wall is not None:
            starting += max(0.0, wall - seconds)
        runs[run.name] = {
            "method": run.method,
            "datasets": list(run.datasets),
            "seed": run.seed,
            "state": "finished" if finished else why_open(study, run),
            "seconds": seconds,
            "memory_mb": ending.get("perf/peak_memory_mb"),
        }
    training = sum(run["seconds"] or 0.0 for run in runs.values())
    others = {"starting": round(starting, 1), **times}
    found = {"runs": runs, "seconds": {"training": round(training, 1), **others}}
    if training:
        found["overhead"] = round(sum(others.values()) / training, 4)
    return found


def add_time(study: Path, what: str, seconds: float) -> dict[str, float]:
    """Adds to the time that a study's starts took for something; returns all."""
    path = study / "states" / "times.json"
    with locked(path.with_suffix(".lock")):
        times: dict[str, float] = {}
        if path.is_file():
            times = read_json(path, {str: float}, remedy="Remove it.")
        times[what] = round(times.get(what, 0.0) + seconds, 1)
        write_json_atomic(path, times)
    return times
