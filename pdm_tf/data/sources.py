"""The images of one data stream: the usable ones, and their pixels in memory.

Opening a source decodes every image once, in threads, so unreadable ones are found
before training rather than in its third hour. Images that fit the memory budget stay,
as one flat uint8 buffer that the streams cut from; others are decoded again for each
crop, with the same result. The set of usable images is the same either way, and so are
the batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.images import (
    IMAGE_SUFFIXES,
    decode_rgb_u8,
    image_size,
    list_images,
    whole_file,
)
from pdm_tf.data.parallel import OnProgress, counted, in_threads
from pdm_tf.data.tfrecord import INDEX_NAME, SHARD_SUFFIX, read_index

_CHANNELS = 3
_ALIGNMENT = 64  # TensorFlow's requirement for a buffer that it uses in place
_NAMED = 3  # files named per reason in messages
_MB = 1 << 20


class Entry(Protocol):
    """An image that can be asked for its size cheaply and decoded on demand."""

    @property
    def name(self) -> str:
        """The image's name for people: a relative path."""

    @property
    def checked(self) -> bool:
        """Whether it was decoded without fault when it was stored."""

    def size(self) -> tuple[int, int]:
        """(height, width); raises ImageError."""

    def data(self) -> bytes:
        """Reads the stored image file; raises ImageError."""

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
class ImageSource:
    """Usable images and their pixels.

    Attributes:
      label: the images' purpose, as errors name it ("--hr_dir").
      location: folder or shards they come from.
      entries: one per usable image, in the order of their names.
      sizes: [count, 2] int64 (height, width) in pixels.
      skipped: (path, reason) of every image left out.
      pixels: all images behind one another, uint8, or None when they are decoded on
        demand.
      offsets: [count] int64, where in `pixels` each image starts.
      lost: name -> reason of each image that was usable and can't be read any more.
    """

    label: str
    location: str
    entries: tuple[Entry, ...]
    sizes: np.ndarray
    skipped: tuple[tuple[str, str], ...]
    pixels: np.ndarray | None
    offsets: np.ndarray
    lost: dict[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of usable images."""
        return len(self.entries)

    @property
    def names(self) -> tuple[str, ...]:
        """Relative path of each usable image."""
        return tuple(entry.name for entry in self.entries)

    @property
    def cached(self) -> bool:
        """Whether the pixels are in memory."""
        return self.pixels is not None

    @property
    def memory_mb(self) -> float:
        """Memory the pixels take, in MB."""
        return 0.0 if self.pixels is None else self.pixels.nbytes / _MB

    def image(self, index: int) -> np.ndarray:
        """Returns image `index`, [H, W, 3] uint8 RGB.

        Raises:
          ImageError: it is read on demand, and was damaged, changed or removed since.
        """
        height, width = self.sizes[index]
        if self.pixels is None:
            image = self.entries[index].read()
            if image.shape[:2] != (height, width):
                where = place_of(self.entries[index])
                raise ImageError(where, "has another size than at the start")
            return image
        start = self.offsets[index]
        flat = self.pixels[start : start + height * width * _CHANNELS]
        return flat.reshape(height, width, _CHANNELS)

    def select(self, keep: Sequence[int]) -> "ImageSource":
        """Returns a source of the images `keep`, sharing the pixels."""
        keep = np.asarray(keep, np.int64)
        return replace(
            self,
            entries=tuple(self.entries[index] for index in keep),
            sizes=self.sizes[keep],
            offsets=self.offsets[keep],
        )

    def summary(self) -> str:
        """One line for people: how many images, where they are, what was left out."""
        place = f"{self.memory_mb:.0f} MB in memory" if self.cached else "on disk"
        text = f"{self.label}: {self.count} images ({place})"
        if self.skipped:
            text += f", {len(self.skipped)} skipped:{reasons(self.skipped)}"
        return text


def open_source(
    location: str | Path,
    *,
    patch: int,
    cache_mb: float,
    minimum: int = 1,
    label: str = "",
    entries: Sequence[Entry] | None = None,
    on_progress: OnProgress | None = None,
) -> ImageSource:
    """Opens the images of a folder, or of TFRecord shards that `prepare` made.

    Args:
      location: folder of images (searched recursively), folder of shards, or one shard.
      patch: side in pixels of the patches to be cut; smaller images are skipped.
      cache_mb: memory for decoded pixels, in MB (2**20 bytes).
      minimum: usable images that there must be.
      label: the images' purpose, for messages; the location if empty.
      entries: the images of the location, where they are known already.
      on_progress: called with (images done, images in all) now and then.

    Raises:
      UserError: no such place, or fewer than `minimum` usable images.
    """
    if entries is None:
        entries = list_entries(location)
    sizes, skipped = _measure(entries, patch)
    usable = [index for index in range(len(entries)) if index in sizes]
    lengths = [sizes[i][0] * sizes[i][1] * _CHANNELS for i in usable]
    cached = sum(lengths) <= cache_mb * _MB
    pixels = _aligned_buffer(sum(lengths)) if cached else None
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])[:-1]
    offsets = offsets.astype(np.int64)

    def decode(position: int) -> tuple[str, str] | None:
        entry = entries[usable[position]]
        height, width = sizes[usable[position]]
        if pixels is None and entry.checked:
            return None
        try:
            image = entry.read()
            if image.shape != (height, width, _CHANNELS):
                raise ImageError(entry.name, "has another size than its header says")
        except ImageError as error:
            return error.path, error.reason
        if pixels is not None:
            start = offsets[position]
            pixels[start : start + image.size] = image.reshape(-1)
        return None

    faults = list(
        counted(in_threads(decode, range(len(usable))), len(usable), on_progress)
    )
    keep = [position for position, fault in enumerate(faults) if fault is None]
    skipped = sorted(skipped + [fault for fault in faults if fault is not None])
    label, place = label or str(location), str(location)
    _require(len(keep), minimum, len(entries), skipped, patch, label, place)
    return ImageSource(
        label=label,
        location=place,
        entries=tuple(entries[usable[position]] for position in keep),
        sizes=np.array([sizes[usable[position]] for position in keep], np.int64),
        skipped=tuple(skipped),
        pixels=pixels,
        offsets=offsets[keep],
    )


def list_entries(location: str | Path) -> list[Entry]:
    """Returns the images of a folder or of TFRecord shards, sorted by name.

    Raises:
      UserError: no such place or nothing in it.
    """
    path = Path(location)
    if holds_shards(path):
        return list(read_index(path))
    if path.is_dir() and any(path.glob(f"*{SHARD_SUFFIX}")):
        raise UserError(
            f"TFRecord shards need the {INDEX_NAME} that pdm_tf.prepare writes next to "
            f"them. Received: {path}, which has none; run pdm_tf.prepare again."
        )
    return [
        FileEntry(file.relative_to(path).as_posix(), file) for file in list_images(path)
    ]


def holds_shards(location: str | Path) -> bool:
    """Whether a place is a shard, or a folder of them that `prepare` made."""
    path = Path(location)
    return path.suffix == SHARD_SUFFIX or (path / INDEX_NAME).is_file()


def _measure(
    entries: Sequence[Entry], patch: int
) -> tuple[dict[int, tuple[int, int]], list[tuple[str, str]]]:
    """Splits images into sizes by index of large ones, (name, reason) of others."""
    sizes, skipped = {}, []
    for index, entry in enumerate(entries):
        try:
            height, width = entry.size()
        except ImageError as error:
            skipped.append((error.path, error.reason))
            continue
        if min(height, width) < patch:
            reason = f"is smaller than the patch ({width}x{height} px, patch {patch})"
            skipped.append((place_of(entry), reason))
        else:
            sizes[index] = (height, width)
    return sizes, skipped


def place_of(entry: Entry) -> str:
    """Returns how messages name an image: its path, or its name in a shard."""
    return str(entry.path) if isinstance(entry, FileEntry) else entry.name


def _aligned_buffer(length: int) -> np.ndarray:
    raw = np.empty(max(length, 1) + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + max(length, 1)]


def _require(
    usable: int,
    minimum: int,
    found: int,
    skipped: Sequence[tuple[str, str]],
    patch: int,
    label: str,
    location: str,
) -> None:
    if usable >= minimum:
        return
    where = "" if label == location else f" in {location}"
    need = "1 image" if minimum == 1 else f"{minimum} images"
    raise UserError(
        f"{label} must hold at least {need} of {patch}x{patch} px or more. "
        f"Received: {found} image files{where}; {usable} can be used."
        f"{reasons(skipped)}\n"
        f"  Add photographs ({', '.join(IMAGE_SUFFIXES)}), repair or remove the ones "
        "named, or cut smaller patches (--lr_patch)."
    )


def reasons(skipped: Sequence[tuple[str, str]]) -> str:
    """Counts the files left out, one line per reason, and names the first of each."""
    groups: dict[str, list[str]] = {}
    for path, reason in skipped:
        groups.setdefault(reason.partition(" (")[0], []).append(
            Path(path).name + _detail(reason)
        )
    lines = ""
    for reason, names in groups.items():
        more = f", and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        what = reason.removeprefix("is ").removeprefix("has ")
        lines += f"\n  {what} ({len(names)}): {', '.join(names[:_NAMED])}{more}"
    return lines


def _detail(reason: str) -> str:
    _, bracket, detail = reason.partition(" (")
    return f" ({detail}" if bracket else ""
