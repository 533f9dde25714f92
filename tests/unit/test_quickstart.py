"""The quickstart's own parts; the whole of it is in tests/system/test_quickstart.py."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from pdm_tf import quickstart
from pdm_tf.cli.flag_set import parse
from pdm_tf.core.errors import UserError

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
    config = quickstart.QuickstartConfig(output_dir=str(tmp_path), steps=7)
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
        ("--output_dir=", "--output_dir is required"),
        ("--train_flag=batch_size=4", "--train_flag=--name=value. Received: 'batch_"),
        ("--stepps=5", "Did you mean --steps?"),
    ],
)
def test_wrong_flags_are_refused(argument, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        parse(quickstart.SPEC, [argument])


def test_a_missing_flag_file_is_named(tmp_path):
    config = quickstart.QuickstartConfig(
        output_dir=str(tmp_path / "out"), train_flagfile=str(tmp_path / "no.flags")
    )
    with pytest.raises(UserError, match=r"must be a flag file.*no\.flags"):
        quickstart.main(config)
    assert not (tmp_path / "out").exists()


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
    config = quickstart.QuickstartConfig(output_dir=str(tmp_path / "out"))
    with pytest.raises(UserError, match=r"Missing: no_such_a, no_such_b\. Install"):
        quickstart.main(config)
    assert not (tmp_path / "out").exists()
