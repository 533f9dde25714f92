"""comparison.html: the table, the differences, the same crops side by side."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pdm_tf.reporting import comparison_text as texts
from pdm_tf.reporting.page import Section, render_page
from pdm_tf.reporting.rendering import minus, render
from pdm_tf.reporting.tables import Column, Sortable

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

    @property
    def items(self) -> list[tuple[np.ndarray | None, str, tuple[str, str]]]:
        """(crop, what it shows, lines below) of each cell."""
        return [
            (crop_u8, f"{self.name}, {title}", (title, line))
            for title, crop_u8, line in self.cells
        ]


def comparison_page(
    comparison: Mapping[str, Any], crops: Sequence[CropRow], footer: str
) -> str:
    """The whole document.

    Args:
      comparison: content of comparison.json.
      crops: images to show, in order.
      footer: who made it and when.
    """
    sections = [
        Section(
            "table", "Scores", _TABLE, render("sortable", table=_scores(comparison))
        )
    ]
    if len(comparison["methods"]) > 1:
        head, *rows = texts.difference_rows(comparison)
        rows = [[minus(cell) for cell in row] for row in rows]
        body = render(
            "table",
            caption=texts.differences_title(comparison),
            headings=head,
            rows=rows,
            notes=texts.notes(comparison),
        )
        sections.append(Section("differences", "Differences", "", body))
    if crops:
        body = render("crops", crops=crops)
        sections.append(Section("crops", "Crops", _CROPS, body))
    sections.append(_images(comparison))
    models = [(m["name"], m["model"]) for m in comparison["methods"]]
    body = render("facts", caption="Methods of the table", facts=models)
    sections.append(Section("about", "About the methods", "", body))
    count = len(comparison["methods"])
    return render_page(
        f"{count} method{'' if count == 1 else 's'} on one set",
        texts.setting(comparison),
        None,
        sections,
        footer,
    )


def _scores(comparison: Mapping[str, Any]) -> Sortable:
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
    return Sortable("Means over the images", cells, rows, marks)


def _images(comparison: Mapping[str, Any]) -> Section:
    """One sortable table per metric: images as rows, methods as columns."""
    tables = []
    for metric, spec in comparison["metrics"].items():
        names = [method["name"] for method in comparison["methods"]]
        heads = [Column("image"), *(Column(name, spec["decimals"]) for name in names)]
        rows = [
            [image["name"], *(image[name][metric] for name in names)]
            for image in comparison["images"]
        ]
        title = texts.heading(metric, spec)
        tables.append((title, Sortable(f"{title} of each image", heads, rows)))
    body = render("image_tables", tables=tables)
    return Section("images", "All images", "Open a metric; its headings sort.", body)
