"""Speed and time left are those of training, and what is shown is readable."""

import os

import pytest

from pdm_tf.training import progress
from pdm_tf.training.progress import Progress, Rate, short_losses


class Clock:
    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)

    def steps(self, rate, first, last, seconds_per_step):
        for step in range(first, last + 1):
            self.now += seconds_per_step
            rate.advance(step)


def test_speed_leaves_out_tracing_and_pauses(monkeypatch):
    clock = Clock(monkeypatch)
    rate = Rate(start_step=10)
    clock.steps(rate, 11, 11, 60.0)  # the first step traces
    assert rate.per_second() is None
    clock.steps(rate, 12, 21, 0.5)
    assert rate.per_second() == pytest.approx(2.0)
    clock.steps(rate, 22, 23, 0.5)
    clock.now += 1000.0  # a validation
    rate.pause_over()
    clock.steps(rate, 24, 25, 0.5)
    assert rate.per_second() == pytest.approx(2.0)
    assert rate.per_second() is None  # no step since


def test_time_left_counts_pauses(monkeypatch):
    clock = Clock(monkeypatch)
    rate = Rate(start_step=0)
    assert rate.seconds_left(5) is None
    clock.steps(rate, 1, 11, 1.0)
    clock.now += 10.0
    rate.pause_over()
    assert rate.seconds_left(30) == pytest.approx(60.0)  # 2 s per step with the pause


def test_plain_line(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    shown = Progress("off", start_step=0, steps=10_000)
    clock.steps(shown, 1, 101, 0.5)
    assert shown.measure() == pytest.approx(2.0)
    line = shown.status(101, {"loss/g_adv": 0.25, "stat/x": 3.0, "loss/d_lr": 1e-5})
    assert line == "step 101/10000  2 it/s  eta 1:22:30  g_adv 0.25  d_lr 1e-05"
    shown.say("hello")
    assert capsys.readouterr().out == "hello\n"


def test_bar_shows_losses_and_lines_go_above_it(capsys):
    shown = Progress("on", start_step=3, steps=10)
    assert shown.has_bar
    shown.advance(7)
    shown.refresh({"loss/sr": 0.125})
    shown.say("a line")
    shown.close()
    output = capsys.readouterr()
    assert output.out.strip() == "a line"
    assert "7/10" in output.err
    assert "sr 0.125" in output.err


def test_auto_means_no_bar_where_there_is_no_terminal():
    assert not Progress("auto", 0, 1).has_bar


@pytest.mark.parametrize(("rows", "bar"), [(40, True), (0, False)])
def test_auto_wants_a_terminal_with_rows(monkeypatch, rows, bar):
    """A terminal without a size (as CI makes) would show neither bar nor lines."""

    class Terminal:
        def isatty(self):
            return True

        def fileno(self):
            return 2

        def write(self, text):
            return len(text)

        def flush(self):
            pass

    monkeypatch.setattr(progress.sys, "stderr", Terminal())
    monkeypatch.setattr(
        progress.os, "get_terminal_size", lambda fd: os.terminal_size((80, rows))
    )
    assert Progress("auto", 0, 1).has_bar == bar


def test_short_losses_leaves_statistics_out():
    assert short_losses({"stat/a": 1.0, "loss/b": 1234567.0}) == "b 1.235e+06"
