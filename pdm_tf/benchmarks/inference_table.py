"""The numbers of `inference_task.py` as people read them."""

from collections.abc import Mapping, Sequence
from typing import Any

_HEADS = ("", "ms", "GFLOP/s", "of GEMM", "x torch", "differs by", "peak MB")
_NONE = "-"


def table(result: Mapping[str, Any]) -> str:
    """Returns the table, with a line above it that says what was run."""
    sides = result["sides"]
    rows = _used([_HEADS, *(_row(name, side) for name, side in sides.items())])
    work = "" if result["gflop"] is None else f", {result['gflop']:.4g} GFLOP"
    sizes = " -> ".join(
        "x".join(str(size) for size in result[key]) for key in ("lr_shape", "sr_shape")
    )
    peaks = result["gemm"]["peak_gflops"]
    lines = [
        f"{result['network']}: {sizes}{work}; medians of {result['rounds']} rounds "
        "(least to most)",
        *_aligned(rows),
        "GEMM: "
        + ", ".join(f"{rate:.0f} GFLOP/s {name}" for name, rate in peaks.items())
        + f", the best library's product of {result['gemm']['size']} x "
        f"{result['gemm']['size']} in the same rounds",
    ]
    if result["references"]:
        chosen = ", ".join(f"{v} ({k})" for k, v in result["references"].items())
        lines.append(f"x torch: times {chosen}; smaller is faster")
    lines.append("differs by: largest difference from onnxruntime's output")
    return "\n".join(lines)


def _row(name: str, side: Mapping[str, Any]) -> tuple[str, ...]:
    milliseconds, times = side["ms"], side["ratio_to_torch"]
    share, peak = side["share_of_gemm"], side["peak_mb"]
    return (
        name,
        _ranged(milliseconds, ".0f" if milliseconds["median"] >= 100 else ".2f"),
        _NONE if side["gflops"] is None else f"{side['gflops']:.0f}",
        _NONE if share is None else f"{100 * share:.0f} %",
        _NONE if times is None else _ranged(times, ".2f"),
        f"{side['max_difference']:.1e}" if side["max_difference"] else "0",
        _NONE if peak is None else f"{peak:.0f}",
    )


def _ranged(values: Mapping[str, float], form: str) -> str:
    median, least, most = (format(values[k], form) for k in ("median", "least", "most"))
    return f"{median} ({least}-{most})"


def _used(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The columns in which something was measured."""
    columns = zip(*rows, strict=True)
    kept = [column for column in columns if set(column[1:]) != {_NONE}]
    return [list(row) for row in zip(*kept, strict=True)]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
