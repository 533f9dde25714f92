"""One image somewhere on disk: what a source reads from, before anything is decoded."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from pdm_tf.core.errors import ImageError
from pdm_tf.core.images import decode_rgb_u8, image_size, whole_file


class Entry(Protocol):
    """An image that can be asked for its size cheaply and decoded on demand."""

    @property
    def name(self) -> str:
        """How people know it: a relative path."""

    @property
    def checked(self) -> bool:
        """Whether it was decoded without fault when it was stored."""

    def size(self) -> tuple[int, int]:
        """(height, width); raises ImageError."""

    def data(self) -> bytes:
        """The image file as it is stored; raises ImageError."""

    def read(self) -> np.ndarray:
        """[H, W, 3] uint8 RGB; raises ImageError."""


@dataclass(frozen=True)
class FileEntry:
    """An image file."""

    name: str
    path: Path
    checked: bool = False

    def size(self) -> tuple[int, int]:
        return image_size(self.path)

    def data(self) -> bytes:
        return whole_file(self.path)

    def read(self) -> np.ndarray:
        return decode_rgb_u8(self.data(), self.path)


@dataclass(frozen=True)
class RecordEntry:
    """An image file inside a TFRecord shard.

    Attributes:
      shard: the shard's file.
      offset, length: where in it the bytes of the image file lie.
      crc32: zlib.crc32 of these bytes.
      height, width: of the upright image.
    """

    name: str
    shard: Path
    offset: int
    length: int
    crc32: int
    height: int
    width: int
    checked: bool = True

    def size(self) -> tuple[int, int]:
        return self.height, self.width

    def data(self) -> bytes:
        try:
            with open(self.shard, "rb") as file:
                file.seek(self.offset)
                data = file.read(self.length)
        except OSError as error:
            reason = f"cannot be read ({error.strerror})"
            raise ImageError(self._where, reason) from error
        if zlib.crc32(data) != self.crc32:
            reason = "is damaged (checksum); run pdm_tf.prepare again"
            raise ImageError(self._where, reason)
        return data

    def read(self) -> np.ndarray:
        return decode_rgb_u8(self.data(), self._where)

    @property
    def _where(self) -> str:
        return f"{self.shard}[{self.name}]"
