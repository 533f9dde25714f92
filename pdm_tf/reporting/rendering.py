"""The pages' templates (Jinja2, in `templates/`), and their functions.

File names, settings and messages come from outside. Every value that a template shows
is escaped by Jinja2, and before that loses characters that HTML cannot hold (`clean`),
so that none can open a tag, end an attribute, or reverse the text. Only `Markup` passes
unchanged: the output of templates, and the style sheet and script of this package.

Tables sort at a click, by the page's script; without it a table keeps the given order.
"""

import base64
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import jinja2
import numpy as np
from markupsafe import Markup

from pdm_tf.core.images import encode_jpeg, encode_png

JPEG_QUALITY = 92  # of photographs shown at their own size; no chroma subsampling
# Characters that HTML cannot hold, and marks that change the direction of text.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Spread(NamedTuple):
    """A mean over runs, and how far they lie apart.

    Attributes:
      mean: the number to sort by; None: unknown.
      deviation: its sample standard deviation; None: one run.
    """

    mean: float | None
    deviation: float | None = None


Value = str | float | Spread | None


class Tile(NamedTuple):
    """One picture of a group.

    Attributes:
      rgb_u8: [H, W, 3] uint8.
      alt: description for people who cannot see it.
      caption: the words below it, or "".
    """

    rgb_u8: np.ndarray
    alt: str
    caption: str = ""


def render(template: str, **values: Any) -> Markup:
    """Fills a template of `templates/` (named without .html) with these values."""
    return Markup(_environment().get_template(f"{template}.html").render(**values))


def clean(value: Any) -> Any:
    """Makes a value safe to show on a page.

    Lone surrogates (file names that are not UTF-8), control characters and
    bidirectional overrides become replacement characters. None becomes nothing.
    """
    if value is None:
        return ""
    if hasattr(value, "__html__"):
        return value
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return _UNFIT.sub("\ufffd", text)


def png_uri(rgb_u8: np.ndarray) -> str:
    """[H, W, 3] uint8 as a data URI, pixel by pixel."""
    return _uri("image/png", encode_png(rgb_u8))


def jpeg_uri(rgb_u8: np.ndarray) -> str:
    """[H, W, 3] uint8 as a data URI, smaller and a little changed."""
    return _uri("image/jpeg", encode_jpeg(rgb_u8, JPEG_QUALITY))


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pdm_tf.reporting"),
        autoescape=True,
        finalize=clean,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"png": png_uri, "jpeg": jpeg_uri, "minus": minus}
    return environment


def minus(text: str) -> str:
    """Hyphens before numbers as minus signs."""
    return re.sub(r"(^|[ (])-(?=\d)", "\\1\u2212", text)


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


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
      caption: its content.
      columns: the first names the rows.
      rows: one value per column, that of several runs with its spread; None and
        non-finite numbers show a dash, sorted last.
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
        """The rows as text."""
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
    deviation = None
    if isinstance(value, Spread):
        value, deviation = value
    if value is None or not math.isfinite(value):
        return Cell(element, classes, "", "\u2013")
    rounded = round(value, column.decimals) + 0.0  # no -0
    sign = "+" if column.signed and rounded else ""
    text = f"{rounded:{sign}.{column.decimals}f}".replace("-", "\u2212")
    if deviation is not None:
        text += f" ± {deviation:.{column.decimals}f}"
    return Cell(element, classes, repr(float(value)), text)
