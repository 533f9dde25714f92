"""What this process may take of the machine: memory and processors."""

import contextlib
import os
import resource
import sys
from pathlib import Path


def allowed_cpus() -> set[int]:
    """Returns the processors that this process may use, at least one."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def free_mb(meminfo: str = "/proc/meminfo") -> float:
    """Returns the memory that can be taken without swapping, in MB (10**6 bytes).

    Linux's own estimate, MemAvailable; infinity on systems that do not say.
    """
    try:
        lines = Path(meminfo).read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024 / 1e6
    return float("inf")


def peak_bytes() -> int:
    """Returns the largest resident memory of this process so far.

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
