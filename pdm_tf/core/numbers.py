"""Numbers as people write them, and tables of them for a terminal."""

import math
from collections.abc import Sequence


def number(value: float, digits: int = 3) -> str:
    """A number for people: 4,000; 0.25; 1.2e-05; "none" where there is none."""
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


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table for a terminal: the first column to the left, others right.

    Args:
      rows: texts, equally many in each row; the headings are a row like any other.
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
