"""Every module and every file that goes with one gets installed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ONLY_HERE = {"pdm_tf/samples/quickstart_panel.jpg"}  # README's picture


def files_of(place):
    return {
        path.relative_to(place).as_posix()
        for package in ("pdm_tf", "export")
        for path in (place / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_a_wheel_holds_all_of_both_packages(tmp_path):
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_py", f"--build-lib={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert files_of(tmp_path) == files_of(ROOT) - ONLY_HERE
