"""Several workers on loopback, as processes of their own: the same run as one alone."""

import signal

import numpy as np
import pytest

from pdm_tf.run import read_metrics
from tests.support.workers import run_workers

STEPS = 8


def start(run_dir, kill=("", ""), workers=2):
    """Runs the toy program on each worker; returns [(exit code, stdout, stderr)]."""
    return run_workers(
        "tests.unit.training.toy_program",
        [
            "--hr_dir=unused",
            f"--run_dir={run_dir}",
            f"--steps={STEPS}",
            "--save_every=3",
            "--log_every=1",
            "--validate_every=4",
        ],
        workers,
        [{"KILL": when, "TF_NUM_INTRAOP_THREADS": "1"} for when in kill],
    )


def weights(path):
    with np.load(path) as file:
        return {k: v for k, v in file.items() if k.startswith("networks.")}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """An undisturbed run of two workers."""
    run_dir = tmp_path_factory.mktemp("two") / "run"
    ended = start(run_dir)
    assert [code for code, _, _ in ended] == [0, 0], ended
    return run_dir, ended


def test_two_workers_train_the_same_weights_as_one(two, tmp_path):
    run_dir, _ = two
    ((code, _, errors),) = start(tmp_path / "run", workers=1)
    assert code == 0, errors
    alone = weights(tmp_path / "run" / "final.npz")
    chief, other = (weights(run_dir / f) for f in ("final.npz", "final_1.npz"))
    assert alone.keys() == chief.keys() == other.keys()
    for name, value in alone.items():
        np.testing.assert_array_equal(chief[name], other[name], err_msg=name)
        if name.endswith((".1", ".4")):  # a bias that the norm after it cancels, moved
            continue  # by rounding alone, and the moving mean that it shifts
        # Sums in another order: float32 rounding, which Adam's first steps enlarge.
        np.testing.assert_allclose(chief[name], value, rtol=0, atol=2e-5, err_msg=name)
    losses = [
        {
            r["step"]: r["loss/sr"]
            for r in read_metrics(d / "metrics.jsonl")
            if "loss/sr" in r
        }
        for d in (run_dir, tmp_path / "run")
    ]
    assert losses[0].keys() == losses[1].keys() == set(range(1, STEPS + 1))
    for step, loss in losses[1].items():
        assert losses[0][step] == pytest.approx(loss, rel=1e-4)


def test_only_the_chief_writes(two):
    run_dir, ended = two
    (_, chief, chief_errors), (_, other, other_errors) = ended
    assert "finished at step 8" in chief and "validation" in chief
    assert other == chief_errors == other_errors == ""
    assert "starts, until step 8" in (run_dir / "log_worker1.txt").read_text()
    assert sorted(p.name for p in (run_dir / "checkpoints").iterdir()) == [
        "step_00000004",
        "step_00000006",
        "step_00000008",
    ]


def test_a_worker_that_dies_takes_the_others_down_and_all_go_on(two, tmp_path):
    run_dir = tmp_path / "run"
    (chief, out, errors), (dead, _, _) = start(run_dir, kill=("", "step:6"))
    assert dead == -signal.SIGKILL
    assert chief == 75, (out, errors)
    assert "error: another worker is gone" in errors and "Traceback" not in errors
    ended = start(run_dir)
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert "goes on from step 4" in ended[0][1]
    undisturbed = weights(two[0] / "final.npz")
    for name, value in weights(run_dir / "final.npz").items():
        np.testing.assert_array_equal(value, undisturbed[name], err_msg=name)


def test_a_signal_to_one_stops_all_at_the_same_step(two, tmp_path):
    run_dir = tmp_path / "run"
    (chief, out, errors), (other, _, _) = start(run_dir, kill=("", "term:5"))
    assert (chief, other) == (75, 75), errors
    assert "another worker's signal: stopped at step 5, all saved" in out
    assert "SIGTERM: stopped at step 5" in (run_dir / "log_worker1.txt").read_text()
    ended = start(run_dir)
    assert "goes on from step 5" in ended[0][1]
    undisturbed = weights(two[0] / "final.npz")
    for name, value in weights(run_dir / "final_1.npz").items():
        np.testing.assert_array_equal(value, undisturbed[name], err_msg=name)
