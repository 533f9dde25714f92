"""Image files in and out: 8-bit RGB arrays, whatever the file holds.

Reading goes by the file's content, not by its suffix (`photographs.py`). Everything
that would quietly change what a network sees is either defined here (16 bit is rounded,
EXIF orientation is applied, grey becomes RGB, CMYK is converted) or refused with a
reason (transparency, animation, damage). What a file says of its colours is applied,
so that all of them are sRGB (`core.colour`); CMYK becomes what `upscale` makes of it.

Pillow reads what it reads whole: JPEG, WebP, BMP and PNG of 8 bits. libvips, which
reads everything here but BMP, gives the same values, but takes longer for a picture:
0.2 to 0.35 ms more for each JPEG, two to five times as much for WebP (PNG of 480 x 480:
a third less). So it reads what Pillow cannot or only in part: TIFF, GIF and PNG of 16
bits.
"""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pdm_tf.core.colour import colours_of, png_profile, to_srgb
from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.files import write_bytes_atomic
from pdm_tf.core.photographs import (
    UNREAD_SUFFIXES,
    Header,
    PathLike,
    animation,
    check_claim,
    cmyk_to_srgb,
    kind_of,
    open_file,
    opened,
    opened_bytes,
    picture_reasons,
    profile_of,
    whole_file,
    why_closed,
    why_not_read,
)

# The suffixes that a folder is searched for; the content decides the kind of a file.
IMAGE_SUFFIXES = (
    ".png",
    ".apng",
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".webp",
    ".tif",
    ".tiff",
    ".bmp",
    ".gif",
)

# Downloads often have no suffix, or another one. TIFF and BMP are not told by their
# content: raw photographs are TIFF files too, and a text may begin as a BMP does.
_TOLD_BY_CONTENT = ("png", "jpeg", "webp", "gif")
# Copies that editors keep, unfinished downloads, small pictures that stand for films.
_NOT_TOLD = (".bak", ".tmp", ".part", ".crdownload", ".thm")

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # as Pillow names them
_OTHER_KINDS = ("tiff", "gif")  # libvips reads them
_ORIENTATION_TAG = 0x0112
_HEAD = 1 << 20  # bytes of a file that hold what a PNG says before its pixels
_PNG_DEPTH = 24  # where in a PNG its bits a sample stand


def list_images(folder: PathLike) -> list[Path]:
    """Returns the image files below `folder`, sorted by their relative posix path.

    An image is a file with one of `IMAGE_SUFFIXES`, in small or capital letters, or
    with an unknown suffix or none whose first bytes are those of a PNG, JPEG, WebP or
    GIF. The search is recursive, through links to folders too; hidden ones are left
    out. Links that lead nowhere or in circles are kept, sub-folders that may not be
    searched too, and so are photographs of kinds that are not read (HEIC, raw, ...),
    unless an image of their name lies beside them: reading them names them, and the
    rest goes on.

    Raises:
      UserError: no such folder, a file instead of a folder, one that may not be
        searched, or no image inside.
    """
    folder = Path(folder)
    if not folder.exists():
        raise UserError(f"There is no folder {folder}.")
    if not folder.is_dir():
        raise UserError(f"A folder of images is required. Received the file {folder}.")
    closed: list[Path] = []
    files = list(_walk(folder, set(), closed))
    if folder in closed:
        raise UserError(f"{folder} {why_closed(folder)}.")
    found = [path for path in files if _is_image(path)]
    # Raw files often lie beside the camera's own JPEG of the photograph.
    read = {path.with_suffix("") for path in found}
    found += [
        path
        for path in files
        if path.suffix.lower() in UNREAD_SUFFIXES and path.with_suffix("") not in read
    ]
    if not found:
        raise UserError(
            f"A folder with images ({', '.join(IMAGE_SUFFIXES)}) is required. "
            f"Received: {folder}, which holds none, its sub-folders included"
            f"{''.join(f'; {path} {why_closed(path)}' for path in closed[:3])}."
        )
    return sorted(found + closed, key=lambda path: path.relative_to(folder).as_posix())


