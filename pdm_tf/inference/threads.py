"""The threads of one call: their queues, errors and cancellation."""

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

_POLL = 0.1  # s between two looks at whether the call is being given up


class Worker(NamedTuple):
    """The work of one thread.

    Attributes:
      work: run once; its exception is raised again in the caller's thread.
      patience: seconds to wait for it when the call is given up; it may be deep in
        other code by then, and is left there.
    """

    work: Callable[[], None]
    patience: float = 5.0


class Threads:
    """Threads that work for one call, and the ends of the queues between them.

    `put` and `get` stop waiting when the call is given up, because the caller says so
    or because a thread has raised.
    """

    def __init__(self, workers: Mapping[str, Worker]) -> None:
        """Makes the threads, not started yet.

        Args:
          workers: name of the thread -> its work; in the order in which they end.
        """
        self._stop = threading.Event()
        self._defect: BaseException | None = None
        self._patience = {name: worker.patience for name, worker in workers.items()}
        self._threads = [
            threading.Thread(
                target=self._guarded, args=(worker.work,), name=name, daemon=True
            )
            for name, worker in workers.items()
        ]

    @property
    def stopped(self) -> bool:
        """Whether the call is being given up."""
        return self._stop.is_set()

    def start(self) -> None:
        """Starts all threads."""
        for thread in self._threads:
            thread.start()

    def put(self, target: queue.Queue, item: Any) -> bool:
        """Waits for a place; False when the call is being given up."""
        while not self._stop.is_set():
            try:
                target.put(item, timeout=_POLL)
                return True
            except queue.Full:
                continue
        return False

    def get(self, source: queue.Queue) -> Any:
        """Waits for an item; None when the call is being given up."""
        while not self._stop.is_set():
            try:
                return source.get(timeout=_POLL)
            except queue.Empty:
                continue
        return None

    def raise_defect(self) -> None:
        """Raises the exception of a thread, if there is one."""
        if self._defect is not None:
            raise self._defect

    def finish(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Waits until all threads have ended, then raises the exception of one, if any.

        Args:
          meanwhile: called now and then, and once when all have ended.
        """
        for thread in self._threads:
            while thread.is_alive():
                thread.join(_POLL)
                meanwhile()
        meanwhile()
        self.raise_defect()

    def stop(self) -> None:
        """Gives the call up, so that no thread waits at a queue any more."""
        self._stop.set()

    def leave(self) -> bool:
        """Waits for the threads as long as their patience lasts, after `stop`.

        Returns:
          Whether the last one has ended.
        """
        for thread in self._threads:
            if thread.ident is not None:  # it was started
                thread.join(self._patience[thread.name])
        return not self._threads[-1].is_alive()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._defect = error
            self._stop.set()
