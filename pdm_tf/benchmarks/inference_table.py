"""The numbers of `inference_task.py` as people read them."""

from collections.abc import Mapping
from typing import Any

from pdm_tf.benchmarks.table import gemm_line, reference_line, side_lines


def table(result: Mapping[str, Any]) -> str:
    """Returns the table, with a line above it that says what was run."""
    work = "" if result["gflop"] is None else f", {result['gflop']:.4g} GFLOP"
    sizes = " -> ".join(
        "x".join(str(size) for size in result[key]) for key in ("lr_shape", "sr_shape")
    )
    lines = [
        f"{result['network']}: {sizes}{work}; medians of {result['rounds']} rounds "
        "(least to most)",
        *side_lines(result["sides"]),
        gemm_line(result["gemm"]),
    ]
    if result["references"]:
        lines.append(reference_line(result["references"]))
    lines.append("differs by: largest difference from onnxruntime's output")
    return "\n".join(lines)
