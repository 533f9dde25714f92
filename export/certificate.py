"""certificate.json: the comparisons with Keras, their results, and the machine.

{"passed": true, "limits": {...}, "broken": [], "networks": {...},
 "photo": {...}, "artefacts": [{"artefact": "model.onnx", "worst": {...},
 "cases": {"1x17x23": {...}}, "bytes": ..., "latency_ms": ...}, ...],
 "peak_memory_bytes": {"write": ..., ...}, "versions": {...}, "machine": {...}}
"""

import dataclasses
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.comparing import Record
from export.parity import DEFAULT_PHOTO, LATENCY_CASE, Case
from export.publish import sha256
from pdm_tf import __version__
from pdm_tf.core.memory import allowed_cpus
from pdm_tf.core.text_table import aligned

_DISTRIBUTIONS = (
    "tensorflow",
    "keras",
    "tf2onnx",
    "onnx",
    "onnxruntime-gpu",
    "onnxruntime",
    "numpy",
    "protobuf",
)


@dataclass(frozen=True)
class Built:
    """The results of the step with Keras.

    Attributes:
      networks: facts about the SR networks, JSON-ready; empty without one.
      degradation: the same for the degradation.
      cases: inputs to compare the SR models on.
      left_out: labels of the cases that would take too long.
      latency_ms: best time of the Keras network on `parity.LATENCY_CASE`; None without
        one.
      write_peak_bytes: largest resident memory until the files were written; running
        Keras on the cases takes more on top.
      degradation_left_out: which degradation is not exported, and why, or "".
    """

    networks: dict[str, object]
    degradation: dict[str, object]
    cases: tuple[Case, ...]
    left_out: tuple[str, ...]
    latency_ms: float | None
    write_peak_bytes: int
    degradation_left_out: str = ""


@dataclass(frozen=True)
class Limits:
    """Limits on the exported models' differences from Keras; images are in [0, 1].

    Attributes:
      max_abs_diff: largest difference of a float32 model.
      max_level_diffs: 8-bit values of it that may differ beyond rounding ties.
      min_fp16_psnr_db: least PSNR of the float16 model.
      max_degradation_diff: largest difference of the degradation.
    """

    max_abs_diff: float = 1e-4
    max_level_diffs: int = 0
    min_fp16_psnr_db: float = 60.0
    max_degradation_diff: float = 1e-4


def broken_limits(limits: Limits, records: Sequence[Record]) -> list[str]:
    """Names for each broken limit the artefact that breaks it, and by how much.

    PSNR is over all cases together: a crop of one pixel has too few values for a mean.
    """
    broken = []
    for record in records:
        name = f"{record.artefact} {record.signature}".strip()
        worst = record.worst
        if not worst.finite:
            broken.append(f"{name}: not all outputs are finite")
            continue
        if record.precision == "float16":
            psnr = worst.psnr_db
            if psnr is not None and psnr < limits.min_fp16_psnr_db:
                broken.append(
                    f"{name}: PSNR {psnr:.1f} dB, at least {limits.min_fp16_psnr_db:g} "
                    "wanted"
                )
            continue
        is_degradation = record.precision == "degradation"
        limit = limits.max_degradation_diff if is_degradation else limits.max_abs_diff
        if worst.max_abs is not None and worst.max_abs > limit:
            broken.append(
                f"{name}: largest difference {worst.max_abs:.2e}, at most {limit:.2e} "
                "allowed"
            )
        if not is_degradation and worst.beyond_ties > limits.max_level_diffs:
            broken.append(
                f"{name}: {worst.beyond_ties} 8-bit values differ beyond rounding "
                f"ties, at most {limits.max_level_diffs} allowed"
            )
    return broken


def make_certificate(
    built: Built,
    records: Sequence[Record],
    *,
    limits: Limits,
    photo: str,
    peaks: Mapping[str, int],
    version: int,
) -> dict[str, Any]:
    """Makes the whole content, JSON-ready.

    Args:
      built: the written models.
      records: the comparisons.
      limits: their limits.
      photo: the photograph they were made on; "" for `DEFAULT_PHOTO`.
      peaks: step -> largest resident memory, bytes.
      version: of the SavedModels.
    """
    broken = broken_limits(limits, records)
    photo_file = Path(photo) if photo else DEFAULT_PHOTO
    return {
        "passed": not broken,
        "broken": broken,
        "limits": dataclasses.asdict(limits),
        "pdm_tf": __version__,
        "version": version,
        "networks": built.networks,
        "degradation": built.degradation,
        "photo": {"name": photo_file.name, "sha256": sha256(photo_file)},
        "cases_left_out": list(built.left_out),
        "latency_case": LATENCY_CASE.label,
        "keras_latency_ms": built.latency_ms,
        "artefacts": [_artefact(record) for record in records],
        "peak_memory_bytes": dict(peaks),
        "versions": _versions(),
        "machine": {
            "processor": _processor(),
            "cpus": len(allowed_cpus()),
            "system": platform.platform(),
        },
    }


def table(built: Built, records: Sequence[Record]) -> str:
    """Formats the key numbers for the terminal, one line per artefact."""
    head = ("artefact", "MB", "load s", "ms", "max diff", "PSNR dB", "levels", "ties")
    rows: list[tuple[str, ...]] = [head]
    if built.latency_ms is not None:
        rows.append(("Keras", "", "", f"{built.latency_ms:.0f}", "", "", "", ""))
    for record in records:
        worst = record.worst
        psnr = worst.psnr_db
        rows.append(
            (
                f"{record.artefact} {record.signature}".strip(),
                f"{record.bytes / 1e6:.1f}",
                f"{record.load_seconds:.2f}",
                "" if record.latency_ms is None else f"{record.latency_ms:.0f}",
                "" if worst.max_abs is None else f"{worst.max_abs:.1e}",
                "identical" if psnr is None else f"{psnr:.1f}",
                str(worst.level_diffs),
                str(worst.ties),
            )
        )
    return "\n".join(aligned(rows))


def _artefact(record: Record) -> dict[str, Any]:
    return {
        "artefact": record.artefact,
        "signature": record.signature or None,
        "precision": record.precision,
        "bytes": record.bytes,
        "sha256": record.sha256,
        "load_seconds": record.load_seconds,
        "latency_ms": record.latency_ms,
        "worst": record.worst.to_json(),
        "cases": {name: case.to_json() for name, case in record.cases.items()},
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # one of the two onnxruntimes is enough
    return found


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    for line in text.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
