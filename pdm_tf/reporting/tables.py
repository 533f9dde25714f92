"""Tables: plain ones, pairs of name and value, and ones that sort at a click.

Sorting is done by the page's script; without it a table is a table in the order given.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pdm_tf.reporting.markup import Child, Markup, tag


@dataclass(frozen=True)
class Column:
    """A column of a sortable table.

    Attributes:
      heading: with the unit.
      decimals: of its numbers; None for a column of texts.
      signed: whether positive numbers get a plus.
    """

    heading: str
    decimals: int | None = None
    signed: bool = False


def plain_table(
    caption: str, headings: Sequence[Child], rows: Sequence[Sequence[Child]]
) -> Markup:
    """Rows of ready cells; the first of each row is its heading."""
    return _framed(
        caption,
        tag("thead", tag("tr", (tag("th", h, scope="col") for h in headings))),
        tag(
            "tbody",
            (
                tag(
                    "tr",
                    tag("th", row[0], scope="row"),
                    (tag("td", cell) for cell in row[1:]),
                )
                for row in rows
            ),
        ),
    )


def facts_table(caption: str, facts: Sequence[tuple[str, Child]]) -> Markup:
    """Names and values, one pair a row."""
    return _framed(
        caption,
        tag(
            "tbody",
            (
                tag("tr", tag("th", name, scope="row"), tag("td", value))
                for name, value in facts
            ),
        ),
        class_="facts",
    )


def sortable_table(
    caption: str,
    columns: Sequence[Column],
    rows: Sequence[Sequence[str | float | None]],
    *,
    marks: Mapping[tuple[int, int], str] | None = None,
) -> Markup:
    """A table whose headings sort it.

    Args:
      caption: what it shows.
      columns: the first names the rows.
      rows: one value per column; None and what is not finite show a dash, sorted last.
      marks: (row, column) -> "best" or "second", for cells that stand out.

    Raises:
      ValueError: a row of another length.
    """
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(
                f"A row must have {len(columns)} values. Received: {list(row)!r}."
            )
    head = tag(
        "tr",
        (
            tag(
                "th",
                tag("button", column.heading, type="button"),
                scope="col",
                aria_sort="none",
                class_="number" if column.decimals is not None else None,
            )
            for column in columns
        ),
    )
    marks = marks or {}
    body = [
        tag("tr", (_cell(c, v, x == 0, marks.get((y, x))) for x, (c, v) in pairs))
        for y, pairs in enumerate(
            enumerate(zip(columns, row, strict=True)) for row in rows
        )
    ]
    return _framed(caption, tag("thead", head), tag("tbody", body), class_="sort")


def _cell(
    column: Column, value: str | float | None, first: bool, mark: str | None = None
) -> Markup:
    name, scope = ("th", "row") if first else ("td", None)
    if column.decimals is None:
        return tag(name, value, scope=scope)
    classes = "number" if mark is None else f"number {mark}"
    if value is None or not math.isfinite(value):
        return tag(name, "\u2013", scope=scope, class_=classes)
    rounded = round(value, column.decimals) + 0.0  # no -0
    sign = "+" if column.signed and rounded else ""
    text = f"{rounded:{sign}.{column.decimals}f}".replace("-", "\u2212")
    return tag(name, text, scope=scope, class_=classes, data_value=repr(float(value)))


def _framed(caption: str, *parts: Markup, class_: str = "") -> Markup:
    """A table that scrolls by itself where the window is too narrow for it."""
    table = tag("table", tag("caption", caption), *parts, class_=class_ or None)
    return tag(
        "div", table, class_="scroll", role="region", aria_label=caption, tabindex=0
    )
