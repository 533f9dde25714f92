"""report.html of an evaluation: means, the worst and best images, every image's scores.

Made from the content of report.json and the pictures that were kept beside it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pdm_tf.reporting import evaluation_text as texts
from pdm_tf.reporting.measured_section import measured_section
from pdm_tf.reporting.page import Section, Verdict, render_page
from pdm_tf.reporting.rendering import minus, render
from pdm_tf.reporting.tables import Column, Sortable

FILE = "report.html"

# One image of a set: its name; (top, left, height, width) of the region to enlarge, in
# SR pixels; and of each picture the whole, small, its region, and lines of text, the
# title first. What `evaluation.exhibits.Exhibit` is.
Exhibit = tuple[
    str,
    tuple[int, int, int, int],
    Sequence[tuple[np.ndarray, np.ndarray, Sequence[str]]],
]

_WORST = (
    "By {metric}, the worst first. Above the whole pictures, below them the marked "
    "region, pixel by pixel: the most textured one, chosen before any network saw it. "
    "What goes wrong here is what to mend next."
)
_BEST = "By {metric}, the best first; the same four pictures of each."
_IMAGES = (
    "Every image that was scored. The headings sort, by mouse or, once focused, by "
    "Enter and the space bar."
)


def evaluation_page(
    report: Mapping[str, Any],
    worst: Sequence[Exhibit],
    best: Sequence[Exhibit],
    footer: str,
) -> str:
    """The whole document.

    Args:
      report: content of report.json, as `pdm_tf.evaluate` completes it.
      worst, best: pictures of images, in order.
      footer: who made it and when.
    """
    metric = next(iter(report["metrics"]))
    sections = [_means(report)]
    for anchor, title, lead, exhibits in (
        ("worst", "The worst images", _WORST, worst),
        ("best", "The best images", _BEST, best),
    ):
        if exhibits:
            body = render("exhibits", exhibits=exhibits)
            sections.append(Section(anchor, title, lead.format(metric=metric), body))
    body = render("sortable", table=_images(report))
    sections.append(Section("images", "All images", _IMAGES, body))
    if "degradation" in report:
        sections.append(measured_section(report["degradation"]))
    if report["problems"]:
        left = [(p["name"], p["reason"]) for p in report["problems"]]
        body = render("facts", caption=f"{len(left)} left out", facts=left)
        sections.append(Section("left_out", "Left out", "", body))
    sections.append(_about(report))
    return render_page(
        f"Evaluation of {report['model']}",
        texts.setting(report),
        Verdict("plain", headline(report)),
        sections,
        footer,
    )


def headline(report: Mapping[str, Any]) -> str:
    """The first metric's mean, and what is gained over bicubic, in one sentence."""
    name, spec = next(iter(report["metrics"].items()))
    text = f"{name} {_value(spec, report['mean'][name])} on average"
    for who, table in report["gain"].items():
        if table[name] is None:
            continue
        better = (table[name] > 0) == spec["higher_is_better"]
        gain = _value(spec, table[name], sign="+")
        text += f", {gain} against {who}: {'better' if better else 'worse'}"
        interval = report["interval"]["gain"][who][name]
        if interval is not None:
            low, high = interval
            level = report["interval"]["level"]
            sure = low > 0 or high < 0
            text += (
                f"{'' if sure else ', but that may be chance'} ({level:.0%} interval "
                f"{_value(spec, low, sign='+')} to {_value(spec, high, sign='+')})"
            )
    return minus(text) + "."


def _means(report: Mapping[str, Any]) -> Section:
    head, *rows = texts.summary_rows(report)
    rows = [[minus(cell) for cell in row] for row in rows]
    arrows = [
        f"{cell} {'↑' if spec['higher_is_better'] else '↓'}"
        for cell, spec in zip(head[1:], report["metrics"].values(), strict=True)
    ]
    body = render(
        "table",
        caption="Means over the images",
        headings=[head[0], *arrows],
        rows=rows,
        notes=texts.notes_of(report),
    )
    lead = "Arrows point to what is better."
    return Section("mean", "Means and their intervals", lead, body)


def _images(report: Mapping[str, Any]) -> Sortable:
    metrics = report["metrics"]
    others = [who for who in report["baseline"] if who != report["model"]]
    with_shift = any("shift" in image for image in report["images"])
    heads = [Column("image")]
    heads += [_column(name, spec) for name, spec in metrics.items()]
    for who in others:
        heads += [
            Column(f"{name} over {who}", spec["decimals"], signed=True)
            for name, spec in metrics.items()
        ]
    if with_shift:
        heads += [Column("shift down, px", 0, True), Column("right, px", 0, True)]
    heads.append(Column("seconds", 2))
    rows = []
    for image in report["images"]:
        row: list[Any] = [image["name"], *(image[name] for name in metrics)]
        for who in others:
            row += [_difference(image[name], image[who][name]) for name in metrics]
        row += image["shift"] if with_shift else []
        rows.append([*row, image["seconds"]])
    return Sortable("Each image", heads, rows)


def _about(report: Mapping[str, Any]) -> Section:
    facts = [("model", report["model"])]
    facts += [(name, str(value)) for name, value in report["model_facts"].items()]
    places = report.get("set", {})
    facts += [(f"{side} images", place) for side, place in places.items() if place]
    facts += [
        ("border left out", f"{report['crop_border']} pixels"),
        ("scale", report["scale"]),
    ]
    facts += [
        (name, spec["source"])
        for name, spec in report["metrics"].items()
        if "source" in spec
    ]
    body = render("facts", caption="What was evaluated, on what", facts=facts)
    return Section("about", "About this evaluation", "", body)


def _column(name: str, spec: Mapping[str, Any]) -> Column:
    unit = f", {spec['unit']}" if spec["unit"] else ""
    return Column(f"{name}{unit}", spec["decimals"])


def _difference(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _value(spec: Mapping[str, Any], value: float | None, *, sign: str = "") -> str:
    if value is None:
        return "infinite"
    return f"{value:{sign}.{spec['decimals']}f} {spec['unit']}".strip()
