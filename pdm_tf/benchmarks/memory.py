"""Peak memory of one side, in a process that runs nothing else.

Taken from `VmHWM` of Linux: `getrusage` would count what the parent had in use when it
started the process.
"""

import concurrent.futures
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any


def peak_mb(work: Callable[..., object], *args: Any) -> float:
    """Returns the most resident memory that `work(*args)` takes, in MB (10**6 bytes).

    Libraries that it imports are included. It runs in a new process and so has to be a
    function of a module, and its arguments plain values.

    Raises:
      concurrent.futures.process.BrokenProcessPool: its process was killed.
    """
    fresh = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=fresh) as pool:
        return pool.submit(_measured, work, args).result()


def _measured(work: Callable[..., object], args: tuple[Any, ...]) -> float:
    work(*args)
    return high_water_mb()


def high_water_mb() -> float:
    """Returns the most resident memory of this process so far, in MB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("This system does not say how much memory a process took.")
