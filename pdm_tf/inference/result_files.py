"""Result files: the formats' limits, encoding, and files that appear in full.

| | bits | alpha | longest side | memory while written |
| --- | --- | --- | --- | --- |
| PNG | 8, 16 | yes | 10,000,000 | a few rows |
| TIFF | 8, 16 | yes | 10,000,000 | a few rows of tiles |
| JPEG | 8 | no | 65,500 | a few rows |
| WebP | 8 | yes | 16,383 | the whole image, about 8 bytes a pixel |

PNG is lossless; TIFF too (deflate, tiled; BigTIFF beyond 4 GB). JPEG takes half as many
colour samples below quality 90, as libvips does by itself. WebP is written lossy with
the chroma sampled at its sharpest. EXIF is kept in all but TIFF, where libvips
writes none.

A result appears in full or not at all, with one writer at a time. The content goes into
a hidden file in the same folder, is flushed to the disk and renamed. The hidden file
is locked while it is written, so two programs that work on the same folder do not mix
their bytes; leftovers of a killed program have no lock (`core.files`).
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.files import hidden_name, hold
from pdm_tf.core.photographs import import_pyvips, in_brackets
from pdm_tf.inference.pictures import EXIF, Metadata, Picture

_VIPS_SIDE = 10_000_000
# Of the raw pixels; deflate may need a little more, and a classic TIFF ends at 4 GiB.
_PROBE = 2**20  # bytes
_BIGTIFF = 4_000_000_000


@dataclass(frozen=True)
class Format:
    """The limits of a file format.

    Attributes:
      label: its usual spelling.
      suffixes: the first is given to new files.
      bits: the most bits a sample.
      alpha: whether it holds an alpha channel.
      max_side: longest height or width in pixels.
    """

    label: str
    suffixes: tuple[str, ...]
    bits: int
    alpha: bool
    max_side: int


FORMATS = {
    "png": Format("PNG", (".png",), 16, True, _VIPS_SIDE),
    "jpeg": Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), 8, False, 65_500),
    "webp": Format("WebP", (".webp",), 8, True, 16_383),
    "tiff": Format("TIFF", (".tif", ".tiff"), 16, True, _VIPS_SIDE),
}


def format_of(target: Path) -> str:
    """Returns the name in `FORMATS` that a file name asks for.

    Raises:
      UserError: none has this suffix.
    """
    suffix = target.suffix.lower()
    for name, entry in FORMATS.items():
        if suffix in entry.suffixes:
            return name
    known = ", ".join(suffix for entry in FORMATS.values() for suffix in entry.suffixes)
    raise UserError(
        f"The output must end in one of {known}. Received: {target.name!r}."
    )


def check_holds(picture: Picture, target: Path, height: int, width: int) -> list[str]:
    """Returns notes on the losses of a result in the format of `target`.

    Args:
      picture: the source.
      target: the file to be written.
      height, width: of the result in pixels.

    Raises:
      ImageError: of the source: it does not fit into the format at all.
    """
    entry = FORMATS[format_of(target)]
    if max(height, width) > entry.max_side:
        raise ImageError(
            picture.path,
            f"would become {width} x {height} pixels, and {entry.label} ends at "
            f"{entry.max_side} a side; choose PNG or TIFF",
        )
    if picture.layers == 2 and not entry.alpha:
        raise ImageError(
            picture.path,
            f"has transparent pixels, which {entry.label} cannot hold; choose PNG, "
            "WebP or TIFF",
        )
    notes = []
    if picture.bits > entry.bits:
        notes.append(
            f"{picture.bits} bits were rounded to {entry.bits} for {entry.label}"
        )
    if EXIF in picture.metadata.blobs and entry is FORMATS["tiff"]:
        notes.append("EXIF was left out, which is not written to TIFF")
    return notes


def encode(
    image: Any,
    descriptor: int,
    target: Path,
    metadata: Metadata,
    quality: int,
    on_start: Callable[[Any], None] = lambda image: None,
) -> None:
    """Writes a pyvips image, in the format of `target`'s suffix.

    Args:
      image: 1 to 4 bands, uchar or ushort; its pixels are asked for from top to bottom.
      descriptor: an empty file, open for reading and writing.
      target: its later name; for the format and for messages.
      metadata: to be written along.
      quality: 1..100, of JPEG and WebP.
      on_start: gets the image that is being written, whose `set_kill` stops it.

    Raises:
      ImageError: of the target: the file cannot be written.
    """
    pyvips = import_pyvips()
    image = _with_metadata(image, metadata)
    size = image.width * image.height * image.bands
    name = format_of(target)
    options: dict[str, Any] = {
        # All filters: a tenth slower than one, and a half smaller than none.
        "png": {"compression": 6, "filter": "all"},
        # Better codes ("optimize_coding") would need the whole image in memory.
        "jpeg": {"Q": quality},
        "webp": {"Q": quality, "smart_subsample": True},
        "tiff": {
            "compression": "deflate",
            "predictor": "horizontal",
            "tile": True,
            "tile_width": 256,
            "tile_height": 256,
            "bigtiff": size * (2 if image.format == "ushort" else 1) > _BIGTIFF,
        },
    }[name]
    if EXIF not in metadata.blobs:  # libvips would make one up
        options["keep"] = "xmp|iptc|icc|other"
    on_start(image)
    try:
        output = pyvips.Target.new_to_descriptor(descriptor)
        getattr(image, f"{name}save_target")(output, **options)
    except pyvips.Error as error:
        _require_writable(descriptor, target)
        raise ImageError(target, f"cannot be written{in_brackets(error)}") from error


def _require_writable(descriptor: int, target: Path) -> None:
    """Checks whether more can be written; libvips may have lost the system's error."""
    try:
        os.pwrite(descriptor, bytes(_PROBE), os.fstat(descriptor).st_size)
    except OSError as error:
        raise ImageError(target, cannot_write(error)) from error


