"""What is said about the measurements of sides that do the same work."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdm_tf.benchmarks.rounds import ratio, summary


@dataclass(frozen=True)
class Side:
    """One way to do the work.

    Attributes:
      library: "onnxruntime", "tensorflow" or "torch".
      precision: "float32" or "bfloat16", of the convolutions.
      channels_last: memory layout, of torch; the others choose theirs.
    """

    library: str
    precision: str = "float32"
    channels_last: bool = False


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
    """Turns measurements into what is said about them.

    Args:
      sides: what the names mean.
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
