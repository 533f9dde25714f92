"""Finds out where a session really computes, and why it is not the requested device.

onnxruntime's own answers describe how it was built, not this machine:
`get_available_providers()` lists CUDA where there is no GPU, and a session that was
asked for CUDA is made on the CPU without an exception or a Python warning. So here the
session is inspected after it was made, and the native log from its creation, which
holds the reason, is captured and reported.

Loading the provider's library by hand would give the reason too, but must not be done
before onnxruntime has loaded it itself: its static initialisers take a pointer that is
not set by then.
"""

import contextlib
import ctypes
import importlib.util
import io
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pdm_tf.core.errors import UserError

NATIVE = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_ALIASES = {native: name for name, native in NATIVE.items()}
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
# From the most specific to the least.
_REASONS = (
    re.compile(r"Failed to load library \S+ with error: (.+)"),
    re.compile(r"(CUDA failure \d+: [^;]+)"),
    re.compile(r"(Failed to create \w+ExecutionProvider\..+)"),
    re.compile(r"\[E:onnxruntime:[^\]]*\] (.+)"),
)


@dataclass(frozen=True)
class ProviderReport:
    """The requested provider and the active one.

    Attributes:
      requested: "auto", "cpu", "cuda" or "tensorrt".
      active: "cpu", "cuda" or "tensorrt": where the session computes.
      reason: why `active` is not the requested provider; "" when it is. For "auto" on a
        CPU, why there is no CUDA.
      nodes_on_active: nodes of the optimised graph that run there.
      nodes_total: all its nodes.
    """

    requested: str
    active: str
    reason: str
    nodes_on_active: int
    nodes_total: int

    @property
    def on_gpu(self) -> bool:
        """Whether the session computes on a GPU."""
        return self.active != "cpu"

    def __str__(self) -> str:
        text = f"{self.active} ({self.nodes_on_active} of {self.nodes_total} nodes)"
        return f"{text}; {self.reason}" if self.reason else text


def wanted_providers(provider: str) -> list[str]:
    """Lists providers to try, best first, without the CPU.

    Raises:
      UserError: unknown name.
    """
    wanted = {
        "auto": ["cuda"],
        "cpu": [],
        "cuda": ["cuda"],
        "tensorrt": ["tensorrt", "cuda"],
    }
    if provider not in wanted:
        raise UserError(
            f"--provider must be one of {', '.join(wanted)}. Received: {provider!r}."
        )
    return wanted[provider]


def missing_for(ort: ModuleType, name: str, device_id: int = 0) -> str:
    """Returns why `name` ("cuda", "tensorrt") cannot work here; "" to try it."""
    if NATIVE[name] not in ort.get_available_providers():
        return (
            f"this onnxruntime ({ort.__version__}) was built without it; "
            "onnxruntime-gpu has it"
        )
    reason = _driver_problem(device_id)
    if reason:
        return reason
    # pip's CUDA libraries lie in folders where no loader looks.
    with contextlib.redirect_stdout(io.StringIO()):
        ort.preload_dlls()
    return _tensorrt_problem() if name == "tensorrt" else ""


def cuda_options(device_id: int, *, tf32: bool) -> dict[str, str]:
    """Returns options of the CUDA provider for tiles of a few shapes.

    HEURISTIC chooses a convolution algorithm without trying all of them for each new
    shape; the arena grows by the requested amounts instead of doubling.
    `fuse_conv_bias` stays off, because it makes results differ from run to run.
    """
    return {
        "device_id": str(device_id),
        "cudnn_conv_algo_search": "HEURISTIC",
        "cudnn_conv_use_max_workspace": "1",
        "arena_extend_strategy": "kSameAsRequested",
        "use_tf32": str(int(tf32)),
    }


def reason_in_log(log: str) -> str:
    """Finds the most specific reason in onnxruntime's native log: one line or ""."""
    lines = [_COLOUR.sub("", line).strip() for line in log.splitlines()]
    for pattern in _REASONS:
        for line in lines:
            found = pattern.search(line)
            if found:
                return " ".join(found[1].split()).rstrip(".")
    return ""


def nodes_by_provider(session: Any) -> dict[str, Counter[str]]:
    """Counts provider's name -> kind of node -> how many run there.

    It is empty under versions of onnxruntime that do not report it (1.25 and earlier).
    """
    counts: dict[str, Counter[str]] = {}
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return counts
    for part in session.get_provider_graph_assignment_info():
        name = _ALIASES.get(part.ep_name, part.ep_name)
        nodes = counts.setdefault(name, Counter())
        nodes.update(node.op_type for node in part.get_nodes())
    return counts


def report_on(session: Any, requested: str, reason: str) -> ProviderReport:
    """Reports where a session computes.

    Args:
      session: an `InferenceSession` that records assignments.
      requested: what the user asked for.
      reason: why something better is not active, if known.
    """
    native = session.get_providers()[0]
    active = _ALIASES.get(native, native)
    counts = nodes_by_provider(session)
    heavy = {name: nodes["Conv"] + nodes["FusedConv"] for name, nodes in counts.items()}
    if sum(heavy.values()) and not heavy.get(active):
        # It has the provider but gave it no work that matters.
        best = max(heavy, key=lambda name: heavy[name])
        reason = reason or f"{active} is there, but the convolutions went to {best}"
        active = best
    as_asked = active == requested or (requested == "auto" and active != "cpu")
    if not as_asked and not reason:
        reason = "onnxruntime gave no reason"
    return ProviderReport(
        requested=requested,
        active=active,
        reason="" if as_asked else reason,
        nodes_on_active=counts.get(active, Counter()).total(),
        nodes_total=sum(nodes.total() for nodes in counts.values()),
    )


def check_strict(report: ProviderReport, path: Path | str) -> None:
    """Raises UserError unless the session computes on the requested provider."""
    if report.requested in ("auto", report.active):
        return
    raise UserError(
        f"--provider={report.requested} with strict selection must not fall back. "
        f"Received: {report.active} for {path}, because {report.reason}. "
        "Fix that, or allow the fallback."
    )


def _driver_problem(device_id: int) -> str:
    """Returns why NVIDIA's driver does not offer the device; "" if it does."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return f"there is no NVIDIA driver here ({error})"
    code = driver.cuInit(0)
    if code:
        return f"the NVIDIA driver finds no usable GPU (cuInit gives {code})"
    count = ctypes.c_int()
    code = driver.cuDeviceGetCount(ctypes.byref(count))
    if code or not count.value:
        return f"the NVIDIA driver finds no GPU (cuDeviceGetCount gives {code})"
    if not 0 <= device_id < count.value:
        return f"there is no GPU {device_id}; the driver has {count.value}"
    return ""


def _tensorrt_problem() -> str:
    names = ["libnvinfer.so.10"]
    spec = importlib.util.find_spec("tensorrt_libs")  # of the wheel tensorrt-cu12
    for folder in spec.submodule_search_locations or [] if spec else []:
        names.append(str(Path(folder) / "libnvinfer.so.10"))
    reason = ""
    for name in names:
        try:
            ctypes.CDLL(name)
            return ""
        except OSError as error:
            reason = reason or str(error)
    return f"there is no TensorRT here ({reason})"


def tensorrt_options(device_id: int, cache: Path) -> Mapping[str, str]:
    """Returns options of the TensorRT provider: engines take minutes and are kept."""
    cache.mkdir(parents=True, exist_ok=True)
    return {
        "device_id": str(device_id),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(cache),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(cache),
    }
