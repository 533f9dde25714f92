"""The numbers of a run, written while it trains: metrics.jsonl and TensorBoard's files.

metrics.jsonl has one JSON object per line, {"step": n, "time": ..., name: number, ...},
n counting the steps taken. A number that is not finite is written as null, since JSON
has no word for it. When a run is resumed, lines that a killed predecessor wrote past
the restored step are cut off, so that no step appears twice.

TensorBoard's event files are written by tensorboardX. `tf.summary.scalar` and `.image`
need the package tensorboard since it is no longer a part of TensorFlow (2.21), and a
run should not need a viewer to be trained; nor do they make TensorBoard forget the
steps that a killed run took past the one it goes on from. Trackers that follow
tensorboardX (Weights & Biases does) see a run without more code.
"""

import datetime
import functools
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pdm_tf.core.files import write_text_atomic
from pdm_tf.run import metric_lines

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

_FLUSH_S = 1  # a thread writes events; the last second of a killed run is lost


class MetricsFile:
    """Appends records; each is flushed to disk before `write` returns."""

    def __init__(self, path: Path, last_step: int) -> None:
        """Opens `path`, dropping records of steps beyond `last_step` and torn lines."""
        if path.exists():
            lines = metric_lines(path)
            kept = [line for line, record in lines if record["step"] <= last_step]
            write_text_atomic(path, "".join(kept))
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - held

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Appends one record; `values` are numbers, texts or booleans."""
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        record = {"step": step, "time": now}
        record.update({name: _plain(value) for name, value in values.items()})
        self._file.write(json.dumps(record, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class EventWriter:
    """Appends scalars and pictures to a new event file in a folder."""

    def __init__(self, folder: Path, last_step: int) -> None:
        """Prepares to hide steps beyond `last_step`; makes no file yet."""
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


def _plain(value: Any) -> Any:
    if isinstance(value, str | bool | int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
