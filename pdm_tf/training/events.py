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
        """Starts a file which tells TensorBoard to forget steps beyond `last_step`."""
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        name = f"events.out.tfevents.{now:.6f}.{socket.gethostname()}.{os.getpid()}"
        self._writer = tf.io.TFRecordWriter(str(folder / name))
        self._add(_Event(wall_time=now, file_version="brain.Event:2"))
        start = _SessionLog(status=_SessionLog.START)
        self._add(_Event(wall_time=now, step=last_step + 1, session_log=start))
        self._writer.flush()

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes name -> number as of `step`."""
        summary = _Summary(
            value=[
                _Summary.Value(tag=name, simple_value=float(value))
                for name, value in values.items()
            ]
        )
        self._add(_Event(wall_time=time.time(), step=step, summary=summary))
        self._writer.flush()

    def pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Writes name -> picture, uint8 [H, W, 3], as of `step`."""
        summary = _Summary(
            value=[
                _Summary.Value(tag=name, image=_encoded(picture))
                for name, picture in pictures.items()
            ]
        )
        self._add(_Event(wall_time=time.time(), step=step, summary=summary))
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()

    def _add(self, event: _Event) -> None:
        self._writer.write(event.SerializeToString())


def _encoded(rgb_u8: np.ndarray) -> _Summary.Image:
    buffer = io.BytesIO()
    Image.fromarray(rgb_u8, "RGB").save(buffer, format="PNG")
    height, width = rgb_u8.shape[:2]
    return _Summary.Image(
        height=height, width=width, colorspace=3, encoded_image_string=buffer.getvalue()
    )
