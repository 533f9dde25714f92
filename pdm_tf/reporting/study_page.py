"""study.html: the tables of all data sets of a study, its runs, and what it took."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pdm_tf.core.progress import clock
from pdm_tf.reporting.comparison import CropRow, comparison_sections
from pdm_tf.reporting.page import Section, render_page
from pdm_tf.reporting.rendering import render

FILE = "study.html"
_RUNS = "Every run that the study has, and what has become of it."
_COST = "Wall-clock time of all starts together."


class DatasetTable(NamedTuple):
    """What a study found on one data set.

    Attributes:
      comparison: content of comparison.json.
      crops: images to show.
    """

    comparison: Mapping[str, Any]
    crops: Sequence[CropRow]


def study_page(
    tables: Mapping[str, DatasetTable], study: Mapping[str, Any], footer: str
) -> str:
    """Makes the whole document.

    Args:
      tables: by the data sets' names.
      study: content of study.json.
      footer: program and time.
    """
    sections = []
    for name, (comparison, crops) in tables.items():
        sections += comparison_sections(comparison, crops, of=name)
    runs = [(name, run["state"]) for name, run in study["runs"].items()]
    body = render("facts", caption="Runs", facts=runs)
    sections.append(Section("runs", "Runs", _RUNS, body))
    times = [(what, clock(s)) for what, s in study["seconds"].items()]
    body = render("facts", caption="Time of the study", facts=times)
    lead = f"{_COST} {overhead_text(study)}".strip()
    sections.append(Section("cost", "What the study took", lead, body))
    methods = len({run["method"] for run in study["runs"].values()})
    seeds = len({run["seed"] for run in study["runs"].values()})
    return render_page(
        f"{_count(methods, 'method')} on {_count(len(tables), 'data set')}",
        f"{_count(seeds, 'seed')}, {_count(len(runs), 'run')}.",
        None,
        sections,
        footer,
    )


def overhead_text(study: Mapping[str, Any]) -> str:
    """A sentence on what the study took besides training; "" where nothing is known."""
    if "overhead" not in study:
        return ""
    return (
        "Starting, checking, evaluating and comparing took "
        f"{study['overhead']:.1%} of the time of training."
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