def _with_metadata(image: Any, metadata: Metadata) -> Any:
    values = import_pyvips().GValue
    is_deep, is_grey = image.format == "ushort", image.bands < 3
    grey, colour = ("grey16", "rgb16") if is_deep else ("b-w", "srgb")
    horizontal, vertical = metadata.resolution
    image = image.copy(
        interpretation=grey if is_grey else colour, xres=horizontal, yres=vertical
    )
    for name, blob in metadata.blobs.items():
        image.set_type(values.blob_type, name, blob)
    for name, text in metadata.exif.items():
        image.set_type(values.gstr_type, name, text)
    if EXIF in metadata.blobs:
        image.set_type(values.gint_type, "orientation", 1)
    return image


class TargetFile:
    """One file being written.

        with TargetFile(path) as target:
            write_to(target.descriptor)
            target.commit()

    Without `commit`, nothing of it remains.
    """

    def __init__(self, path: Path) -> None:
        """Raises ImageError: another program is writing it, or it cannot be written."""
        self._path = path
        self._part = hidden_name(path, 0)
        self._descriptor: int | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = hold(self._part, wait=False)
        except BlockingIOError as error:
            raise ImageError(path, "is being written by another program") from error
        except OSError as error:
            raise ImageError(path, cannot_write(error)) from error

    @property
    def descriptor(self) -> int:
        """The open file, for reading and writing."""
        return self._descriptor

    def commit(self, before: Callable[[os.stat_result], None] | None = None) -> None:
        """Gives the file its name.

        Args:
          before: called when the content is safe on the disk and the name is not yet
            there, with the facts of the file.
        """
        os.fsync(self._descriptor)
        if before is not None:
            before(os.fstat(self._descriptor))
        os.replace(self._part, self._path)
        self._close()

    def discard(self) -> None:
        """Removes the file, if it was not committed."""
        if self._descriptor is not None:
            self._part.unlink(missing_ok=True)
            self._close()

    def __enter__(self) -> "TargetFile":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.discard()

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = None


def cannot_write(error: OSError) -> str:
    """Returns the reason that follows a file's name."""
    return f"cannot be written ({error.strerror or error})"
