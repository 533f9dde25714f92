"""Cutting patches from images that are decoded again each time.

Python decodes, inside tf.data's threads. That has one trap: a stream that is still
open when the interpreter ends would wait for ever for threads that never get the
interpreter lock again. So at exit, while threads still run, reads are told to return
at once, and the exit waits until the stream's buffers are full and nobody asks.
"""

import atexit
import time
from collections.abc import Callable

import numpy as np

_QUIET_S = 0.2  # no read for so long: the buffers are full
_PATIENCE_S = 10.0


class _Exit:
    """Whether the interpreter is about to end, and how many reads there were."""

    def __init__(self) -> None:
        self.begun = False
        self.reads = 0

    def wait(self) -> None:
        """Lets the reads that are under way or queued come to an end."""
        self.begun = True
        if not self.reads:
            return
        end = time.monotonic() + _PATIENCE_S
        seen, quiet_since = self.reads, time.monotonic()
        while time.monotonic() < end and time.monotonic() - quiet_since < _QUIET_S:
            time.sleep(0.01)
            if self.reads != seen:
                seen, quiet_since = self.reads, time.monotonic()


_EXIT = _Exit()
atexit.register(_EXIT.wait)


def patch_reader(
    read_image: Callable[[int], np.ndarray],
) -> Callable[[int, int, int, int], np.ndarray]:
    """Returns read(image, top, left, side) -> [side, side, 3] uint8.

    Args:
      read_image: index -> [H, W, 3] uint8.
    """

    def read(image: int, top: int, left: int, side: int) -> np.ndarray:
        if _EXIT.begun:
            _EXIT.reads += 1
            return np.zeros((side, side, 3), np.uint8)
        pixels = read_image(int(image))
        _EXIT.reads += 1
        return pixels[top : top + side, left : left + side].copy()

    return read
