"""Steps in processes of their own: results, failures, deaths, memory."""

import multiprocessing.util
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from export.stages import StageError, run_stage
from pdm_tf.core.errors import UserError
from tests.support.processes import ended, wait_for

MIB = 2**20


def test_returns_the_functions_result_from_another_process():
    stage = run_stage("os:getpid")
    assert stage.result != os.getpid() and ended(stage.result)
    assert 0.0 < stage.seconds < 60.0
    assert run_stage("operator:concat", [1], [b"2"]).result == [1, b"2"]
    assert run_stage("builtins:print").result is None


def test_large_results_come_through():
    """More than a pipe holds, so that the child waits for its reader."""
    result = run_stage("numpy:arange", 3_000_000).result
    np.testing.assert_array_equal(result, np.arange(3_000_000))


def test_a_users_error_comes_back_as_one(capfd):
    with pytest.raises(UserError, match="--photo must .* /nowhere.png: does not exist"):
        run_stage("export.parity:read_photo", "/nowhere.png")
    assert capfd.readouterr() == ("", "")  # the program prints it, once


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("operator:truediv", "ZeroDivisionError"),
        ("export.no_such_file:build", "ModuleNotFoundError"),
        ("operator:no_such_function", "AttributeError"),
    ],
)
def test_a_defect_shows_its_traceback(capfd, target, reason):
    with pytest.raises(StageError, match=f"The step {target} failed; see above"):
        run_stage(target, 1, 0)
    first, *_, last = capfd.readouterr().err.strip().splitlines()
    assert first.startswith("Traceback") and last.startswith(reason)


@pytest.mark.parametrize(
    ("target", "argument", "code"),
    [("os:_exit", 7, 7), ("signal:raise_signal", 9, -9), ("sys:exit", 3, 3)],
)
def test_a_death_is_reported_with_its_code(target, argument, code):
    """-9 is what the kernel's killer for lack of memory leaves behind."""
    with pytest.raises(StageError) as died:
        run_stage(target, argument)
    message = str(died.value)
    assert f"The step {target} ended without a result (exit code {code};" in message
    assert "lack of memory" in message


def test_peak_memory_is_the_steps_own():
    """Neither what this process takes, nor what the step has given back by the end."""
    here = np.ones(300 * MIB, np.uint8)
    source = "x = bytearray(b'1') * {}; del x"
    small, large = (
        run_stage("builtins:exec", source.format(size * MIB)).peak_bytes
        for size in (1, 150)
    )
    assert 5 * MIB < small < 150 * MIB
    assert large - small == pytest.approx(149 * MIB, abs=20 * MIB)
    del here  # in use until now


def step_at_work(folder, work):
    """A process that runs a step; returns it and the step's number."""
    step = f"open('pid', 'w').write(str(__import__('os').getpid()));{work}"
    source = (
        f"from export.stages import run_stage; run_stage('builtins:exec', {step!r})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", source],
        # A shell's background jobs, and what they start, ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    number = wait_for(
        lambda: (folder / "pid").is_file() and (folder / "pid").read_text()
    )
    return process, int(number)


SLEEP = "__import__('time').sleep(100)"
# No other thread of the step can run meanwhile.
COUNT = "sum(range(10**11))"


@pytest.mark.parametrize("work", [SLEEP, COUNT], ids=["sleeps", "computes"])
def test_a_step_ends_with_the_process_that_was_killed(tmp_path, work):
    process, step = step_at_work(tmp_path, work)
    assert not ended(step)
    process.kill()
    process.wait()
    wait_for(lambda: ended(step))


def test_an_interrupt_ends_the_step_at_once(tmp_path):
    """Also where the signal reaches the exporter alone, as from `kill -INT`."""
    process, step = step_at_work(tmp_path, SLEEP)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=30)[1]
    assert process.returncode == -signal.SIGINT and "KeyboardInterrupt" in told
    assert ended(step) and time.monotonic() - start < 10.0


def test_an_interrupt_during_the_start_leaves_no_half_printed_step(monkeypatch, capfd):
    """It comes when the process is there and does not yet know what to do."""
    spawn, started = multiprocessing.util.spawnv_passfds, []

    def interrupted(*args):
        started.append(spawn(*args))
        os.kill(os.getpid(), signal.SIGINT)
        return started[-1]

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(multiprocessing.util, "spawnv_passfds", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_stage("builtins:exec", SLEEP)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended(started[-1]) and capfd.readouterr() == ("", "")


def test_a_terminals_ctrl_c_is_left_to_the_parent():
    """A terminal sends it to all its processes; only one should speak."""
    blocked = run_stage("signal:pthread_sigmask", signal.SIG_BLOCK, []).result
    assert signal.SIGINT in blocked
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
