"""Peak memory of one side, in a process that runs nothing else.

Taken from `VmHWM` of Linux: `getrusage` would count what the parent had in use when it
started the process.
"""

import concurrent.futures
import multiprocessing
from pathlib import Path

import numpy as np

from pdm_tf.benchmarks.sides import build, set_threads
from pdm_tf.benchmarks.subject import Subject

_CALLS = 2  # the second may need more than the first: buffers kept in between


def peak_mb(
    name: str, subject: Subject, lr_shape: tuple[int, ...], threads: int
) -> float:
    """Returns the most resident memory that one side takes, in MB (10**6 bytes).

    Libraries, weights (random ones, of the right size) and images included.

    Raises:
      concurrent.futures.process.BrokenProcessPool: its process was killed.
    """
    fresh = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=fresh) as pool:
        return pool.submit(_run, name, subject, lr_shape, threads).result()


def _run(name: str, subject: Subject, lr_shape: tuple[int, ...], threads: int) -> float:
    if name.startswith("tensorflow"):
        set_threads(threads)
    run = build(name, subject, None, lr_shape=lr_shape, threads=threads)
    lr = np.full(lr_shape, 0.5, np.float32)
    for _ in range(_CALLS):
        run(lr)
    return high_water_mb()


def high_water_mb() -> float:
    """Returns the most resident memory of this process so far, in MB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("This system does not say how much memory a process took.")
