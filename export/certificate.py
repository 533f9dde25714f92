"""certificate.json: what was compared with Keras, how it came out, on what machine.

{"passed": true, "limits": {...}, "broken": [], "networks": {...},
 "photo": {...}, "artefacts": [{"artefact": "model.onnx", "worst": {...},
 "cases": {"1x17x23": {...}}, "bytes": ..., "latency_ms": ...}, ...],
 "peak_memory_bytes": {"write": ..., ...}, "versions": {...}, "machine": {...}}
"""

import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from export.cases import DEFAULT_PHOTO, LATENCY_CASE
from export.comparing import Record
from export.flags_export import ExportConfig
from export.workspace import Built, sha256
from pdm_tf import __version__

_DISTRIBUTIONS = (
    *("tensorflow", "keras", "tf2onnx", "onnx", "onnxruntime-gpu", "onnxruntime"),
    *("numpy", "protobuf"),
)


def broken_limits(config: ExportConfig, records: Sequence[Record]) -> list[str]:
    """Says for each limit that does not hold which artefact breaks it and by how much.

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
            if psnr is not None and psnr < config.min_fp16_psnr:
                broken.append(
                    f"{name}: PSNR {psnr:.1f} dB, at least {config.min_fp16_psnr:g} "
                    "wanted"
                )
            continue
        limit = _abs_limit(config, record)
        if worst.max_abs is not None and worst.max_abs > limit:
            broken.append(
                f"{name}: largest difference {worst.max_abs:.2e}, at most {limit:.2e} "
                "allowed"
            )
        if record.precision != "degradation":
            if worst.beyond_ties > config.max_level_diffs:
                broken.append(
                    f"{name}: {worst.beyond_ties} 8-bit values differ beyond rounding "
                    f"ties, at most {config.max_level_diffs} allowed"
                )
    return broken


def make_certificate(
    config: ExportConfig,
    built: Built,
    records: Sequence[Record],
    peaks: Mapping[str, int],
    version: int,
) -> dict[str, Any]:
    """The whole content, JSON-ready.

    Args:
      config: of the export.
      built: what was written.
      records: the comparisons.
      peaks: step -> largest resident memory, bytes.
      version: of the SavedModels.
    """
    broken = broken_limits(config, records)
    photo = Path(config.photo) if config.photo else DEFAULT_PHOTO
    return {
        "passed": not broken,
        "broken": broken,
        "limits": {
            "max_abs_diff": config.max_abs_diff,
            "max_level_diffs": config.max_level_diffs,
            "min_fp16_psnr_db": config.min_fp16_psnr,
            "max_degradation_diff": config.max_degradation_diff,
        },
        "pdm_tf": __version__,
        "version": version,
        "networks": built.networks,
        "degradation": built.degradation,
        "photo": {"name": photo.name, "sha256": sha256(photo)},
        "cases_left_out": list(built.left_out),
        "latency_case": LATENCY_CASE.label,
        "keras_latency_ms": built.latency_ms,
        "artefacts": [_artefact(record) for record in records],
        "peak_memory_bytes": dict(peaks),
        "versions": _versions(),
        "machine": {
            "processor": _processor(),
            "cpus": len(os.sched_getaffinity(0)),
            "system": platform.platform(),
        },
    }


def table(built: Built, records: Sequence[Record]) -> str:
    """The key numbers for the terminal, one line per artefact."""
    head = ("artefact", "MB", "load s", "ms", "max diff", "PSNR dB", "levels", "ties")
    rows = [head]
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
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _abs_limit(config: ExportConfig, record: Record) -> float:
    if record.precision == "degradation":
        return config.max_degradation_diff
    return config.max_abs_diff


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
