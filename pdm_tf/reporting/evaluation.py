"""An evaluation for people, made from report.json: Markdown, CSV, terminal table, page.

All are made from the JSON content alone, so that people and scripts read the same
numbers; report.html adds the pictures kept with it: means, the worst and best images,
every image's scores.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pdm_tf.core import text_table
from pdm_tf.core.files import write_json_atomic, write_text_atomic
from pdm_tf.reporting.measured_section import (
    HEADINGS,
    degradation_rows,
    measured_section,
)
from pdm_tf.reporting.page import Section, Verdict, render_page
from pdm_tf.reporting.rendering import Column, Sortable, minus, render

Report = Mapping[str, Any]

SHIFT_NOTE = (
    "psnr_shift is psnr at the best whole-pixel displacement of up to 6 px, over the "
    "pixels that both images then have, so equal to psnr where that is no "
    "displacement; its gap to psnr is what alignment alone costs (a shift of "
    "[dy, dx] means that the SR content lies dy px lower and dx px further right than "
    "in the HR image)."
)
INTERVAL_NOTE = (
    "Intervals are BCa bootstraps over the images, those of gains over the differences "
    "image by image; of fewer than about 20 images they are too narrow."
)
INFINITE_NOTE = (
    "An image identical to its reference has an infinite PSNR: shown as inf, null in "
    "report.json, left out of the mean"
)
FILE = "report.html"
# One image of a set: its name; (top, left, height, width) of the region to enlarge, in
# SR pixels; and of each picture the whole, small, its region, and lines of text, the
# title first. What `evaluation.panels.Exhibit` is.
Exhibit = tuple[
    str,
    tuple[int, int, int, int],
    Sequence[tuple[np.ndarray, np.ndarray, Sequence[str]]],
]
_WORST = (
    "By {metric}, the worst first. Above the whole pictures, below them the marked "
    "region, pixel by pixel: the most textured one, chosen before any network saw it. "
    "These show what to improve next."
)
_BEST = "By {metric}, the best first; the same four pictures of each."
_IMAGES = (
    "Every image that was scored. The headings sort, by mouse or, once focused, by "
    "Enter and the space bar."
)


def write_report(report: Report, folder: Path) -> Path:
    """Writes report.csv, .md and .json into `folder`; returns the JSON's path.

    The JSON is last: by it `compare` tells that an evaluation is finished.
    """
    path = folder / "report.json"
    write_text_atomic(folder / "report.csv", csv_text(report))
    write_text_atomic(folder / "report.md", markdown(report))
    write_json_atomic(path, dict(report))
    return path


def markdown(report: Report) -> str:
    """The report as Markdown: means first, then one row per image."""
    lines = [f"# Evaluation of {report['model']}", "", setting(report), ""]
    lines += text_table.markdown_table(summary_rows(report))
    notes = notes_of(report)
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    lines += ["", "## Images", "", *text_table.markdown_table(_per_image(report))]
    if "degradation" in report:
        rows = [HEADINGS, *degradation_rows(report["degradation"])]
        lines += [
            "",
            "## The learned degradation",
            "",
            *text_table.markdown_table(rows),
        ]
    if report["problems"]:
        lines += ["", "## Left out", ""]
        lines += [f"- {p['name']}: {p['reason']}" for p in report["problems"]]
    return "\n".join(lines) + "\n"


def csv_text(report: Report) -> str:
    """One row per image: its name, all scores, seconds; infinite ones as inf.

    Scores of a baseline are named bicubic_psnr and so on, the best shift shift_dy and
    shift_dx. Numbers are not rounded.
    """
    metrics, others = list(report["metrics"]), _others(report)
    with_shift = any("shift" in image for image in report["images"])
    head = ["image", *metrics, *(f"{who}_{name}" for who in others for name in metrics)]
    head += ["shift_dy", "shift_dx"] if with_shift else []
    rows: list[list[Any]] = [[*head, "seconds"]]
    for image in report["images"]:
        scores = [image, *(image[who] for who in others)]
        values = [entry[name] for entry in scores for name in metrics]
        row = [image["name"], *("inf" if v is None else v for v in values)]
        row += image["shift"] if with_shift else []
        rows.append([*row, image["seconds"]])
    return text_table.csv_text(rows)


def terminal_text(report: Report) -> str:
    """The report for a terminal: one row per image, then the means."""
    lines = text_table.aligned(_per_image(report), rule=True)
    lines += [
        "",
        setting(report),
        "",
        *text_table.aligned(summary_rows(report), rule=True),
    ]
    for note in notes_of(report):
        lines += ["", *textwrap.wrap(note, 88)]
    return "\n".join(lines)


def setting(report: Report) -> str:
    """One line: how many images, how they were scored."""
    left_out = len(report["problems"])
    missing = f", {left_out} left out" if left_out else ""
    if not report.get("set", {"hr": "some"})["hr"]:
        missing += ", without HR images"
    return (
        f"{report['count']} image{'' if report['count'] == 1 else 's'}{missing}, "
        f"x{report['scale']}, RGB, "
        f"{report['crop_border']} px cropped off every side."
    )


def notes_of(report: Report) -> list[str]:
    """Explains how to read the numbers, one sentence or more each."""
    notes = [f"Warning: {report['displaced']}."] if "displaced" in report else []
    notes += [f"{line}." for line in report.get("converted", ())]
    notes += [
        f"{name}: {spec['source']}."
        for name, spec in report["metrics"].items()
        if "source" in spec
    ]
    if "mean_shift" in report:
        dy, dx = report["mean_shift"]
        gap = report.get("shift_gap")
        found = f"Mean best shift [{dy:+.2f}, {dx:+.2f}] px"
        found += f", psnr_shift - psnr = {gap:+.2f} dB. " if gap is not None else ". "
        notes.append(found + SHIFT_NOTE)
    if placed := baseline_note(report):
        notes.append(placed)
    if report["count"] > 1:
        notes.append(INTERVAL_NOTE)
    if "infinite" in report:
        counts = [
            f"{name} of {who}: {count}"
            for who, table in report["infinite"].items()
            for name, count in table.items()
        ]
        notes.append(f"{INFINITE_NOTE} ({', '.join(counts)}).")
    return notes


def baseline_note(report: Report) -> str:
    """Says where bicubic lies, if it is not where other programs put it; else ""."""
    scale = report["scale"]
    if report.get("baseline_grid") != "pixel0" or scale == 1:
        return ""
    return (
        f"Bicubic is on the grid of the pairs, LR pixel i on HR pixel {scale}i; as "
        f"other programs have it, it lies {(scale - 1) / 2:g} px further down and "
        "right, and has a lower PSNR for that alone."
    )


def number(spec: Mapping[str, Any], value: float | None, *, sign: str = "") -> str:
    """A score with its metric's decimals; inf where JSON has null."""
    return "inf" if value is None else f"{value:{sign}.{spec['decimals']}f}"


