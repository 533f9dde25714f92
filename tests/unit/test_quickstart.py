"""The quickstart's own parts; the whole of it is in tests/system/test_quickstart.py."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from pdm_tf import quickstart
from pdm_tf.cli.flag_set import parse
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import write_json_atomic
from pdm_tf.samples.blur_track import Track

# A program that saves when it gets a signal, and counts the signals.
STOPPABLE = """
import signal, sys, time
told = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda n, _: told.append(n))
print("ready", flush=True)
while not told:
    time.sleep(0.01)
time.sleep(0.5)  # time for a second signal to arrive, if there is one
print("told", [int(n) for n in told], flush=True)
sys.exit(75)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_reaches_the_running_program_once_and_its_code_comes_back(
    tmp_path, number
):
    """Ctrl-C goes to every process of the group, as from a terminal."""
    (tmp_path / "stoppable.py").write_text(STOPPABLE)
    starter = "import sys; from pdm_tf import quickstart; "
    starter += "sys.exit(quickstart._run_program('stoppable'))"
    path = os.pathsep.join([str(tmp_path), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", starter],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=30)
    assert output == f"told [{int(number)}]\n"
    assert process.returncode == 75


def test_programs_start_from_the_folder_above_the_checkout(tmp_path, monkeypatch):
    """A folder with the package's name is not taken for it."""
    (tmp_path / "pdm_tf").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert quickstart._run_program("export", "--help") == 0


def test_a_killed_program_has_the_shells_code(tmp_path, monkeypatch):
    source = "import os; os.kill(os.getpid(), 9)"
    (tmp_path / "killed.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert quickstart._run_program("killed") == 137


def test_the_first_failing_program_ends_it(tmp_path, monkeypatch, capsys):
    """Evaluation must not run on what a failed training has left."""
    started = []

    def failing(module: str, *flags: str) -> int:
        started.append((module, flags))
        return 3

    monkeypatch.setattr(quickstart, "_run_program", failing)
    config = quickstart.QuickstartConfig(output=str(tmp_path), steps=7)
    assert quickstart.main(config) == 3
    [(module, flags)] = started
    assert module == "pdm_tf.train"
    assert "--steps=7" in flags
    assert (
        flags.index("--steps=7") > 0 == flags.index(f"--flagfile={quickstart.FLAGFILE}")
    )
    assert "exit code 3" in capsys.readouterr().err


def test_summary_tells_both_scores():
    report = {
        "mean": {"psnr": 27.126, "ssim": 0.8, "psnr_shift": 27.3},
        "baseline": {"bicubic": {"psnr": 24.0, "ssim": 0.7, "psnr_shift": 25.554}},
        "images": [{}, {}],
    }
    text = "\n".join(quickstart.summary(report))
    assert text == textwrap.dedent(
        """\
        mean of 2     PSNR      best-shift PSNR
        bicubic       24.00 dB  25.55 dB
        PDM-SR        27.13 dB  27.30 dB"""
    )


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--steps=-1", "--steps must not be negative. Received: -1"),
        ("--output=", "--output is required"),
        ("--train_flag=batch_size=4", "--train_flag=--name=value. Received: 'batch_"),
        ("--stepps=5", "Did you mean --steps?"),
    ],
)
def test_wrong_flags_are_refused(argument, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        parse(quickstart.SPEC, [argument])


def test_a_missing_flag_file_is_named(tmp_path):
    config = quickstart.QuickstartConfig(
        output=str(tmp_path / "out"), train_flagfile=str(tmp_path / "no.flags")
    )
    with pytest.raises(UserError, match=r"must be a flag file.*no\.flags"):
        quickstart.main(config)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("milliseconds", "steps"),
    [(198.0, 1000), (20.0, 1500), (10_000.0, quickstart.LEAST_STEPS)],
)
def test_steps_follow_the_measured_speed(tmp_path, monkeypatch, milliseconds, steps):
    """A step of 198 ms, measured on one core at 2.8 GHz, makes 1,000 steps."""

    def measured(module, *flags, quiet):
        assert (
            quiet and module == "pdm_tf.benchmark" and "--sr_arg=num_blocks=8" in flags
        )
        path = next(x for x in flags if x.startswith("--output=")).partition("=")[2]
        side = {"ms": {"least": milliseconds}}
        write_json_atomic(Path(path), {"sides": {"tensorflow": side}})
        return 0

    monkeypatch.setattr(quickstart, "_run_program", measured)
    found = quickstart._steps_for(tmp_path, quickstart.FLAGFILE, "float32")
    assert found == steps
    config = quickstart.QuickstartConfig(output=str(tmp_path))
    track = Track(tmp_path / "data")
    flags = quickstart._train_flags(
        config, track, quickstart.FLAGFILE, "float32", found
    )
    assert f"--steps={steps}" in flags


def test_a_timing_that_ends_early_is_not_passed_over(tmp_path, monkeypatch, capsys):
    """Ctrl-C during it ends the demo; a failure is said, and its steps are taken."""
    for code in (130, 143):
        monkeypatch.setattr(
            quickstart, "_run_program", lambda *_, code=code, **__: code
        )
        with pytest.raises(KeyboardInterrupt):
            quickstart._steps_for(tmp_path, quickstart.FLAGFILE, "float32")
    monkeypatch.setattr(quickstart, "_run_program", lambda *_, **__: 1)
    steps = quickstart._steps_for(tmp_path, quickstart.FLAGFILE, "float32")
    told = f"the timing failed (exit code 1): {steps} steps are taken"
    assert told in capsys.readouterr().err


def test_a_training_that_began_keeps_its_steps(tmp_path, monkeypatch):
    write_json_atomic(tmp_path / "run/config.json", {"steps": 700})
    monkeypatch.setattr(quickstart, "_run_program", None)  # nothing is measured
    found = quickstart._steps_for(tmp_path, quickstart.FLAGFILE, "float32")
    assert found == 700


def test_before_and_after_show_the_pictures_as_they_are():
    before, after, hr = (np.full((300, 448, 3), c, np.uint8) for c in (40, 90, 140))
    shown = quickstart.before_and_after(before, after, hr, (24.0, 25.0))
    for value in (40, 90, 140):
        assert (shown == value).all(axis=-1).sum() >= 96 * 148 * 16
    whole = shown[:600]
    assert (whole[:, :896] == 40).all() and (whole[:, -896:] == 90).all()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx2 avx512f", "float32"),
        ("fpu avx512_bf16 avx512f", "bfloat16"),
        ("fpu avx512_bf16 amx_bf16", "bfloat16"),
        ("fpu not_amx_bf16", "float32"),
    ],
)
def test_auto_precision_is_bfloat16_where_the_cpu_has_units(tmp_path, flags, expected):
    (tmp_path / "cpuinfo").write_text(f"flags\t\t: {flags}\n")
    assert quickstart.precision_for(tmp_path / "cpuinfo")[0] == expected


def test_auto_precision_without_cpuinfo_is_float32(tmp_path):
    assert quickstart.precision_for(tmp_path / "none")[0] == "float32"


def test_missing_packages_are_named_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(quickstart, "_NEEDED", ("numpy", "no_such_a", "no_such_b"))
    config = quickstart.QuickstartConfig(output=str(tmp_path / "out"))
    with pytest.raises(UserError, match=r"Missing: no_such_a, no_such_b\. Install"):
        quickstart.main(config)
    assert not (tmp_path / "out").exists()
