"""Free memory, as Linux says it."""

import math

from pdm_tf.core.memory import free_mb


def test_what_linux_says(tmp_path):
    path = tmp_path / "meminfo"
    path.write_text("MemTotal: 24000000 kB\nMemAvailable:   1000000 kB\n")
    assert free_mb(str(path)) == 1024.0
    assert free_mb(str(tmp_path / "none")) == math.inf
    path.write_text("MemTotal: 24000000 kB\n")
    assert free_mb(str(path)) == math.inf
    assert 0 < free_mb()
