"""The lines of a run: short losses; one alarm per cause until it clears."""

from pdm_tf.methods.base import Finding, Health
from pdm_tf.training.recorder import GRACE_STEPS, CollapseAlarm, short_losses


def _health(*causes):
    findings = tuple(Finding(c, 0.01, 0.05, f"{c} seen", "Do this.") for c in causes)
    return Health({"alarm/a": 0.01}, findings)


def _update(alarm, step, *causes):
    values, lines = alarm.update(step, _health(*causes))
    assert values["alarm/a"] == 0.01
    return values["alarm/active"], lines


def test_once_per_cause_until_it_clears():
    alarm, step = CollapseAlarm(), GRACE_STEPS
    active, lines = _update(alarm, step, "a")
    assert active == "a" and lines == [
        f"step {step}  collapse alarm: a: a seen is 0.01, threshold 0.05. Do this."
    ]
    assert _update(alarm, step + 1, "a") == ("a", [])
    active, lines = _update(alarm, step + 2, "a", "b")
    assert active == "a,b" and len(lines) == 1 and "alarm: b:" in lines[0]
    active, lines = _update(alarm, step + 3, "b")
    assert active == "b" and lines == [
        f"step {step + 3}  collapse alarm: a has cleared."
    ]
    assert len(_update(alarm, step + 4, "a", "b")[1]) == 1  # again


def test_the_start_raises_no_alarm():
    """Kernels may begin alike; the numbers are written all the same."""
    alarm = CollapseAlarm()
    assert _update(alarm, GRACE_STEPS - 1, "a") == ("", [])
    assert len(_update(alarm, GRACE_STEPS, "a")[1]) == 1


def test_a_resumed_run_does_not_repeat_itself():
    alarm = CollapseAlarm([{"alarm/active": "a"}, {"val/psnr": 20.0}])
    assert _update(alarm, 900, "a") == ("a", [])
    cleared = CollapseAlarm([{"alarm/active": "a"}, {"alarm/active": ""}])
    assert len(_update(cleared, 900, "a")[1]) == 1


def test_short_losses_leaves_statistics_out():
    assert short_losses({"stat/a": 1.0, "loss/b": 1234567.0}) == "b 1.235e+06"
