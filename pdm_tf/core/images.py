"""Image files in and out: 8-bit RGB arrays, whatever the file holds.

Reading goes by the file's content, not by its suffix. Everything that would quietly
change what a network sees is either defined here (16 bit is rounded, EXIF orientation
is applied, grey becomes RGB, CMYK is converted) or refused with a reason (transparency,
animation, damage). Colour profiles are not applied.
"""

import io
import os
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.files import why_missing, write_bytes_atomic

PathLike = str | os.PathLike[str]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_ORIENTATION_TAG = 0x0112
_EMPTY = "is an empty file"
# Pillow refuses above twice its limit; between the limit and that it only warns, which
# says nothing to people with large photographs.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# What Pillow and the libraries below it raise for damaged files.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


def list_images(
    folder: PathLike, suffixes: Sequence[str] = IMAGE_SUFFIXES
) -> list[Path]:
    """Returns the image files below `folder`, sorted by their relative posix path.

    Recursive, through links to folders too; hidden files and folders are left out.
    Links that lead nowhere are not: whoever reads them names them.

    Args:
      folder: where to look.
      suffixes: what counts as an image, in small letters.

    Raises:
      UserError: no such folder, a file instead of a folder, or no image inside.
    """
    folder = Path(folder)
    if not folder.exists():
        raise UserError(f"There is no folder {folder}.")
    if not folder.is_dir():
        raise UserError(f"A folder of images is required. Received the file {folder}.")
    found = [path for path in _walk(folder, set()) if path.suffix.lower() in suffixes]
    if not found:
        raise UserError(
            f"A folder with images ({', '.join(suffixes)}) is required. "
            f"Received: {folder}, which holds none, its sub-folders included."
        )
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def read_rgb_u8(path: PathLike) -> np.ndarray:
    """Reads an image file.

    Grey and palette images become RGB, CMYK is converted, an alpha channel that is
    opaque everywhere is dropped, EXIF orientation is applied, and 16-bit values are
    scaled to 8 bit and rounded (v * 255 / 65535). Of a JPEG with several pictures (MPO)
    the first is taken.

    Returns:
      [H, W, 3] uint8 RGB, contiguous.

    Raises:
      ImageError: not an image, truncated or damaged, animated, with transparency, or
        too large to decode safely. The message names the file and the reason.
    """
    return _decode(whole_file(path), path)


def decode_rgb_u8(data: bytes, name: PathLike) -> np.ndarray:
    """`read_rgb_u8` for the bytes of an image file; `name` is for the messages."""
    return _decode(data, name)


def whole_file(path: PathLike) -> bytes:
    """Returns the bytes of an image file; raises ImageError when it can't be read."""
    with _reasons(path):
        return Path(path).read_bytes()


def image_size(path: PathLike) -> tuple[int, int]:
    """Returns (height, width) as `read_rgb_u8` would give it, from the header alone.

    Raises:
      ImageError: the header cannot be read.
    """
    with _reasons(path):
        if os.path.getsize(path) == 0:
            raise ImageError(path, _EMPTY)
        with _opened(path) as image:
            width, height = image.size
            turned = _orientation(image) >= 5
            return (width, height) if turned else (height, width)


def write_png(path: PathLike, rgb_u8: np.ndarray) -> None:
    """Writes [H, W, 3] uint8 RGB as an 8-bit PNG, in full or not at all.

    Raises:
      ValueError: not [H, W, 3] uint8.
    """
    write_bytes_atomic(path, encode_png(rgb_u8))


def encode_png(rgb_u8: np.ndarray) -> bytes:
    """Returns [H, W, 3] uint8 RGB as the bytes of an 8-bit PNG file.

    Raises:
      ValueError: not [H, W, 3] uint8.
    """
    return _encoded(rgb_u8, format="PNG")


def encode_jpeg(rgb_u8: np.ndarray, quality: int) -> bytes:
    """Returns [H, W, 3] uint8 RGB as a JPEG file, its colours at full resolution.

    Raises:
      ValueError: not [H, W, 3] uint8, or a quality outside 1 to 100.
    """
    if not 1 <= quality <= 100:
        raise ValueError(f"`quality` must be 1 to 100. Received: {quality}.")
    return _encoded(rgb_u8, format="JPEG", quality=quality, subsampling=0)


def to_u8(image: np.ndarray) -> np.ndarray:
    """Float in [0, 1] to uint8: clipped, then rounded half up."""
    return np.floor(np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def to_float(image_u8: np.ndarray) -> np.ndarray:
    """uint8 to float32 in [0, 1]: the float32 nearest to v / 255."""
    return image_u8.astype(np.float32) / np.float32(255.0)


def _encoded(rgb_u8: np.ndarray, **settings: Any) -> bytes:
    if rgb_u8.dtype != np.uint8 or rgb_u8.ndim != 3 or rgb_u8.shape[2] != 3:
        raise ValueError(
            "`rgb_u8` must be [H, W, 3] uint8. "
            f"Received: {rgb_u8.shape} {rgb_u8.dtype}."
        )
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb_u8)).save(buffer, **settings)
    return buffer.getvalue()