def read_rgb_u8(path: PathLike) -> np.ndarray:
    """Reads an image file.

    Grey and palette images become RGB, other colours are converted to sRGB by the
    file's profile (CMYK without one by a general one), an alpha channel that is
    opaque everywhere is dropped, EXIF orientation is applied, and 16-bit values are
    scaled to 8 bit and rounded (v * 255 / 65535). A JPEG with several pictures (MPO)
    gives its first.

    Returns:
      [H, W, 3] uint8 RGB, contiguous.

    Raises:
      ImageError: not an image, truncated or damaged, animated, with transparency, or
        too large to decode safely. The message names the file and the reason.
    """
    return _decode(whole_file(path), path)


def decode_rgb_u8(data: bytes, name: PathLike) -> np.ndarray:
    """Decodes as `read_rgb_u8` the bytes of an image file; messages use `name`."""
    return _decode(data, name)


def image_size(path: PathLike) -> tuple[int, int]:
    """Returns (height, width) as `read_rgb_u8` would give it, from the header alone.

    Raises:
      ImageError: the header cannot be read.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        kind = _kind_of(file.read(16), path)
        if kind in _OTHER_KINDS:
            with opened(path) as header:
                check_claim(path, kind, header.height, header.width, size)
                return header.height, header.width
        file.seek(0)
        with picture_reasons(path), Image.open(file, formats=_FORMATS) as image:
            width, height = image.size
            check_claim(path, kind, height, width, size)
            turned = orientation_of(image) >= 5
            return (width, height) if turned else (height, width)


def colours_of_file(path: PathLike) -> str:
    """What colours an image file says it has, for people: "Display P3", "CMYK", ...

    Only its header is read.

    Returns:
      "" for sRGB and what is taken for it.

    Raises:
      ImageError: the header cannot be read.
    """
    with open_file(path) as file:
        head = file.read(_HEAD)
    with opened(path) as header:
        return colours_of_header(header, head)


def colours_of_header(header: Header, head: bytes) -> str:
    """The same of an opened image, and the file's bytes down to the pixels."""
    if header.image is None or header.colours == 4:
        return "CMYK" if header.colours == 4 else ""
    profile = profile_of(header)
    if header.kind == "png":
        profile = png_profile(head)[0] or profile
    return colours_of(profile, grey=header.colours == 1)


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


def orientation_of(image: Image.Image) -> int:
    """Returns the EXIF orientation 1..8 that an opened image says before its pixels."""
    if image.format == "PNG" and not (
        {"exif", "Raw profile type exif"} & image.info.keys()
    ):
        return 1  # asking Pillow for EXIF would decode the whole file
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001
        return 1  # the pixels are fine; viewers ignore broken EXIF too
    return value if value in range(1, 9) else 1


def _encoded(rgb_u8: np.ndarray, **settings: Any) -> bytes:
    if rgb_u8.dtype != np.uint8 or rgb_u8.ndim != 3 or rgb_u8.shape[2] != 3:
        raise ValueError(
            "`rgb_u8` must be [H, W, 3] uint8. "
            f"Received: {rgb_u8.shape} {rgb_u8.dtype}."
        )
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb_u8)).save(buffer, **settings)
    return buffer.getvalue()


def _walk(folder: Path, seen: set[str], closed: list[Path]) -> Iterator[Path]:
    """Yields the files below a folder; those that can't be searched go to `closed`."""
    real = os.path.realpath(folder)
    if real in seen:  # a link back to a folder above
        return
    seen.add(real)
    try:
        entries = sorted(folder.iterdir())
        kinds = [entry.is_dir() for entry in entries]
    except OSError:
        closed.append(folder)
        return
    for entry, is_folder in zip(entries, kinds, strict=True):
        if entry.name.startswith("."):
            continue
        if is_folder:
            yield from _walk(entry, seen, closed)
        # A link that leads nowhere is an image that cannot be read: to be named.
        elif entry.is_file() or (entry.is_symlink() and not entry.exists()):
            yield entry


