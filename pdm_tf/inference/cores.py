"""How many threads a CPU computation should use here.

Physical cores, of those that this process may run on, and no more than a container's
quota pays for: a second thread on the same core only gets in the way of a convolution,
and threads beyond the quota are put to sleep in the middle of their work.
"""

import math
import os
from pathlib import Path

_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def usable_cores(root: Path | str = "/") -> int:
    """Returns the number of threads for a computation, 1 or more.

    Args:
      root: where /sys and /proc lie, for tests.
    """
    root = Path(root)
    allowed = _allowed_cpus()
    cores = {_text(root, _TOPOLOGY.format(cpu)) or f"cpu{cpu}" for cpu in allowed}
    quota = _quota(root)
    count = len(cores) if quota is None else min(len(cores), math.ceil(quota))
    return max(count, 1)


def _allowed_cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _quota(root: Path) -> float | None:
    """CPUs that the process's control group may use; None: all."""
    folders = ["sys/fs/cgroup", "sys/fs/cgroup/cpu"]
    for line in _text(root, "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            folders.append(f"sys/fs/cgroup{path}")
        elif "cpu" in controllers.split(","):
            folders.append(f"sys/fs/cgroup/cpu{path}")
    found = []
    for folder in folders:
        fields = _text(root, f"{folder}/cpu.max").split()  # version 2
        if not fields:
            fields = [
                _text(root, f"{folder}/cpu.cfs_quota_us"),  # version 1
                _text(root, f"{folder}/cpu.cfs_period_us"),
            ]
        if len(fields) == 2 and all(fields) and fields[0] not in ("max", "-1"):
            found.append(int(fields[0]) / int(fields[1]))
    return min(found, default=None)


def _text(root: Path, name: str) -> str:
    try:
        return (root / name.lstrip("/")).read_text(encoding="utf-8").strip()
    except OSError:  # another system, or a sandbox that hides it
        return ""
