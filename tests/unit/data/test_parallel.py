"""Threads that keep the order and the memory."""

import threading
import time

import pytest

from pdm_tf.data.parallel import counted, in_threads


def test_results_in_order_with_few_in_flight():
    started = []

    def task(item):
        started.append(item)
        time.sleep(0.002 * (item % 3))
        return item * item

    results = []
    for result in in_threads(task, range(40), threads=3):
        results.append(result)
        if result == 0:
            time.sleep(0.3)  # a slow taker must not let results pile up
        assert len(started) - len(results) <= 2 * 3
    assert results == [item * item for item in range(40)]


def test_an_error_comes_out_and_cancels_the_rest():
    started = []

    def task(item):
        started.append(item)
        if item >= 2:
            time.sleep(0.1 if item == 2 else 0.3)  # 3 and maybe 4 run when 2 fails
        if item == 2:
            raise RuntimeError("two")
        return item

    with pytest.raises(RuntimeError, match="two"):
        list(in_threads(task, range(100), threads=2))
    assert max(started) <= 4  # 5 was waiting too
    assert threading.active_count() < 20


def test_counted():
    seen = []
    assert list(counted("ab", 2, lambda *both: seen.append(both))) == ["a", "b"]
    assert seen == [(1, 2), (2, 2)]
    assert list(counted("ab", 2, None)) == ["a", "b"]
