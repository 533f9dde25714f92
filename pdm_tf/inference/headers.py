"""What an image file holds, found from its first bytes: the kind, the size, refusals.

Nothing goes by the suffix. A file is accepted when its kind is one of `LOADERS` and its
pixels are one picture of 8 or 16 bits in grey, RGB or CMYK, with or without alpha.
Everything else is refused by a reason that follows the file's name: animations and
files of several pages, because only one picture could come out; floating point and
other depths, because there is no white that all programs agree on.
"""

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from pdm_tf.core.errors import ImageError
from pdm_tf.core.files import why_missing
from pdm_tf.core.images import image_size
from pdm_tf.inference.vips import import_pyvips, in_brackets

PathLike = str | os.PathLike[str]

# Kind -> libvips' loader; BMP, which this libvips has none for, is read by `core`.
LOADERS = {
    "png": "pngload_source",
    "jpeg": "jpegload_source",
    "webp": "webpload_source",
    "tiff": "tiffload_source",
    "gif": "gifload_source",
    "bmp": "",
}
# What a folder is searched for; the content decides what a file is.
PICTURE_SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif"),
    *(".webp", ".tif", ".tiff", ".bmp", ".gif"),
)

_BITS = {"uchar": 8, "ushort": 16}
_COLOURS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb16": 3, "rgb": 3, "cmyk": 4}


@dataclass(frozen=True)
class Header:
    """What is known before the pixels are decoded.

    Attributes:
      kind: "png", "jpeg", "webp", "tiff", "gif" or "bmp".
      height, width: in pixels, upright (EXIF orientation applied).
      colours: channels without alpha: 1 grey, 3 RGB, 4 CMYK.
      has_alpha: whether an alpha channel follows them.
      bits: 8 or 16 a sample.
      orientation: EXIF orientation 1..8 of the pixels as stored.
      image: the pyvips image, its pixels not yet read; None for BMP.
    """

    kind: str
    height: int
    width: int
    colours: int
    has_alpha: bool
    bits: int
    orientation: int
    image: Any


@contextmanager
def opened(path: PathLike) -> Iterator[Header]:
    """Yields the header of an image file; its pixels can be read within.

    Raises:
      ImageError: the file cannot be used, now or while its pixels are read.
    """
    pyvips = import_pyvips()
    with _opened_file(path) as file, _reasons(path, pyvips.Error):
        kind = _kind(file)
        if kind is None:
            raise ImageError(path, _not_an_image(file))
        if kind == "bmp":
            height, width = image_size(path)
            yield Header(kind, height, width, 3, False, 8, 1, None)
            return
        if kind == "png" and (frames := _png_frames(file)) > 1:
            raise ImageError(path, _animation(frames))
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        source = pyvips.Source.new_from_descriptor(file.fileno())
        load = getattr(pyvips.Image, LOADERS[kind])
        yield _header(path, kind, load(source, access="sequential", fail_on="error"))


def read_size(path: PathLike) -> tuple[int, int]:
    """Returns (height, width) of an image file, upright.

    Raises:
      ImageError: the file cannot be used.
    """
    with opened(path) as header:
        return header.height, header.width


def _header(path: PathLike, kind: str, image: Any) -> Header:
    fields = image.get_fields()
    pages = image.get("n-pages") if "n-pages" in fields else 1
    if pages > 1:
        raise ImageError(path, _pages(pages) if kind == "tiff" else _animation(pages))
    colours = _COLOURS.get(image.interpretation, 0)
    if image.format not in _BITS or not 0 <= image.bands - colours <= 1 <= colours:
        raise ImageError(
            path,
            f"has pixels of {image.bands} x {image.format} ({image.interpretation}); "
            "grey, RGB or CMYK of 8 or 16 bits is required",
        )
    orientation = image.get("orientation") if "orientation" in fields else 1
    orientation = orientation if orientation in range(1, 9) else 1
    turned = orientation >= 5
    return Header(
        kind=kind,
        height=image.width if turned else image.height,
        width=image.height if turned else image.width,
        colours=colours,
        has_alpha=image.bands > colours,
        bits=_BITS[image.format],
        orientation=orientation,
        image=image,
    )


def _kind(file: BinaryIO) -> str | None:
    head = file.read(16)
    starts = {
        b"\x89PNG\r\n\x1a\n": "png",
        b"\xff\xd8\xff": "jpeg",
        b"GIF87a": "gif",
        b"GIF89a": "gif",
        b"BM": "bmp",
    }
    starts |= dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "tiff")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    return next(
        (kind for start, kind in starts.items() if head.startswith(start)), None
    )


def _not_an_image(file: BinaryIO) -> str:
    if os.fstat(file.fileno()).st_size == 0:
        return "is an empty file"
    return "is not a PNG, JPEG, WebP, TIFF, BMP or GIF image"


def _png_frames(file: BinaryIO) -> int:
    """Returns the frames of an animated PNG, which libvips reads as a still one."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == b"acTL":
            return int.from_bytes(file.read(4), "big")
        if name in (b"IDAT", b"IEND"):
            break
        file.seek(length + 4, os.SEEK_CUR)
    return 1


def _animation(frames: int) -> str:
    return f"is an animation of {frames} frames; only still pictures are upscaled"


def _pages(pages: int) -> str:
    return f"has {pages} pages; split it into files of one picture"


def _opened_file(path: PathLike) -> BinaryIO:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            is_folder = os.path.isdir(path)
            raise ImageError(path, "is a folder" if is_folder else "is no regular file")
        return open(path, "rb")
    except FileNotFoundError as error:
        raise ImageError(path, why_missing(path)) from error
    except PermissionError as error:
        raise ImageError(path, "may not be read (permissions)") from error
    except OSError as error:
        raise ImageError(path, f"cannot be read ({error.strerror})") from error


@contextmanager
def _reasons(path: PathLike, vips_error: type[Exception]) -> Iterator[None]:
    """Turns what goes wrong with the pixels of one file into an ImageError."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(path, "needs more memory than there is") from error
    except vips_error as error:
        raise ImageError(
            path, f"is truncated or damaged{in_brackets(error)}"
        ) from error
