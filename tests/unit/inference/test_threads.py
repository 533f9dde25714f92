"""The threads of both pipelines never wait for ever, and lose no error."""

import queue
import threading

import pytest

from pdm_tf.inference.threads import Threads, Worker


def test_an_error_in_a_thread_reaches_the_caller_and_stops_the_others():
    never_filled: queue.Queue = queue.Queue()
    got = []

    def fails():
        raise ZeroDivisionError

    threads = Threads(
        {
            "waits": Worker(lambda: got.append(threads.get(never_filled))),
            "fails": Worker(fails),
        }
    )
    threads.start()
    with pytest.raises(ZeroDivisionError):
        threads.finish()
    assert threads.stopped and got == [None]


def test_items_pass_in_order_and_the_caller_works_meanwhile():
    passed: queue.Queue = queue.Queue(1)
    got, seen = [], []

    def take():
        while (item := threads.get(passed)) is not None:
            got.append(item)

    threads = Threads({"takes": Worker(take)})
    threads.start()
    assert all(threads.put(passed, item) for item in (1, 2, 3, None))
    threads.finish(meanwhile=lambda: seen.append(len(got)))
    assert got == [1, 2, 3] and seen[-1] == 3
    assert threads.leave()


def test_a_full_queue_does_not_hold_a_call_that_is_given_up():
    full: queue.Queue = queue.Queue(1)
    full.put("first")
    answers = []
    threads = Threads({"puts": Worker(lambda: answers.append(threads.put(full, 2)))})
    threads.start()
    threads.stop()
    assert threads.leave() and answers == [False]


def test_a_thread_that_is_stuck_is_left_behind():
    release = threading.Event()
    threads = Threads({"stuck": Worker(release.wait, patience=0.05)})
    threads.start()
    threads.stop()
    assert not threads.leave()
    release.set()
    threads.finish()
