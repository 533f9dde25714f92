"""Speed and time left are those of training, and what is shown is readable."""

import os

import pytest

from pdm_tf.core import progress
from pdm_tf.core.progress import ProgressBar, Rate, about, clock


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


def test_time_left_follows_the_speed_of_the_last_steps(monkeypatch):
    """A machine that gets four times slower says so soon; the start does not count."""
    clock = Clock(monkeypatch)
    rate = Rate(start_step=0)
    clock.steps(rate, 1, 1000, 0.5)
    assert rate.seconds_left(100) == pytest.approx(50.0)
    clock.steps(rate, 1001, 1100, 2.0)
    assert rate.seconds_left(100) == pytest.approx(200.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "about 1 seconds"),
        (80, "about 80 seconds"),
        (130, "about 2 minutes"),
        (5 * 3600, "about 5 hours"),
        (14.2 * 86_400, "about 14 days"),
    ],
)
def test_durations_in_words(seconds, words):
    assert about(seconds) == words


def test_clock():
    assert clock(4949.6) == "1:22:30"
    assert clock(90_000) == "25:00:00"


def test_lines_and_texts_share_the_terminal_with_the_bar(capsys):
    with ProgressBar("", "step", "on", total=10, done=3) as bar:
        assert bar.is_shown
        bar.show_text("sr 0.125")
        bar.update(7)
        bar.say("a line")
    output = capsys.readouterr()
    assert output.out.strip() == "a line"
    assert "7/10" in output.err
    assert "sr 0.125" in output.err


def test_without_a_bar_lines_are_printed_all_the_same(capsys):
    with ProgressBar("", "step", "off") as bar:
        bar.update(1, 2)
        bar.say("hello")
    assert capsys.readouterr() == ("hello\n", "")


def test_where_there_is_no_terminal_a_line_comes_now_and_then(monkeypatch, capsys):
    watch = Clock(monkeypatch)
    bar = ProgressBar("reading", "photo", done=10, line_every_s=30.0)
    watch.now += 20.0
    bar.update(30, 110)
    watch.now += 20.0
    bar.update(50)
    watch.now += 20.0
    bar.update(70)
    assert capsys.readouterr().err == "reading [50/110] 1 photos/s, eta 0:01:00\n"


def test_auto_means_no_bar_where_there_is_no_terminal():
    assert not ProgressBar("", "step").is_shown


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
    assert progress._has_terminal() == bar
