"""Free memory and the peak of it, as Linux says them."""

import math
import os
from pathlib import Path

import numpy as np

from pdm_tf.core.memory import free_mb, peak_bytes


def test_what_linux_says(tmp_path):
    path = tmp_path / "meminfo"
    path.write_text("MemTotal: 24000000 kB\nMemAvailable:   1000000 kB\n")
    assert free_mb(str(path)) == 1024.0
    assert free_mb(str(tmp_path / "none")) == math.inf
    path.write_text("MemTotal: 24000000 kB\n")
    assert free_mb(str(path)) == math.inf
    assert 0 < free_mb()


def test_peak_rises_with_what_is_used():
    before = peak_bytes()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    room = max(0, before - pages * os.sysconf("SC_PAGE_SIZE"))
    block = np.ones((room + 100_000_000) // 8)
    assert 80e6 < peak_bytes() - before < 200e6
    del block
