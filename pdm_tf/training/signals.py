"""Stopping a run gracefully: SIGTERM and Ctrl-C finish the step, save, and exit.

The first signal sets a flag, which the loop checks after each step, and says so, since
the work in hand may take minutes. A second one aborts at once (the checkpoints on disk
stay usable: they are written atomically).
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_STDERR = 2  # of the process


class StopRequested(Exception):  # noqa: N818 - not an error
    """Raised by a signal inside `GracefulStop.interruptible`."""


class GracefulStop:
    """Context manager that turns SIGTERM and SIGINT into a flag.

    Python allows signal handlers in the main thread only; in others it does nothing.

    Attributes:
      received: name of the signal received, or "".
    """

    def __init__(self) -> None:
        self.received = ""
        self._interruptible = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "GracefulStop":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """Makes a signal raise `StopRequested` at once while it is open.

        It suits long actions that change nothing and come after saving, such as
        validation.

        Raises:
          StopRequested: also at entering, when a signal came before.
        """
        self._interruptible = True
        try:
            if self.received:
                raise StopRequested(self.received)
            yield
        finally:
            self._interruptible = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.received:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name
        # Not by print: the signal may have come while something is printed.
        line = f"{self.received}: stopping, once the work in hand is saved\n"
        with contextlib.suppress(OSError):
            os.write(_STDERR, line.encode())
        if self._interruptible:
            raise StopRequested(self.received)