def _heading(name: str, spec: Mapping[str, Any]) -> str:
    return f"{name} ({spec['unit']})" if spec["unit"] else name


def _others(report: Report) -> list[str]:
    """Lists the baselines besides the model, which may be one itself."""
    return [who for who in report["baseline"] if who != report["model"]]


def summary_rows(report: Report) -> list[list[str]]:
    """Means, intervals and gains as ready cells, the headings first."""
    metrics = report["metrics"]
    rows = [["mean", *(_heading(name, spec) for name, spec in metrics.items())]]
    for who in _others(report):
        table = report["baseline"][who]
        rows.append([who, *(number(s, table[n]) for n, s in metrics.items())])
    own = report["model"] if report["model"] in report["baseline"] else "model"
    rows.append([own, *(number(s, report["mean"][n]) for n, s in metrics.items())])
    intervals = report["interval"]
    rows.append(_interval_row(metrics, intervals, intervals["mean"]))
    for who, table in report["gain"].items():
        gains = (
            "" if table[n] is None else number(s, table[n], sign="+")
            for n, s in metrics.items()
        )
        rows.append([f"gain over {who}", *gains])
        rows.append(_interval_row(metrics, intervals, intervals["gain"][who], "+"))
    return rows


def _interval_row(
    metrics: Mapping[str, Any],
    intervals: Mapping[str, Any],
    table: Mapping[str, Sequence[float] | None],
    sign: str = "",
) -> list[str]:
    """Formats the confidence interval below a mean; empty for a single image."""
    cells = (
        ""
        if table[name] is None
        else " to ".join(number(spec, value, sign=sign) for value in table[name])
        for name, spec in metrics.items()
    )
    return [f"  {intervals['level']:.0%} interval", *cells]


def _per_image(report: Report) -> list[list[str]]:
    metrics = report["metrics"]
    with_shift = any("shift" in image for image in report["images"])
    others = _others(report)
    head = ["image", *(_heading(name, spec) for name, spec in metrics.items())]
    head += ["shift"] if with_shift else []
    head += [f"{who} {name}" for who in others for name in metrics]
    rows = [head]
    for image in report["images"]:
        row = [image["name"], *(number(s, image[n]) for n, s in metrics.items())]
        if with_shift:
            dy, dx = image["shift"]
            row.append(f"{dy:+d},{dx:+d}")
        row += [number(s, image[who][n]) for who in others for n, s in metrics.items()]
        rows.append(row)
    return rows


def evaluation_page(
    report: Mapping[str, Any],
    worst: Sequence[Exhibit],
    best: Sequence[Exhibit],
    footer: str,
) -> str:
    """Makes the whole document.

    Args:
      report: content of report.json, as `pdm_tf.evaluate` completes it.
      worst, best: pictures of images, in order.
      footer: program and time.
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
        setting(report),
        Verdict("plain", headline(report)),
        sections,
        footer,
    )


def headline(report: Mapping[str, Any]) -> str:
    """Describes the first metric's mean and the gain over bicubic in one sentence."""
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
        for other, of_other in list(report["metrics"].items())[1:]:
            gain = table[other]
            if gain and round(gain, of_other["decimals"]):
                if ((gain > 0) == of_other["higher_is_better"]) != better:
                    told = _value(of_other, gain, sign="+")
                    text += f"; {other} says the opposite, {told}"
    return minus(text) + "."


def _means(report: Mapping[str, Any]) -> Section:
    head, *rows = summary_rows(report)
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
        notes=notes_of(report),
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
    body = render("facts", caption="Model, images and settings", facts=facts)
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
