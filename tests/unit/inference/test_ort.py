"""onnxruntime: wheels that clash, damaged installs, the threads of a session."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.inference import ort

REPOSITORY = Path(__file__).parents[3]


def test_one_wheel_is_fine_and_two_are_refused():
    ort.check_wheels([])
    ort.check_wheels(["onnxruntime"])
    with pytest.raises(UserError, match="pip uninstall -y onnxruntime onnxruntime-gpu"):
        ort.check_wheels(["onnxruntime", "onnxruntime-gpu"])


def _metadata(folder, name, version):
    (folder / f"{name}-{version}.dist-info").mkdir(parents=True)
    (folder / f"{name}-{version}.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: {version}\n"
    )


def _import(path):
    code = (
        "from pdm_tf.inference.ort import import_onnxruntime\n"
        "from pdm_tf.core.errors import UserError\n"
        "try:\n    import_onnxruntime()\n    print('imported')\n"
        "except UserError as error:\n    print(error)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(path)},
        check=True,
    ).stdout


def test_both_wheels_in_an_environment_are_found_before_the_import(tmp_path):
    """The state that pip leaves when both were installed."""
    _metadata(tmp_path, "onnxruntime", "1.26.0")
    _metadata(tmp_path, "onnxruntime_gpu", "1.26.0")
    said = _import(tmp_path)
    assert "Only one wheel of onnxruntime may be installed" in said
    assert "onnxruntime, onnxruntime-gpu" in said


@pytest.mark.parametrize("content", ["", "raise ImportError('libfoo.so is missing')"])
def test_a_damaged_install_is_explained(tmp_path, content):
    """As after uninstalling one of two wheels: a folder that is only half there."""
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(content)
    said = _import(tmp_path)
    assert "cannot be imported" in said
    assert "--force-reinstall --no-deps" in said
    assert "libfoo" in said or not content


def test_errors_are_printed_without_their_codes():
    error = RuntimeError(
        "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load of x:\n bad."
    )
    assert ort.reason_of(error) == "Load of x: bad"
    assert ort.reason_of(ValueError("plain")) == "plain"


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
    monkeypatch.setattr(ort, "allowed_cpus", lambda: set(allowed))
    assert ort.usable_cores(tmp_path) == expected


def test_this_machine():
    import os

    assert 1 <= ort.usable_cores() <= os.cpu_count()
