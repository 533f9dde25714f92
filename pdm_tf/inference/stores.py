"""Where the pixels of one image lie: in memory, or in a scratch file if too many.

All images that are worked on at the same time share one `MemoryBudget`. What fits into
it is an array; what does not goes row by row into a raw file in the target's folder.
Both hold the same samples, so the result does not depend on which it was. A scratch
file has no name (it is unlinked as soon as it is open): however the program ends, the
system takes it away, and no gigabytes are left behind.
"""

import errno
import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.inference.vips import import_pyvips

Shape = tuple[int, int, int]  # height, width, bands

_FORMATS = {np.dtype(np.uint8): "uchar", np.dtype(np.uint16): "ushort"}


class MemoryBudget:
    """Bytes that all images in work may hold together; safe among threads."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.Lock()

    def reserve(self, size: int) -> bool:
        """Takes `size` bytes, or nothing when there are not so many."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def release(self, size: int) -> None:
        """Gives back what `reserve` took."""
        with self._lock:
            self._left += size


class PixelStore(Protocol):
    """[H, W, bands] uint8 or uint16 samples, filled from the top to the bottom."""

    shape: Shape
    dtype: np.dtype

    def append(self, rows: np.ndarray) -> None:
        """Adds [n, W, bands] below what is there. OSError: the disk is full."""

    def clear(self) -> None:
        """Forgets all rows; `append` begins at the top again."""

    def fill(self, image: Any) -> None:
        """Takes all pixels of a pyvips image of this shape and type."""

    def rows(self, top: int, bottom: int) -> np.ndarray:
        """Returns rows top..bottom, [n, W, bands]; not to be written to."""

    def image(self) -> Any:
        """Returns the pixels as a pyvips image that reads them as it is asked."""

    def close(self) -> None:
        """Gives the memory or the disk space back; may be called twice."""


class MemoryStore:
    """The pixels as an array."""

    def __init__(
        self, shape: Shape, dtype: np.dtype, budget: MemoryBudget | None = None
    ) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._pixels: np.ndarray | None = np.empty(shape, dtype)
        self._filled = 0
        self._budget = budget

    def append(self, rows: np.ndarray) -> None:
        self._pixels[self._filled : self._filled + len(rows)] = rows
        self._filled += len(rows)

    def clear(self) -> None:
        self._filled = 0

    def fill(self, image: Any) -> None:
        samples = np.frombuffer(image.write_to_memory(), self.dtype)
        self._pixels = samples.reshape(self.shape)

    def rows(self, top: int, bottom: int) -> np.ndarray:
        return self._pixels[top:bottom]

    def image(self) -> Any:
        height, width, bands = self.shape
        return import_pyvips().Image.new_from_memory(
            np.ascontiguousarray(self._pixels).data,
            width,
            height,
            bands,
            _FORMATS[self.dtype],
        )

    def close(self) -> None:
        if self._pixels is not None and self._budget is not None:
            self._budget.release(self._pixels.nbytes)
        self._pixels = None


class ScratchStore:
    """The pixels in a file without a name, in `folder`."""

    def __init__(self, shape: Shape, dtype: np.dtype, folder: Path) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115

    def append(self, rows: np.ndarray) -> None:
        left = memoryview(np.ascontiguousarray(rows, self.dtype)).cast("B")
        while left:
            left = left[self._file.write(left) :]

    def clear(self) -> None:
        self._file.seek(0)
        self._file.truncate()

    def fill(self, image: Any) -> None:
        """Also raises OSError: the disk is full (libvips would blame the image)."""
        errors: list[OSError] = []
        target = import_pyvips().TargetCustom()
        target.on_write(lambda data: self._take(data, errors))
        try:
            image.rawsave_target(target)
        finally:
            if errors:
                raise errors[0]

    def rows(self, top: int, bottom: int) -> np.ndarray:
        _, width, bands = self.shape
        line = width * bands * self.dtype.itemsize
        found = np.empty((bottom - top, width, bands), self.dtype)
        left, position = memoryview(found).cast("B"), top * line
        while left:
            count = os.preadv(self._file.fileno(), [left], position)
            if not count:
                raise OSError(errno.EIO, "the scratch file ends too early")
            left, position = left[count:], position + count
        return found

    def image(self) -> Any:
        height, width, bands = self.shape
        return import_pyvips().Image.rawload(
            self._path,
            width,
            height,
            bands,
            format=_FORMATS[self.dtype],
        )

    def close(self) -> None:
        self._file.close()

    def _take(self, data: bytes, errors: list[OSError]) -> int:
        """Writes what libvips hands over; it learns of an error by -1 alone."""
        try:
            return self._file.write(data)
        except OSError as error:
            errors.append(error)
            return -1

    @property
    def _path(self) -> str:
        """A name by which libvips can open the file that has none."""
        return f"/proc/self/fd/{self._file.fileno()}"


def open_store(
    shape: Shape,
    dtype: np.dtype,
    *,
    folder: Path,
    budget: MemoryBudget,
    spare: float = 0.0,
) -> PixelStore:
    """Returns an empty store: in memory if the budget allows, else in `folder`.

    Args:
      shape: height, width, bands.
      dtype: uint8 or uint16.
      folder: where a scratch file may be made; on the disk that will hold the result.
      budget: shared by all images in work.
      spare: bytes that must stay free beside a scratch file, for what is made of it.

    Raises:
      UserError: the disk has not the space for a scratch file.
    """
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if budget.reserve(size):
        return MemoryStore(shape, dtype, budget)
    require_space(folder, size + spare)
    return ScratchStore(shape, dtype, folder)


def require_space(folder: Path, size: float) -> None:
    """Raises UserError unless the disk of `folder` has `size` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise UserError(
            f"The disk of {folder} must have {_gigabytes(size)} free for this image. "
            f"Received: {_gigabytes(free)}."
        )


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"
