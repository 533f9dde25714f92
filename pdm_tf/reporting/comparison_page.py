"""comparison.html: the table, the differences, the same crops side by side."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pdm_tf.reporting import comparison_text as texts
from pdm_tf.reporting.markup import Markup, join, tag
from pdm_tf.reporting.page import Section, render_page
from pdm_tf.reporting.pictures import columns, figure, picture
from pdm_tf.reporting.tables import Column, facts_table, plain_table, sortable_table

FILE = "comparison.html"
_TABLE = (
    "Means over the images. Bold is the best of a column, underlined the second; "
    "arrows point to what is better. The headings sort, by mouse or, once focused, by "
    "Enter and the space bar."
)
_CROPS = (
    "The same region of the same image, pixel by pixel, one image a row and one method "
    "a column. Images are chosen evenly by name, not by looks; the region is the most "
    "textured one, chosen before any network saw it."
)


class CropRow(NamedTuple):
    """One image as every method made it.

    Attributes:
      name: of the image.
      region: (top, left, height, width) in SR pixels.
      cells: (title, crop or None if it was not kept, line below).
    """

    name: str
    region: tuple[int, int, int, int]
    cells: Sequence[tuple[str, np.ndarray | None, str]]


def comparison_page(
    comparison: Mapping[str, Any], crops: Sequence[CropRow], footer: str
) -> str:
    """The whole document.

    Args:
      comparison: content of comparison.json.
      crops: images to show, in order.
      footer: who made it and when.
    """
    sections = [Section("table", "Scores", _TABLE, _scores(comparison))]
    if len(comparison["methods"]) > 1:
        head, *rows = texts.difference_rows(comparison)
        rows = [[_minus(cell) for cell in row] for row in rows]
        body = join(
            plain_table(texts.differences_title(comparison), head, rows),
            (tag("p", n, class_="note") for n in texts.notes(comparison)),
        )
        sections.append(Section("differences", "Differences", None, body))
    if crops:
        body = [_crop_row(row) for row in crops]
        sections.append(Section("crops", "Crops", _CROPS, body))
    sections.append(_images(comparison))
    models = [(m["name"], m["model"]) for m in comparison["methods"]]
    body = facts_table("Methods of the table", models)
    sections.append(Section("about", "About the methods", None, body))
    count = len(comparison["methods"])
    return render_page(
        f"{count} method{'' if count == 1 else 's'} on one set",
        texts.setting(comparison),
        None,
        sections,
        footer,
    )


def _scores(comparison: Mapping[str, Any]) -> Markup:
    metrics = comparison["metrics"]
    cells = [Column("method")]
    cells += [
        Column(texts.heading(name, spec), spec["decimals"])
        for name, spec in metrics.items()
    ]
    rows, marks = [], {}
    for y, method in enumerate(comparison["methods"]):
        rows.append([method["name"], *(method["mean"][name] for name in metrics)])
        for x, name in enumerate(metrics, start=1):
            mark = {1: "best", 2: "second"}.get(method["rank"][name])
            if mark:
                marks[y, x] = mark
    return sortable_table("Means over the images", cells, rows, marks=marks)


def _images(comparison: Mapping[str, Any]) -> Section:
    """One sortable table per metric: images as rows, methods as columns."""
    tables = []
    for number, (metric, spec) in enumerate(comparison["metrics"].items()):
        names = [method["name"] for method in comparison["methods"]]
        heads = [Column("image"), *(Column(name, spec["decimals"]) for name in names)]
        rows = [
            [image["name"], *(image[name][metric] for name in names)]
            for image in comparison["images"]
        ]
        title = texts.heading(metric, spec)
        table = sortable_table(f"{title} of each image", heads, rows)
        summary = tag("summary", title)
        tables.append(tag("details", summary, table, open=number == 0))
    return Section("images", "All images", "Open a metric; its headings sort.", tables)


def _crop_row(row: CropRow) -> Markup:
    top, left, height, width = row.region
    figures = [
        figure(_image(crop_u8, f"{row.name}, {title}"), _caption(title, line))
        for title, crop_u8, line in row.cells
    ]
    label = f"{row.name}: region {width} x {height} at {left}, {top}"
    return tag(
        "div", tag("h3", row.name), columns(figures, label), class_="group exhibit"
    )


def _image(crop_u8: np.ndarray | None, alt: str) -> Markup:
    if crop_u8 is None:
        return tag("p", "no crop was kept", class_="note")
    return picture(crop_u8, alt)


def _caption(title: str, line: str) -> Markup:
    return join(tag("strong", title), (tag("br"), line) if line else None)


def _minus(text: str) -> str:
    return text.replace("-", "\u2212")
