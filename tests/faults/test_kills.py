"""A short part of the faults harness, and that it would see a fault."""

import contextlib
import os
import re
import subprocess
import sys

import pytest

from tests.faults.kills import DISKS, KILLS, environment
from tests.support.programs import ROOT

_CARELESS = """
import sys
from pathlib import Path
from pdm_tf.inference import result_files
from tests.faults import kills
result_files.hidden_name = lambda path, number: Path(path)  # written in place
sys.exit(kills.main())
"""
_TIMED = """
import sys, time
from pdm_tf.inference import result_files
from tests.faults import kills
real, times = result_files.hidden_name, []
def named(*given):
    times.append(time.time())
    assert 0 <= times[-1] - times[0] < 1800
    return real(*given)
result_files.hidden_name = named
sys.exit(kills.main())
"""


def run(*words, kinds):
    try:
        needed = environment(kinds)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return subprocess.run(
        [
            *(sys.executable, *words, "--program=upscale", "--seed=short"),
            f"--kinds={','.join(kinds)}",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **needed},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def can_mount(folder):
    words = ["mount", "-t", "tmpfs", "tmpfs", str(folder)]
    try:
        done = subprocess.run(words, capture_output=True, check=False)
    except FileNotFoundError:
        return False
    if done.returncode == 0:
        subprocess.run(["umount", str(folder)], check=True)
    return done.returncode == 0


def test_upscale_survives_kills_full_disks_and_a_second_one(tmp_path):
    kinds = (*KILLS, "two", *(DISKS if can_mount(tmp_path) else ()))
    with contextlib.suppress(FileNotFoundError):
        environment(["clock"])
        kinds += ("clock",)
    words = ("-m", "tests.faults.kills", "--kills=20")
    done = run(*words, f"--scratch={tmp_path}", kinds=kinds)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) kills", done.stdout)[1]) >= 20


def test_results_that_are_written_in_place_are_seen(tmp_path):
    words = ("-c", _CARELESS, "--kills=8")
    done = run(*words, f"--scratch={tmp_path}", kinds=["operation"])
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"[1-9]\d* of them not right", done.stdout)


def test_a_program_that_minds_a_clock_being_set_is_seen(tmp_path):
    words = ("-c", _TIMED, "--kills=4", f"--scratch={tmp_path}")
    done = run(*words, kinds=["clock"])
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"[1-9]\d* of them not right", done.stdout)
