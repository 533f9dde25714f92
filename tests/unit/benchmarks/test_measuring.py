"""Alternating rounds: who is measured when, what is made of the times."""

import pytest

from pdm_tf.benchmarks.measuring import alternate, ratio, summary


class Clock:
    """Time that only moves when a side works."""

    def __init__(self):
        self.now = 0.0
        self.order = []

    def side(self, name, *durations):
        left = list(durations)

        def work():
            self.order.append(name)
            self.now += left.pop(0)

        return work


def test_sides_take_turns_and_the_first_one_changes():
    clock = Clock()
    sides = {
        "a": clock.side("a", 1, 2, 3),
        "b": clock.side("b", 10, 20, 30),
        "c": clock.side("c", 5, 5, 5),
    }
    seen = []
    seconds = alternate(
        sides,
        rounds=3,
        clock=lambda: clock.now,
        settle=0.0,
        on_round=lambda index, values: seen.append((index, dict(values))),
    )
    assert clock.order == ["a", "b", "c", "b", "c", "a", "c", "a", "b"]
    assert seconds == {"a": [1, 2, 3], "b": [10, 20, 30], "c": [5, 5, 5]}
    assert seen[1] == (1, {"a": 2, "b": 20, "c": 5})


def test_a_measurement_is_the_mean_of_its_calls():
    clock = Clock()
    sides = {"a": clock.side("a", 1, 3, 2, 6)}
    seconds = alternate(sides, rounds=2, calls=2, clock=lambda: clock.now, settle=0.0)
    assert seconds == {"a": [2, 4]}


def test_preparing_is_not_timed():
    clock = Clock()
    prepare = clock.side("prepare", 100, 100, 100, 100)
    sides = {"a": clock.side("a", 1, 2), "b": clock.side("b", 3, 4)}
    seconds = alternate(
        sides, rounds=2, clock=lambda: clock.now, settle=0.0, before=prepare
    )
    assert clock.order[:4] == ["prepare", "a", "prepare", "b"]
    assert seconds == {"a": [1, 2], "b": [3, 4]}


def test_medians_and_ratios():
    values = summary([5.0, 1.0, 9.0, 2.0])
    assert (values.median, values.least, values.most) == (3.5, 1.0, 9.0)
    times = ratio([2.0, 30.0, 6.0], [4.0, 10.0, 2.0])
    # 6 / 4, not the median of the rounds' own ratios, which is 3.
    assert times.median == pytest.approx(1.5)
    assert (times.least, times.most) == (0.5, 3.0)
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0, 2.0], [1.0])
