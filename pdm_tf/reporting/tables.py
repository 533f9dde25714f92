"""Tables that sort at a click: their numbers as text and as values to sort by.

Sorting is done by the page's script; without it a table is a table in the order given.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Value = str | float | None


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

    @property
    def is_number(self) -> bool:
        """Whether its cells are numbers."""
        return self.decimals is not None


class Cell(NamedTuple):
    """A cell: its HTML element, classes, number to sort by ("": none) and text."""

    element: str
    classes: str
    value: str
    text: str


@dataclass(frozen=True)
class Sortable:
    """A table whose headings sort it.

    Attributes:
      caption: what it shows.
      columns: the first names the rows.
      rows: one value per column; None and what is not finite show a dash, sorted last.
      marks: (row, column) -> "best" or "second", for cells that stand out.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    marks: Mapping[tuple[int, int], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"A row must have {len(self.columns)} values. "
                    f"Received: {list(row)!r}."
                )

    @property
    def cells(self) -> list[list[Cell]]:
        """The rows as they are shown."""
        return [
            [
                _cell(column, value, x == 0, self.marks.get((y, x), ""))
                for x, (column, value) in enumerate(zip(self.columns, row, strict=True))
            ]
            for y, row in enumerate(self.rows)
        ]


def _cell(column: Column, value: Value, is_heading: bool, mark: str) -> Cell:
    element = "th" if is_heading else "td"
    if column.decimals is None:
        return Cell(element, "", "", "" if value is None else str(value))
    classes = f"number {mark}".strip()
    if value is None or not math.isfinite(value):
        return Cell(element, classes, "", "\u2013")
    rounded = round(value, column.decimals) + 0.0  # no -0
    sign = "+" if column.signed and rounded else ""
    text = f"{rounded:{sign}.{column.decimals}f}".replace("-", "\u2212")
    return Cell(element, classes, repr(float(value)), text)
