"""Stores the pixels of one image in memory, or in a scratch file if they are too many.

All images in work share one `MemoryBudget`. Pixels that fit into it are an array;
others go row by row into a raw file in the target's folder. Both hold the same samples,
so the result does not depend on which it was. A scratch file has no name (it is
unlinked as soon as it is open): however the program ends, the system removes it, and no
gigabytes are left behind.

Its samples lie behind the header of an uncompressed TIFF, which libvips reads strip
after strip. Without a header libvips maps the whole file, and the pages that it has
read all count as memory of the program (measured: 300 MB more for 288 MB of pixels).
"""

import errno
import os
import shutil
import struct
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.core.photographs import import_pyvips

Shape = tuple[int, int, int]  # height, width, bands

_STRIP_ROWS = 16
_FORMATS = {np.dtype(np.uint8): "uchar", np.dtype(np.uint16): "ushort"}


class MemoryBudget:
    """Bytes that all images in work may hold together; safe among threads."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = threading.Lock()

    def reserve(self, size: int) -> bool:
        """Takes `size` bytes if so many are left; returns whether it did."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def release(self, size: int) -> None:
        """Gives back bytes that `reserve` took."""
        with self._lock:
            self._left += size


class PixelStore(Protocol):
    """[H, W, bands] uint8 or uint16 samples, filled from the top to the bottom."""

    shape: Shape
    dtype: np.dtype

    def append(self, rows: np.ndarray) -> None:
        """Adds [n, W, bands] below the rows so far. OSError: the disk is full."""

    def clear(self) -> None:
        """Forgets all rows; `append` begins at the top again."""

    def fill(self, image: Any) -> None:
        """Takes all pixels of a pyvips image of this shape and type."""

    def rows(self, top: int, bottom: int) -> np.ndarray:
        """Returns rows top..bottom, [n, W, bands]; not to be written to."""

    def image(self, *, in_order: bool = True) -> Any:
        """Returns the pixels as a pyvips image that reads them on demand.

        Args:
          in_order: whether they are read once, from top to bottom.
        """

    def close(self) -> None:
        """Frees the memory or the disk space; may be called twice."""


class MemoryStore:
    """Holds the pixels in an array."""

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

    def image(self, *, in_order: bool = True) -> Any:
        del in_order  # all the same
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
    """Holds the pixels in a file without a name, in `folder`."""

    def __init__(self, shape: Shape, dtype: np.dtype, folder: Path) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self._start = self._file.write(tiff_header(shape, self.dtype))

    def append(self, rows: np.ndarray) -> None:
        left = memoryview(np.ascontiguousarray(rows, self.dtype)).cast("B")
        while left:
            left = left[self._file.write(left) :]

    def clear(self) -> None:
        self._file.seek(self._start)

    def fill(self, image: Any) -> None:
        """Raises OSError too if the disk is full (libvips would blame the image)."""
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
        left, position = memoryview(found).cast("B"), self._start + top * line
        while left:
            count = os.preadv(self._file.fileno(), [left], position)
            if not count:
                raise OSError(errno.EIO, "the scratch file ends too early")
            left, position = left[count:], position + count
        return found

    def image(self, *, in_order: bool = True) -> Any:
        pyvips = import_pyvips()
        if in_order:
            os.lseek(self._file.fileno(), 0, os.SEEK_SET)
            source = pyvips.Source.new_from_descriptor(self._file.fileno())
            return pyvips.Image.tiffload_source(source, access="sequential")
        height, width, bands = self.shape
        return pyvips.Image.rawload(
            f"/proc/self/fd/{self._file.fileno()}",  # it has no other name
            width,
            height,
            bands,
            offset=self._start,
            format=_FORMATS[self.dtype],
        )

    def close(self) -> None:
        self._file.close()

    def _take(self, data: bytes, errors: list[OSError]) -> int:
        """Writes libvips' data; -1 is all it accepts as an error."""
        try:
            return self._file.write(data)
        except OSError as error:
            errors.append(error)
            return -1


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
      spare: bytes that must stay free as well, for the file made from it.

    Raises:
      UserError: the disk lacks the space for a scratch file.
    """
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if budget.reserve(size):
        return MemoryStore(shape, dtype, budget)
    require_space(folder, size + spare)
    return ScratchStore(shape, dtype, folder)


def tiff_header(shape: Shape, dtype: np.dtype) -> bytes:
    """Returns the header that makes the following samples a TIFF, of any size.

    BigTIFF 1.0 with 8-byte offsets, in the machine's byte order; strips of
    `_STRIP_ROWS` rows. Alpha, bands 2 and 4, is not multiplied in.
    """
    height, width, bands = shape
    line = width * bands * dtype.itemsize
    tops = range(0, height, _STRIP_ROWS)
    counts = [min(_STRIP_ROWS, height - top) * line for top in tops]
    short, offset = ("H", 3), ("Q", 16)  # struct's name, TIFF's number
    entries = [
        (256, offset, [width]),
        (257, offset, [height]),
        (258, short, [8 * dtype.itemsize] * bands),
        (259, short, [1]),  # no compression
        (262, short, [2 if bands >= 3 else 1]),  # RGB, or grey with black as 0
        (273, offset, [0] * len(counts)),  # filled in below
        (277, short, [bands]),
        (278, offset, [_STRIP_ROWS]),
        (279, offset, counts),
    ]
    if bands in (2, 4):
        entries.append((338, short, [2]))
    behind = 16 + 8 + 20 * len(entries) + 8
    sizes = [struct.calcsize(kind) * len(values) for _, (kind, _), values in entries]
    start = behind + sum(size for size in sizes if size > 8)
    entries[5] = (273, offset, [start + top * line for top in tops])
    order = b"II" if sys.byteorder == "little" else b"MM"
    head = order + struct.pack("=HHHQQ", 43, 8, 0, 16, len(entries))
    values_behind = b""
    for (tag, (kind, number), values), size in zip(entries, sizes, strict=True):
        data = struct.pack(f"={len(values)}{kind}", *values)
        if size > 8:
            place = struct.pack("=Q", behind + len(values_behind))
            values_behind += data
        else:
            place = data.ljust(8, b"\0")
        head += struct.pack("=HHQ", tag, number, len(values)) + place
    return head + bytes(8) + values_behind


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
