"""Rows of cells as text: aligned for a terminal, as Markdown, as CSV."""

import csv
import io
from collections.abc import Sequence
from typing import Any

Rows = Sequence[Sequence[str]]


def aligned(rows: Rows, *, rule: bool = True) -> list[str]:
    """Rows, the headings first, as lines for a terminal.

    The first column is aligned left and the others right.

    Args:
      rows: of as many cells each.
      rule: whether a line of dashes follows the headings.
    """
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return [lines[0], "-" * len(lines[0]), *lines[1:]] if rule else lines


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
