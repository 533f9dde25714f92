"""Threads: physical cores of those allowed, and what a container's quota pays for."""

import pytest

from pdm_tf.inference import cores


def _machine(root, siblings, files):
    """A /sys of CPUs; `siblings`: per CPU, those on its core."""
    for cpu, text in enumerate(siblings):
        path = root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        path.parent.mkdir(parents=True)
        path.write_text(f"{text}\n")
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


SMT = ["0,4", "1,5", "2,6", "3,7"] * 2


@pytest.mark.parametrize(
    ("siblings", "allowed", "files", "expected"),
    [
        (SMT, range(8), {}, 4),
        (SMT, [0, 4], {}, 1),
        (SMT, [0, 1, 5], {}, 2),
        (["0", "1"], range(2), {}, 2),
        ([], range(3), {}, 3),  # no topology to be seen
        (SMT, range(8), {"sys/fs/cgroup/cpu.max": "150000 100000"}, 2),
        (SMT, range(8), {"sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        (SMT, range(8), {"sys/fs/cgroup/cpu.max": "max 100000"}, 4),
        (SMT, range(8), {"sys/fs/cgroup/cpu.max": "1600000 100000"}, 4),
        (
            SMT,
            range(8),
            {
                "proc/self/cgroup": "0::/pod/job",
                "sys/fs/cgroup/cpu.max": "max 100000",
                "sys/fs/cgroup/pod/job/cpu.max": "300000 100000",
            },
            3,
        ),
        (
            SMT,
            range(8),
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/job\n2:memory:/job",
                "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "200000",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000",
            },
            2,
        ),
        (
            SMT,
            range(8),
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            4,
        ),
    ],
)
def test_usable_cores(tmp_path, monkeypatch, siblings, allowed, files, expected):
    _machine(tmp_path, siblings, files)
    monkeypatch.setattr(cores, "_allowed_cpus", lambda: set(allowed))
    assert cores.usable_cores(tmp_path) == expected


def test_this_machine():
    import os

    assert 1 <= cores.usable_cores() <= os.cpu_count()