def _is_image(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    if suffix in UNREAD_SUFFIXES or suffix in _NOT_TOLD or path.name.endswith("~"):
        return False
    try:
        with open_file(path) as file:
            return kind_of(file.read(16)) in _TOLD_BY_CONTENT
    except ImageError:
        return False


def _decode(data: bytes, name: PathLike) -> np.ndarray:
    kind = _kind_of(data, name)
    if kind in _OTHER_KINDS:
        with opened_bytes(data, name) as header:
            colour, opaque = _vips_pixels(header)
            profile = profile_of(header)
            return _finished(colour, opaque, header.orientation, name, profile)
    with (
        picture_reasons(name),
        Image.open(io.BytesIO(data), formats=_FORMATS) as image,
    ):
        check_claim(name, kind, image.height, image.width, len(data))
        # A JPEG of several pictures (MPO), which phones write, gives its first.
        if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
            raise ImageError(name, animation(image.n_frames))
        profile = image.info.get("icc_profile")
        if kind == "png":
            profile = png_profile(data)[0] or profile
        if image.mode == "CMYK" or (kind == "png" and data[_PNG_DEPTH] == 16):
            with opened_bytes(data, name) as header:
                profile = profile if header.colours < 4 else None
                colour, opaque = _vips_pixels(header)
        else:
            colour, opaque = _pillow_pixels(image, name)
        return _finished(colour, opaque, orientation_of(image), name, profile)


def _kind_of(head: bytes, name: PathLike) -> str:
    if reason := why_not_read(name, head[:16]):
        raise ImageError(name, reason)
    return kind_of(head)


def _vips_pixels(header: Header) -> tuple[np.ndarray, bool]:
    """([H, W, 1 or 3] uint8, whether all of them are opaque), as stored in the file."""
    is_cmyk = header.colours == 4
    image = cmyk_to_srgb(header) if is_cmyk else header.image
    dtype = np.uint16 if header.bits == 16 else np.uint8
    values = np.frombuffer(image.write_to_memory(), dtype)
    values = values.reshape(image.height, image.width, image.bands)
    colours = 3 if is_cmyk else header.colours
    colour, alpha = values[..., :colours], values[..., colours:]
    opaque = bool(np.all(alpha == np.iinfo(dtype).max))
    if header.bits == 16:
        colour = ((colour.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    return colour, opaque


def _pillow_pixels(image: Image.Image, path: PathLike) -> tuple[np.ndarray, bool]:
    """([H, W] or [H, W, 3] uint8, whether all are opaque), as stored in the file."""
    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        return np.asarray(image), True
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or (
        "transparency" in image.info
    ):
        rgba = np.asarray(image.convert("RGBA"))
        return rgba[..., :3], bool(np.all(rgba[..., 3] == 255))
    if image.mode in ("1", "P", "YCbCr"):
        return np.asarray(image.convert("RGB")), True
    raise ImageError(path, f"has the pixel format {image.mode}, which is not supported")


def _finished(
    colour: np.ndarray,
    opaque: bool,
    orientation: int,
    name: PathLike,
    profile: bytes | None,
) -> np.ndarray:
    """Returns [H, W, 3] uint8 sRGB, upright and contiguous."""
    if not opaque:
        raise ImageError(name, "has transparent pixels; flatten it on a background")
    if colour.ndim == 2:
        colour = colour[..., None]
    colour = to_srgb(colour, profile)
    rgb_u8 = np.broadcast_to(colour, (*colour.shape[:2], 3))
    return np.ascontiguousarray(_upright(rgb_u8, orientation))


def _upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Undoes an EXIF orientation on [H, W, C]."""
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