def _walk(folder: Path, seen: set[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in seen:  # a link back to a folder above
        return
    seen.add(real)
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry, seen)
        # A link that leads nowhere is an image that cannot be read: to be named.
        elif entry.is_file() or (entry.is_symlink() and not entry.exists()):
            yield entry


def _decode(data: bytes, name: PathLike) -> np.ndarray:
    with _reasons(name):
        if not data:
            raise ImageError(name, _EMPTY)
        with _opened(io.BytesIO(data)) as image:
            rgb_u8 = _pixels(image, data, name)
            return np.ascontiguousarray(_upright(rgb_u8, _orientation(image)))


def _opened(source: PathLike | io.BytesIO) -> Image.Image:
    return Image.open(source, formats=_FORMATS)


@contextmanager
def _reasons(name: PathLike) -> Iterator[None]:
    """Turns what goes wrong with one image file into an ImageError."""
    try:
        yield
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(name, why_missing(name)) from error
    except PermissionError as error:
        raise ImageError(name, "may not be read (permissions)") from error
    except UnidentifiedImageError as error:
        raise ImageError(name, "is not a PNG, JPEG, WebP or BMP image") from error
    except Image.DecompressionBombError as error:
        limit = 2 * Image.MAX_IMAGE_PIXELS // 1_000_000
        raise ImageError(
            name, f"has more than {limit} million pixels; cut it into smaller files"
        ) from error
    except MemoryError as error:
        raise ImageError(name, "needs more memory than there is") from error
    except _DAMAGE as error:
        raise ImageError(name, f"is truncated or damaged ({error})") from error


def _pixels(image: Image.Image, data: bytes, path: PathLike) -> np.ndarray:
    """Returns [H, W, 3] uint8 RGB, before EXIF orientation."""
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise ImageError(path, f"is an animation of {image.n_frames} frames")
    deep = _deep_pixels(image, data)
    if deep is not None:
        colour, opaque = deep
        rgb_u8 = ((colour.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    else:
        rgb_u8, opaque = _shallow_pixels(image, path)
    if not opaque:
        raise ImageError(path, "has transparent pixels; flatten it on a background")
    if rgb_u8.ndim == 2:
        rgb_u8 = rgb_u8[..., None]
    return np.broadcast_to(rgb_u8, (*rgb_u8.shape[:2], 3))


def _shallow_pixels(image: Image.Image, path: PathLike) -> tuple[np.ndarray, bool]:
    """8 bits a channel: (pixels, whether all of them are opaque)."""
    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        return np.asarray(image), True
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or (
        "transparency" in image.info
    ):
        rgba = np.asarray(image.convert("RGBA"))
        return rgba[..., :3], bool(np.all(rgba[..., 3] == 255))
    if image.mode in ("1", "P", "CMYK", "YCbCr"):
        return np.asarray(image.convert("RGB")), True
    raise ImageError(path, f"has the pixel format {image.mode}, which is not supported")


def _deep_pixels(image: Image.Image, data: bytes) -> tuple[np.ndarray, bool] | None:
    """16 bits a channel (PNG): (uint16 grey or RGB, all opaque); None when 8 bit.

    Pillow keeps 16 bits of grey alone; of the other kinds it takes the high bytes,
    which is half a level too dark on average. Their low bytes come from a second
    decoding, as if the file were little-endian.
    """
    raw_mode = image.tile[0][3] if image.format == "PNG" and image.tile else None
    if isinstance(raw_mode, tuple):
        raw_mode = raw_mode[0]
    if raw_mode == "I;16B":
        values = np.asarray(image).astype(np.uint16)
        colour, alpha = values, None
    elif raw_mode in ("RGB;16B", "RGBA;16B"):
        low = _decoded_as(data, image.mode, raw_mode[:-1] + "L")
        values = np.asarray(image).astype(np.uint16) * 256 + low
        colour, alpha = values[..., :3], values[..., 3:]
    elif raw_mode == "LA;16B":
        four = _decoded_as(data, "RGBA", "RGBA").astype(np.uint16)
        colour = four[..., 0] * 256 + four[..., 1]
        alpha = four[..., 2] * 256 + four[..., 3]
    else:
        return None
    opaque = alpha is None or bool(np.all(alpha == 65535))
    if "transparency" in image.info:  # one colour that counts as transparent
        key = np.asarray(image.info["transparency"], np.uint16)
        same = colour == key
        opaque = not np.any(same.all(axis=-1) if colour.ndim == 3 else same)
    return colour, opaque


def _decoded_as(data: bytes, mode: str, raw_mode: str) -> np.ndarray:
    """Decodes a PNG with its samples taken as `raw_mode` says."""
    with _opened(io.BytesIO(data)) as image:
        image._mode = mode
        image.tile = [tile._replace(args=raw_mode) for tile in image.tile]
        return np.asarray(image)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8, from what stands before the pixels."""
    if image.format == "PNG" and not (
        {"exif", "Raw profile type exif"} & image.info.keys()
    ):
        return 1  # asking Pillow for EXIF would decode the whole file
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except _DAMAGE:
        return 1  # the pixels are fine; viewers ignore broken EXIF too
    return value if value in range(1, 9) else 1


def _upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Undoes an EXIF orientation, of [H, W, C]."""
    operations = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.swapaxes(0, 1),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: np.rot90(x.swapaxes(0, 1), 2),
        8: lambda x: np.rot90(x, 1),
    }
    return operations[orientation](image)
