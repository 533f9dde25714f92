"""Runs steps of the export as processes of their own; measures time and memory.

A process gives all its memory back when it ends, so the peak of the whole export is
that of its hungriest step and not their sum; TensorFlow and onnxruntime never share
one; and the operating system reports the peak of each exactly.
"""

import contextlib
import ctypes
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from pdm_tf.core.errors import UserError
from pdm_tf.core.memory import peak_bytes
from pdm_tf.core.refusals import refused

_PR_SET_PDEATHSIG = 1  # of Linux' prctl(2)


@dataclass(frozen=True)
class Stage:
    """The result and the cost of one step.

    Attributes:
      result: the function's return value.
      seconds: wall clock, start of the process included.
      peak_bytes: largest resident memory of the process.
    """

    result: Any
    seconds: float
    peak_bytes: int


class StageError(RuntimeError):
    """A step failed for a reason that is not the user's; its traceback is printed."""


def run_stage(target: str, *args: Any, **given: Any) -> Stage:
    """Runs a function in a new process.

    Args:
      target: "package.module:function", so that only the new process imports it.
      *args, **given: its arguments; picklable, as is its return value.

    Raises:
      UserError: the function raised one.
      StageError: it raised something else, or its process died.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, target, args, given))
    start = time.monotonic()
    with _interrupts_held() as held:
        process.start()
    theirs.close()
    try:
        if held:
            raise KeyboardInterrupt
        kind, payload, peak = ours.recv()
    except EOFError:
        process.join()
        raise StageError(
            f"The step {target} ended without a result (exit code "
            f"{process.exitcode}; -9 is what a lack of memory looks like)."
        ) from None
    finally:
        if sys.exc_info()[0] not in (None, EOFError):  # Ctrl-C
            process.terminate()
        process.join()
    if kind == "error":
        raise UserError(payload)
    if kind == "defect":
        print(payload, file=sys.stderr)
        raise StageError(f"The step {target} failed; see above.")
    return Stage(payload, time.monotonic() - start, peak)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[list[int]]:
    """Yields a list that collects Ctrl-C until a new process knows what to do.

    A start cut in half would leave a process that reads its orders from a closed pipe
    and prints the defect. The new process inherits the blocked signal and never sees
    Ctrl-C, which a terminal sends to all: the parent ends it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield []  # Python raises KeyboardInterrupt in the main thread only
        return
    resource_tracker.ensure_running()  # its start would unblock the signal
    held: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield held
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, before)


def _child(
    connection: Connection, target: str, args: tuple[Any, ...], given: dict[str, Any]
) -> None:
    _end_with_parent()
    try:
        module, _, name = target.partition(":")
        function = getattr(importlib.import_module(module), name)
        message = ("result", function(*args, **given))
    except UserError as error:
        message = ("error", str(error))
    except Exception as error:  # noqa: BLE001 - the parent reports and fails
        line = refused(error)  # by a disk
        message = ("error", line) if line else ("defect", traceback.format_exc())
    connection.send((*message, peak_bytes()))


def _end_with_parent() -> None:
    """Has the kernel end this step at once if the exporter is killed.

    A step that went on would write into a folder that the next exporter has removed.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:  # it was killed before
        os._exit(1)


def best_ms(call: Callable[[], object], least: int = 2, budget_s: float = 5.0) -> float:
    """Measures the best of some calls, in milliseconds, after an uncounted first one.

    At least `least` calls; more while `budget_s` lasts, ten at most.
    """
    call()
    times: list[float] = []
    while len(times) < least or (sum(times) < budget_s and len(times) < 10):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return round(min(times) * 1000.0, 2)
