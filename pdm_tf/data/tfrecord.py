"""TFRecord shards of images, with an index that finds each image without scanning.

A record is a `tf.train.Example` with `image` (the bytes of an image file), `name`,
`height` and `width`, so that other programs can read the shards too. The index next to
them gives the place of each image file's bytes in its shard; this package reads only
these bytes, in any order, with their checksum, and needs no TensorFlow for it.
"""

import contextlib
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.files import move_whole, unfinished_file
from pdm_tf.core.images import decode_rgb_u8
from pdm_tf.core.stored import FileName, read_json, why_not

INDEX_NAME = "index.json"
INDEX_FORMAT = "pdm_tf image shards, version 1"
SHARD_SUFFIX = ".tfrecord"

_ROW = {"name": str} | dict.fromkeys(
    ("height", "width", "offset", "length", "crc32"), int
)
_INDEX = {
    "complete": bool,
    "shards": [{"file": FileName, "bytes": int, "images": [_ROW]}],
}
_REMEDY = "Run the program that wrote it (pdm_tf.prepare, pdm_tf.degrade) again."

# A record: length (8 bytes), its checksum (4), the payload, its checksum (4).
_HEADER_BYTES = 12
_FOOTER_BYTES = 4


@dataclass(frozen=True)
class StoredImage:
    """An image to be written: the bytes of an image file, its name and size."""

    name: str
    data: bytes
    height: int
    width: int


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


class ShardWriter:
    """Writes a shard, image by image; it appears when `finish` is called.

    A context manager: left without `finish`, it leaves nothing behind.
    """

    def __init__(self, path: str | Path) -> None:
        import tensorflow as tf  # seconds to import, and only writing needs it

        self._path = Path(path)
        self._making = contextlib.ExitStack()
        self._temporary = self._making.enter_context(unfinished_file(self._path))
        self._writer = tf.io.TFRecordWriter(str(self._temporary))
        self._position = 0
        self._rows: list[dict[str, Any]] = []

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            self._writer.close()
        finally:
            self._making.close()

    def add(self, image: StoredImage) -> None:
        """Appends an image."""
        payload = _example(image)
        self._writer.write(payload)
        start = self._position + _HEADER_BYTES + payload.index(image.data)
        self._position += _HEADER_BYTES + len(payload) + _FOOTER_BYTES
        self._rows.append(
            {
                "name": image.name,
                "height": image.height,
                "width": image.width,
                "offset": start,
                "length": len(image.data),
                "crc32": zlib.crc32(image.data),
            }
        )

    def finish(self) -> dict[str, Any]:
        """Gives the shard its name.

        Returns:
          The shard's part of the index: {"file", "bytes", "images": [...]}.
        """
        self._writer.close()
        move_whole(self._temporary, self._path)
        rows = self._rows
        return {"file": self._path.name, "bytes": self._position, "images": rows}


def write_shard(path: str | Path, images: Iterable[StoredImage]) -> dict[str, Any]:
    """Writes a shard, in full or not at all.

    Returns:
      The shard's part of the index: {"file", "bytes", "images": [...]}.
    """
    with ShardWriter(path) as writer:
        for image in images:
            writer.add(image)
        return writer.finish()


def read_index(location: str | Path) -> list[RecordEntry]:
    """Returns the images of a folder of shards, or of one shard, sorted by name.

    Raises:
      UserError: no index, an unfinished one, or a shard that is missing or cut off.
    """
    path = Path(location)
    one = path.name if path.suffix == SHARD_SUFFIX else None
    folder = path.parent if one else path
    if one and not path.is_file():
        raise UserError(f"There is no file {path}.")
    index = read_json(folder / INDEX_NAME, remedy=_REMEDY)
    if index.get("format") != INDEX_FORMAT:
        raise UserError(
            f"{folder / INDEX_NAME} must be the index that pdm_tf.prepare and "
            f"pdm_tf.degrade write ({INDEX_FORMAT}). Received: another file."
        )
    if reason := why_not(index, _INDEX):
        raise UserError(f"{folder / INDEX_NAME} is damaged: {reason}. {_REMEDY}")
    if not index["complete"]:
        raise UserError(
            f"{folder} is not finished: the program that writes it (pdm_tf.prepare or "
            "pdm_tf.degrade) was stopped. Run the same command again; it goes on where "
            "it was."
        )
    entries = [
        entry
        for shard in index["shards"]
        if one in (None, shard["file"])
        for entry in _shard_entries(folder, shard)
    ]
    if not entries:
        raise UserError(f"{path} holds no images according to its {INDEX_NAME}.")
    return sorted(entries, key=lambda entry: entry.name)


def index_of_shards(location: str | Path) -> dict[str, Any]:
    """Returns the index of shards, as far as it can be read; {} without one."""
    path = Path(location)
    index = (path.parent if path.suffix == SHARD_SUFFIX else path) / INDEX_NAME
    if not index.is_file():
        return {}
    known = read_json(index, {"grid?": (str, None), "draws?": bool}, remedy=_REMEDY)
    return known if known.get("format") == INDEX_FORMAT else {}


def is_whole(folder: Path, shard: dict[str, Any]) -> bool:
    """Whether the file of an index's shard is there in full."""
    path = folder / shard["file"]
    return path.is_file() and path.stat().st_size == shard["bytes"]


def _shard_entries(folder: Path, shard: dict[str, Any]) -> Iterator[RecordEntry]:
    if not is_whole(folder, shard):
        raise UserError(
            f"{folder / shard['file']} must be the {shard['bytes']} bytes that its "
            f"{INDEX_NAME} says. Received: a missing or cut file; run the program "
            "that wrote it (pdm_tf.prepare, pdm_tf.degrade) again."
        )
    for row in shard["images"]:
        if not 0 <= row["offset"] <= row["offset"] + row["length"] <= shard["bytes"]:
            raise UserError(
                f"{folder / INDEX_NAME} is damaged: {row['name']!r:.80} must lie "
                f"within {shard['file']}. {_REMEDY}"
            )
        yield RecordEntry(
            shard=folder / shard["file"], **{key: row[key] for key in _ROW}
        )


def _example(image: StoredImage) -> bytes:
    import tensorflow as tf

    def of_bytes(value: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def of_int(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    features = {
        "image": of_bytes(image.data),
        "name": of_bytes(os.fsencode(image.name)),
        "height": of_int(image.height),
        "width": of_int(image.width),
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString()
