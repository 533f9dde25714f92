"""TensorBoard event files, written by tensorboardX.

`tf.summary.scalar` and `.image` need the package tensorboard since it is no longer a
part of TensorFlow (2.21), and a run should not need a viewer to be trained; nor do they
make TensorBoard forget the steps that a killed run took past the one it goes on from.
Trackers that follow tensorboardX (Weights & Biases does) see a run without more code.
"""

import functools
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

_FLUSH_S = 1  # a thread writes; the last second of a killed run is lost


class EventWriter:
    """Appends scalars and pictures to a new event file in a folder."""

    def __init__(self, folder: Path, last_step: int) -> None:
        """Will make TensorBoard forget steps beyond `last_step`; makes no file yet."""
        self._folder, self._last_step = folder, last_step

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes name -> number as of `step`."""
        for name, value in values.items():
            self._writer.add_scalar(name, float(value), step)

    def pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Writes name -> picture, uint8 [H, W, 3], as of `step`."""
        for name, picture in pictures.items():
            self._writer.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        """Closes the file, if anything was written."""
        if "_writer" in self.__dict__:
            self._writer.close()

    @functools.cached_property
    def _writer(self) -> "SummaryWriter":
        # Here, since it imports PyTorch where that is installed.
        from tensorboardX import SummaryWriter

        return SummaryWriter(
            logdir=str(self._folder),
            purge_step=self._last_step + 1,
            flush_secs=_FLUSH_S,
            # Its own name has seconds only, and a file of that name is overwritten.
            filename_suffix=f".{os.getpid()}.{time.time_ns()}",
        )
