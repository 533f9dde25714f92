"""What the steps of an export share: names of files, results, Keras's outputs.

Light on purpose: the program itself and the steps that compare import it without
TensorFlow.
"""

import contextlib
import hashlib
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from export.cases import Case

# Below the output folder.
SAVED_MODEL = "saved_model"
MODEL = "model.onnx"
MODEL_FP16 = "model_fp16.onnx"
DEGRADATION = "degradation"
DEGRADATION_ONNX = f"{DEGRADATION}/degradation.onnx"
DEGRADATION_SAVED_MODEL = f"{DEGRADATION}/{SAVED_MODEL}"
CERTIFICATE = "certificate.json"
FAILED_CERTIFICATE = "certificate.failed.json"
# Below the temporary folder alone, never published.
_REFERENCE = ".reference"


@dataclass(frozen=True)
class Built:
    """What the step with Keras has written.

    Attributes:
      networks: facts about the SR networks, JSON-ready; empty without one.
      degradation: the same for the degradation.
      cases: what to compare the SR models on.
      left_out: labels of the cases that would take too long.
      latency_ms: best time of the Keras network on `cases.LATENCY_CASE`; None without
        one.
      write_peak_bytes: largest resident memory until the files were written; what
        running Keras on the cases takes comes on top.
    """

    networks: dict[str, object]
    degradation: dict[str, object]
    cases: tuple[Case, ...]
    left_out: tuple[str, ...]
    latency_ms: float | None
    write_peak_bytes: int


def save_reference(folder: Path, name: str, values: np.ndarray) -> None:
    """Keeps an array for the comparing steps."""
    (folder / _REFERENCE).mkdir(parents=True, exist_ok=True)
    np.save(folder / _REFERENCE / f"{name}.npy", values)


def load_reference(folder: Path, name: str) -> np.ndarray:
    """An array of `save_reference`."""
    return np.load(folder / _REFERENCE / f"{name}.npy")


def best_ms(call: Callable[[], object], least: int = 2, budget_s: float = 5.0) -> float:
    """Best of some calls after a first one that is not counted, milliseconds.

    At least `least` calls; more while `budget_s` lasts, ten at most.
    """
    call()
    times: list[float] = []
    while len(times) < least or (sum(times) < budget_s and len(times) < 10):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return round(min(times) * 1000.0, 2)


def peak_bytes() -> int:
    """Largest resident memory of this process so far.

    VmHWM where there is one: ru_maxrss begins at what the process that started this one
    had in use then.
    """
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="ascii")
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def size_bytes(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in _files(path))


def sha256(path: Path) -> str:
    """Of a file; of a folder, over the names and contents of its files."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for file in _files(path):
        digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file())
