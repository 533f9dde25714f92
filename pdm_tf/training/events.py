"""TensorBoard event files, written with what TensorFlow itself contains.

`tf.summary.scalar` and `.image` need the package tensorboard since it is no longer a
part of TensorFlow (2.21); a run should not need a viewer to be trained. So the few
protocol buffers are written here: records of `Event`, with the plain `simple_value` and
`image` fields that every TensorBoard reads.
"""

import io
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

_Event = tf.compat.v1.Event
_Summary = tf.compat.v1.Summary
_SessionLog = tf.compat.v1.SessionLog


class EventWriter:
    """Appends scalars and pictures to a new event file in a folder."""

    def __init__(self, folder: Path, last_step: int) -> None:
        """Will tell TensorBoard to forget steps beyond `last_step`."""
        self._folder, self._last_step = folder, last_step
        self._file: tf.io.TFRecordWriter | None = None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes name -> number as of `step`."""
        self._write(
            step,
            [
                _Summary.Value(tag=name, simple_value=float(value))
                for name, value in values.items()
            ],
        )

    def pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Writes name -> picture, uint8 [H, W, 3], as of `step`."""
        self._write(
            step,
            [
                _Summary.Value(tag=name, image=_encoded(picture))
                for name, picture in pictures.items()
            ],
        )

    def close(self) -> None:
        """Closes the file, if anything was written."""
        if self._file is not None:
            self._file.close()

    def _write(self, step: int, values: list[_Summary.Value]) -> None:
        if self._file is None:
            self._file = self._open()
        event = _Event(wall_time=time.time(), step=step, summary=_Summary(value=values))
        self._file.write(event.SerializeToString())
        self._file.flush()

    def _open(self) -> tf.io.TFRecordWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        name = f"events.out.tfevents.{now:.6f}.{socket.gethostname()}.{os.getpid()}"
        file = tf.io.TFRecordWriter(str(self._folder / name))
        start = _SessionLog(status=_SessionLog.START)
        for event in (
            _Event(wall_time=now, file_version="brain.Event:2"),
            _Event(wall_time=now, step=self._last_step + 1, session_log=start),
        ):
            file.write(event.SerializeToString())
        return file


def _encoded(rgb_u8: np.ndarray) -> _Summary.Image:
    buffer = io.BytesIO()
    Image.fromarray(rgb_u8, "RGB").save(buffer, format="PNG")
    height, width = rgb_u8.shape[:2]
    return _Summary.Image(
        height=height, width=width, colorspace=3, encoded_image_string=buffer.getvalue()
    )
