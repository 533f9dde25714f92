"""Signals set a flag, interrupt only what may be, and abort when repeated."""

import os
import signal
import threading

import pytest

from pdm_tf.training.signals import GracefulStop, StopRequested


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_first_signal_sets_the_flag_and_is_told(name, capfd):
    with GracefulStop() as stop:
        assert stop.received == ""
        os.kill(os.getpid(), getattr(signal, name))
        assert stop.received == name
    told = f"{name}: stopping, once the work in hand is saved\n"
    assert capfd.readouterr().err == told


def test_second_signal_aborts():
    with GracefulStop():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_interruptible_is_left_at_once():
    with GracefulStop() as stop:
        with pytest.raises(StopRequested), stop.interruptible():
            os.kill(os.getpid(), signal.SIGTERM)
            pytest.fail("went on")
        assert stop.received == "SIGTERM"
        with pytest.raises(StopRequested), stop.interruptible():
            pytest.fail("entered though a signal had come")


def test_handlers_are_given_back():
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with GracefulStop():
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_other_threads_may_train_without_handlers():
    def train():
        with GracefulStop() as stop, stop.interruptible():
            done.append(stop.received)

    done: list[str] = []
    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert done == [""]
