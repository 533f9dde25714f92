"""The sides of every task, and the summary and table of their times.

A side is one way to do a task's work. All sides of a task do the same work, which is
checked, and take turns; ratios give the times their meaning.
"""

import importlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from pdm_tf.benchmarks.measuring import ratio, summary
from pdm_tf.core import text_table
from pdm_tf.core.errors import UserError

_NONE = "-"
_HEADS = (
    "",
    "ms",
    "GFLOP/s",
    "% of peak matmul",
    "time / PyTorch",
    "differs by",
    "peak MB",
)
# Cases of `degrade` -> results of a side.
CASES = {
    "blur": "[B, h, w, 3]",
    "blur, gradient": "[B, K*K], of the sum of the squared results",
    "degradation, gradient": "[K*K], the same for the bias of the kernel's logits",
}


@dataclass(frozen=True)
class Side:
    """One way to do the work.

    Attributes:
      library: "onnxruntime", "tensorflow" or "torch".
      precision: "float32" or "bfloat16", of the convolutions.
      channels_last: memory layout, of torch; the others choose theirs.
      case: of `degrade`, one of `CASES`.
      blur: of torch, the form of its blur: "unfold" or "grouped".
    """

    library: str
    precision: str = "float32"
    channels_last: bool = False
    case: str = ""
    blur: str = ""


def _degrading_sides() -> dict[str, Side]:
    sides = {}
    for case in CASES:
        sides[f"{case}: tensorflow"] = Side("tensorflow", case=case)
        for blur in ("unfold", "grouped"):
            name = f"{case}: torch_{blur}"
            sides[name] = Side("torch", case=case, blur=blur)
            if case.startswith("degradation"):
                sides[f"{name}_channels_last"] = Side(
                    "torch", channels_last=True, case=case, blur=blur
                )
    return sides


INFERENCE = {
    "onnxruntime": Side("onnxruntime"),
    "tensorflow": Side("tensorflow"),
    "tensorflow_bfloat16": Side("tensorflow", "bfloat16"),
    "torch": Side("torch"),
    "torch_channels_last": Side("torch", channels_last=True),
    # The faster layout in bfloat16.
    "torch_bfloat16": Side("torch", "bfloat16", channels_last=True),
}
TRAINING = {
    "tensorflow": Side("tensorflow"),
    "tensorflow_bfloat16": Side("tensorflow", "bfloat16"),
    "torch": Side("torch"),
    "torch_channels_last": Side("torch", channels_last=True),
    "torch_bfloat16": Side("torch", "bfloat16"),
    "torch_channels_last_bfloat16": Side("torch", "bfloat16", channels_last=True),
}
DEGRADING = _degrading_sides()


def import_torch_side(name: str, threads: int = 0) -> ModuleType:
    """Returns the module `pdm_tf.benchmarks.NAME`, which imports torch.

    Args:
      name: of the module.
      threads: of all of PyTorch in this process; 0 leaves them as they are.

    Raises:
      UserError: PyTorch is not installed.
    """
    try:
        module = importlib.import_module(f"pdm_tf.benchmarks.{name}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UserError(
            "--compare=torch needs PyTorch, which is not installed. Install it with "
            'pip install "pdm_tf[benchmark]".'
        ) from error
    if threads:
        module.torch.set_num_threads(threads)
    return module


def asked_for(sides: Mapping[str, Side], *, torch: bool, bfloat16: bool) -> list[str]:
    """Returns the names of the sides left when torch or bfloat16 are not wanted."""
    return [
        name
        for name, side in sides.items()
        if (side.precision == "float32" or bfloat16)
        and (side.library != "torch" or torch)
    ]


def fastest(names: Sequence[str], seconds: Mapping[str, Sequence[float]]) -> str:
    """Returns the name with the least median."""
    return min(names, key=lambda name: statistics.median(seconds[name]))


def figures(
    sides: Mapping[str, Side],
    seconds: Mapping[str, Sequence[float]],
    operations: int | None,
    peaks: Mapping[str, float],
    peak_mb: Mapping[str, float],
) -> dict[str, Any]:
    """Summarises the measurements.

    Args:
      sides: name -> side.
      seconds: side -> seconds of a call in each round.
      operations: of a call; None: unknown.
      peaks: precision -> GFLOP/s of matrix products.
      peak_mb: side -> peak memory; empty: not measured.

    Returns:
      "gflop", "references" (precision -> the fastest of the torch sides) and "sides".
    """
    gflop = None if operations is None else operations / 1e9
    torch: dict[str, list[str]] = {}
    for name in seconds:
        if sides[name].library == "torch":
            torch.setdefault(sides[name].precision, []).append(name)
    references = {key: fastest(names, seconds) for key, names in torch.items()}
    entries = {}
    for name, values in seconds.items():
        precision = sides[name].precision
        reference = references.get(precision)
        rate = gflop and gflop / statistics.median(values)
        entries[name] = {
            "precision": precision,
            "ms": summary([1e3 * value for value in values]).to_json(),
            "gflops": rate,
            "share_of_gemm": rate and rate / peaks[precision],
            "ratio_to_torch": (
                reference and ratio(values, seconds[reference]).to_json()
            ),
            "peak_mb": peak_mb.get(name),
        }
    return {"gflop": gflop, "references": references, "sides": entries}


def side_lines(sides: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns a row for each entry of "sides" as `figures` makes them."""
    return aligned_table([_HEADS, *(_row(name, side) for name, side in sides.items())])


def gemm_line(gemm: Mapping[str, Any]) -> str:
    """Formats the result of `arithmetic.rates_to_json` in one line."""
    rates = ", ".join(
        f"{rate:.0f} GFLOP/s {name}" for name, rate in gemm["peak_gflops"].items()
    )
    return (
        f"peak matmul: {rates}, the best library's product of two matrices of "
        f"{gemm['size']} x {gemm['size']} in the same rounds"
    )


def reference_line(references: Mapping[str, str]) -> str:
    """Returns the reference of the column "time / PyTorch"."""
    chosen = ", ".join(f"{name} ({key})" for key, name in references.items())
    return f"time / PyTorch: over that of {chosen}; below 1 is faster"


def format_ms(values: Mapping[str, float]) -> str:
    """Returns the median and the range of times in ms, short."""
    return format_range(values, ".0f" if values["median"] >= 100 else ".2f")


def format_range(values: Mapping[str, float] | None, form: str = ".2f") -> str:
    """Returns the median and the range in a format; "-" for None."""
    if values is None:
        return _NONE
    median, least, most = (format(values[k], form) for k in ("median", "least", "most"))
    return f"{median} ({least}-{most})"


def format_value(value: float | None, form: str = ".0f", factor: float = 1.0) -> str:
    """Returns a number in a format; "-" for None."""
    return _NONE if value is None else format(factor * value, form)


def aligned_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns the lines of a table: headings and rows of texts, empty columns left out.

    A column without measurements is empty.
    """
    columns = zip(*rows, strict=True)
    kept = [column for column in columns if set(column[1:]) != {_NONE}]
    return text_table.aligned(list(zip(*kept, strict=True)))


def _row(name: str, side: Mapping[str, Any]) -> tuple[str, ...]:
    difference, share = side.get("max_difference"), side["share_of_gemm"]
    return (
        name,
        format_ms(side["ms"]),
        format_value(side["gflops"]),
        format_value(share, factor=100.0),
        format_range(side["ratio_to_torch"]),
        "0" if difference == 0.0 else format_value(difference, ".1e"),
        format_value(side["peak_mb"]),
    )
