"""A killed run goes on bit for bit; processes are killed for real, with SIGKILL.

What is not killed runs in this process; the reference has one of its own, so that runs
of two processes are compared, and what a start prints is seen.
"""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from pdm_tf.cli import program
from pdm_tf.run import read_metrics
from tests.support import forking
from tests.unit.training import toy_program

STEPS = 8


def start(run_dir, *flags, kill="", steps=STEPS, own_process=False):
    """Runs the toy program to its end, in a process of its own where it is killed."""
    argv = [
        "--hr_dir=unused",
        f"--run_dir={run_dir}",
        f"--steps={steps}",
        "--save_every=3",
        "--log_every=1",
        "--validate_every=4",
        "--preview_every=0",
        "--lr_milestones=90,95",  # steps: parts would move with --steps
        *flags,
    ]
    own_process = own_process or kill.startswith(("step:", "save:"))
    return (_in_a_process if own_process else _here)(argv, kill)


def _in_a_process(argv, kill):
    return forking.run(
        [sys.executable, "-m", "tests.unit.training.toy_program", *argv],
        env={**os.environ, "KILL": kill},
        timeout=180,
    )


def _here(argv, kill):
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("KILL", kill)
        code = program.call(toy_program.TOY, toy_program.main, argv)
    return subprocess.CompletedProcess(argv, code, out.getvalue(), err.getvalue())


def final(run_dir):
    with np.load(run_dir / "final.npz") as file:
        return dict(file)


def losses(run_dir):
    """(step, losses or validation) of every record; times and speeds left out."""
    return [
        (r["step"], {k: v for k, v in r.items() if k.startswith(("loss/", "val"))})
        for r in read_metrics(run_dir / "metrics.jsonl")
    ]


def assert_same_run(run_dir, reference):
    values, expected = final(run_dir), final(reference)
    assert values.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(values[name], value, err_msg=name)
    assert losses(run_dir) == losses(reference)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The undisturbed run."""
    run_dir = tmp_path_factory.mktemp("reference") / "run"
    result = start(run_dir, own_process=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert [step for step, _ in losses(run_dir)] == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8, 8]
    return run_dir


def test_killed_between_checkpoints(tmp_path, reference):
    """N + kill -9 + N = 2N: weights, moments, moving statistics, averages, and logs."""
    run_dir = tmp_path / "run"
    assert start(run_dir, kill="step:6").returncode == -signal.SIGKILL
    assert losses(run_dir)[-1][0] == 5  # beyond the checkpoint: must not come twice
    result = start(run_dir)
    assert (result.returncode, result.stderr) == (0, "")
    assert "goes on from step 4" in result.stdout
    assert_same_run(run_dir, reference)


def test_killed_while_writing_a_checkpoint(tmp_path, reference):
    run_dir = tmp_path / "run"
    assert start(run_dir, kill="save:6").returncode == -signal.SIGKILL
    hidden = list((run_dir / "checkpoints").glob(".step_*"))
    assert hidden, "the kill came too late to prove anything"
    result = start(run_dir)
    assert "goes on from step 4" in result.stdout
    assert not hidden[0].exists()
    assert_same_run(run_dir, reference)


@pytest.mark.slow
def test_killed_before_the_first_checkpoint(tmp_path, reference):
    run_dir = tmp_path / "run"
    assert start(run_dir, kill="step:2").returncode == -signal.SIGKILL
    assert "starts, until step 8" in start(run_dir).stdout
    assert_same_run(run_dir, reference)


def test_sigterm_finishes_the_step_saves_and_exits_75(tmp_path, reference):
    run_dir = tmp_path / "run"
    result = start(run_dir, kill="term:6")
    assert result.returncode == 75
    assert "SIGTERM: stopped at step 6" in result.stdout
    assert "goes on from step 6" in start(run_dir).stdout
    assert_same_run(run_dir, reference)


@pytest.mark.slow
def test_sigterm_during_validation_saves_and_validates_at_the_next_start(
    tmp_path, reference
):
    run_dir = tmp_path / "run"
    result = start(run_dir, kill="validation")
    assert result.returncode == 75
    assert "stopped at step 4" in result.stdout
    result = start(run_dir)
    assert "step 4  validation" in result.stdout
    assert_same_run(run_dir, reference)


def test_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path, reference):
    run_dir = tmp_path / "run"
    shutil.copytree(reference, run_dir)
    data = run_dir / "checkpoints/step_00000008/state.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-100])
    result = start(run_dir)
    assert "step_00000008 is damaged and set aside" in result.stdout
    assert "goes on from step 6" in result.stdout
    assert_same_run(run_dir, reference)


def test_finished_run_says_so_and_trains_on_when_steps_are_raised(tmp_path, reference):
    run_dir = tmp_path / "run"
    shutil.copytree(reference, run_dir)
    before = (run_dir / "metrics.jsonl").read_bytes()
    result = start(run_dir)
    assert result.returncode == 0
    assert "is at step 8 already; to train on, raise --steps=8" in result.stdout
    assert (run_dir / "metrics.jsonl").read_bytes() == before
    assert "goes on from step 8" in start(run_dir, steps=10).stdout
    longer = tmp_path / "longer"
    assert start(longer, steps=10).returncode == 0
    for name, value in final(longer).items():
        np.testing.assert_array_equal(final(run_dir)[name], value, err_msg=name)


def test_other_settings_are_refused(tmp_path, reference):
    run_dir = tmp_path / "run"
    shutil.copytree(reference, run_dir)
    result = start(run_dir, "--learning_rate=0.1", "--sr_arg=num_blocks=3")
    assert result.returncode == 2
    assert "--learning_rate: it was 0.0002, now 0.1" in result.stderr
    assert "--sr_arg: it was not given, now num_blocks=3" in result.stderr
    assert "choose another --run_dir" in result.stderr
    assert "Traceback" not in result.stderr
    assert start(run_dir, "--log_every=2", "--keep_checkpoints=1").returncode == 0


def test_non_finite_loss_exits_3_and_leaves_the_last_good_checkpoint(tmp_path):
    run_dir = tmp_path / "run"
    result = start(run_dir, "--log_every=100", "--validate_every=0", kill="nan:5")
    assert result.returncode == 3
    assert "loss/critic is not finite (nan or infinite) at step 5" in result.stderr
    names = [path.name for path in (run_dir / "checkpoints").iterdir()]
    assert names == ["step_00000003"]
    assert "goes on from step 3" in start(run_dir, "--validate_every=0").stdout
