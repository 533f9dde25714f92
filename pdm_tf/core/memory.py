"""How much memory there is to take."""

from pathlib import Path


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
