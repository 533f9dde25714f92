"""Numbers and tables of cells as people read them: terminal, Markdown, CSV."""

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

Rows = Sequence[Sequence[str]]


def aligned(rows: Rows, *, rule: bool = False) -> list[str]:
    """The lines of a table for a terminal: the first column to the left, others right.

    Args:
      rows: texts, equally many in each row; the headings are a row like any other.
      rule: whether a line of dashes follows the first row.
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    ruler = ["-" * (sum(widths) + 2 * len(widths) - 2)] if rule else []
    return [*lines[:1], *ruler, *lines[1:]]


def markdown_table(rows: Rows) -> list[str]:
    """Rows, the headings first, as the lines of a Markdown table."""
    rule = ["---", *("---:" for _ in rows[0][1:])]
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (escaped[0], rule, *escaped[1:])]


def csv_text(rows: Sequence[Sequence[Any]]) -> str:
    """Rows as CSV by RFC 4180, but lines end in a line feed alone."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    # Names of files that are not UTF-8 hold lone surrogates.
    return out.getvalue().encode("utf-8", "replace").decode("utf-8")


def number(value: float, digits: int = 3) -> str:
    """Formats a number for people: 4,000; 0.25; 1.2e-05; "none" for None."""
    if not math.isfinite(value):
        return "none"
    value = round(value, 12) + 0.0  # no -0
    if value == 0:
        return "0"
    if abs(value) >= 10**digits and abs(value) < 1e7:
        return f"{value:,.0f}".replace("-", "\u2212")
    if abs(value) < 1e-4:
        digit, power = f"{value:.1e}".split("e")
        short = f"{digit.removesuffix('.0')}e{int(power)}"
        return short.replace("-", "\u2212")
    return f"{value:.{digits}g}".replace("-", "\u2212")
