"""Aligned tables of measurements, as people read them."""

from collections.abc import Mapping, Sequence
from typing import Any

_NONE = "-"
_HEADS = ("", "ms", "GFLOP/s", "of GEMM", "x torch", "differs by", "peak MB")


def side_lines(sides: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns a row for each entry of "sides" as `figures.figures` makes them."""
    return aligned([_HEADS, *(_row(name, side) for name, side in sides.items())])


def gemm_line(gemm: Mapping[str, Any]) -> str:
    """Returns what `gemm.to_json` found, in one line."""
    rates = ", ".join(
        f"{rate:.0f} GFLOP/s {name}" for name, rate in gemm["peak_gflops"].items()
    )
    return (
        f"GEMM: {rates}, the best library's product of {gemm['size']} x "
        f"{gemm['size']} in the same rounds"
    )


def reference_line(references: Mapping[str, str]) -> str:
    """Returns what the column "x torch" refers to."""
    chosen = ", ".join(f"{name} ({key})" for key, name in references.items())
    return f"x torch: times {chosen}; smaller is faster"


def milliseconds(values: Mapping[str, float]) -> str:
    """Returns the median and the range of times in ms, short."""
    return ranged(values, ".0f" if values["median"] >= 100 else ".2f")


def ranged(values: Mapping[str, float] | None, form: str = ".2f") -> str:
    """Returns the median and the range in a format; "-" for None."""
    if values is None:
        return _NONE
    median, least, most = (format(values[k], form) for k in ("median", "least", "most"))
    return f"{median} ({least}-{most})"


def shown(value: float | None, form: str = ".0f", factor: float = 1.0) -> str:
    """Returns a number in a format; "-" for None."""
    return _NONE if value is None else format(factor * value, form)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the lines of a table: a head and rows of texts, empty columns left out.

    A column is empty when nothing was measured in it. The first one is aligned to the
    left, numbers to the right.
    """
    columns = zip(*rows, strict=True)
    kept = [column for column in columns if set(column[1:]) != {_NONE}]
    widths = [max(len(cell) for cell in column) for column in kept]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in zip(*kept, strict=True)
    ]


def _row(name: str, side: Mapping[str, Any]) -> tuple[str, ...]:
    difference, share = side.get("max_difference"), side["share_of_gemm"]
    return (
        name,
        milliseconds(side["ms"]),
        shown(side["gflops"]),
        _NONE if share is None else f"{100 * share:.0f} %",
        ranged(side["ratio_to_torch"]),
        "0" if difference == 0.0 else shown(difference, ".1e"),
        shown(side["peak_mb"]),
    )
