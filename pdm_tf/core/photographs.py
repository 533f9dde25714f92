"""Opens image files by their content: kind, size, and reasons for refusal.

The suffix does not count. A file is accepted when its kind is one of `LOADERS` and its
pixels are one picture of 8 or 16 bits in grey, RGB or CMYK, with or without alpha.
Everything else is refused by a reason that follows the file's name: animations and
files of several pages, because only one picture could come out; floating point and
other depths, because there is no white that all programs agree on.

libvips is loaded here, and in no other place. It reads and writes images as streams, so
that a picture of any height passes in bounded memory. It is asked

- to keep no cache of operations: a file that is written again under its name would
  otherwise come out of the cache with its old content;
- to keep its warnings, unless the program listens to the logger "pyvips": they would
  break a progress bar, and anything that makes a file unusable is raised as an error
  anyway (`fail_on`).

Files are opened by Python and handed over as descriptors. So every file name works
(libvips takes names as UTF-8 only), and the reasons of the system (no such file, no
permission) are reported as such.

What a header claims is checked before anything is decoded or allocated: against the
limits of `set_limits`, and against what so many bytes can hold at all (`_PER_BYTE`).
"""

import contextlib
import io
import itertools
import logging
import os
import re
import stat
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, BinaryIO

from PIL import Image, UnidentifiedImageError

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.files import why_missing

PathLike = str | os.PathLike[str]

EMPTY = "is an empty file"
NOT_AN_IMAGE = "is not a PNG, JPEG, WebP, TIFF, BMP or GIF image"
_RAW = "a raw photograph"
# Photographs that people have and that are not read, by the suffix: raw ones are TIFF
# files by their content, of which a small preview would be read.
UNREAD_SUFFIXES = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "a HEIC photograph"),
    ".avif": "an AVIF image",
    ".jxl": "a JPEG XL image",
    **dict.fromkeys((".jp2", ".j2k", ".jpx"), "a JPEG 2000 image"),
    **dict.fromkeys((".psd", ".psb"), "a Photoshop file"),
    **dict.fromkeys((".tga", ".ppm", ".pgm", ".pnm", ".exr", ".hdr"), "an image"),
    **dict.fromkeys(
        (".nef", ".nrw", ".dng", ".cr2", ".cr3", ".crw", ".arw", ".sr2", ".raf"), _RAW
    ),
    **dict.fromkeys((".orf", ".rw2", ".pef", ".srw", ".3fr", ".iiq", ".x3f"), _RAW),
}

# Kind -> libvips' loader; BMP, which this libvips has none for, is Pillow's.
LOADERS = {
    "png": "pngload_source",
    "jpeg": "jpegload_source",
    "webp": "webpload_source",
    "tiff": "tiffload_source",
    "gif": "gifload_source",
    "bmp": "",
}
_STARTS = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"GIF87a": "gif",
    b"GIF89a": "gif",
    b"BM": "bmp",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",  # BigTIFF
    b"MM\0+": "tiff",
}
# TIFF's tag on further samples, and its values for premultiplied and plain alpha.
_EXTRA_SAMPLES, _ALPHA_SAMPLES = 338, (1, 2)
_BITS = {"uchar": 8, "ushort": 16}
_COLOURS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb16": 3, "rgb": 3, "cmyk": 4}

# Pillow refuses above twice its limit; between the limit and that it only warns, which
# does not help people with large photographs.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# The most pixels that one byte of a file can stand for, by the rules of its kind. JPEG:
# a bit for each 8 x 8 block of a grey picture, with room for odd sampling; PNG: 1032
# bytes by deflate, of 8 pixels each; GIF: 4096 pixels for each code of 12 bits; BMP: an
# escape of 4 bytes skips 255 x 255. WebP and TIFF (fax, sparse) have no such bound.
_PER_BYTE = {"jpeg": 4096, "png": 8256, "gif": 2731, "bmp": 16257}
_WHOLE_BYTES = 1 << 32  # of a file that is read whole: more than its pixels may take
_MB = 10**6

_SILENCE = logging.NullHandler()
_NOISE = re.compile(r"^(unable to call \w+|unable to write to memory)$")
_ORIGIN = re.compile(r"^[\w.]+: ")  # the part of libvips that speaks: "vipspng: "


@dataclass(frozen=True)
class Header:
    """The facts known before the pixels are decoded.

    Attributes:
      kind: "png", "jpeg", "webp", "tiff", "gif" or "bmp".
      height, width: in pixels, upright (EXIF orientation applied).
      colours: channels without alpha: 1 grey, 3 RGB, 4 CMYK.
      has_alpha: whether an alpha channel follows them.
      bits: 8 or 16 a sample.
      orientation: EXIF orientation 1..8 of the pixels as stored.
      image: the pyvips image, its pixels not yet read; None for BMP.
      note: what of the file is left out, in words that follow its name; "".
    """

    kind: str
    height: int
    width: int
    colours: int
    has_alpha: bool
    bits: int
    orientation: int
    image: Any
    note: str = ""


class _Limits:
    """What `set_limits` allows; 0: what the reader can take."""

    pixels = 0
    size = 0


def set_limits(max_pixels: int = 0, max_file_mb: float = 0) -> None:
    """Refuses larger pictures from now on, by their headers, before they are decoded.

    Args:
      max_pixels: of one picture; 0: those that can be decoded whole (179 million), and
        any number where rows are read one after the other.
      max_file_mb: size of one file in MB; 0: no limit, 4 GiB for files that are read
        whole.
    """
    _Limits.pixels, _Limits.size = max_pixels, round(max_file_mb * _MB)


def check_claim(
    name: PathLike, kind: str, height: int, width: int, size: int, *, whole: bool = True
) -> None:
    """Refuses a picture by its header.

    Args:
      name: for messages.
      kind: key of `LOADERS`.
      height, width: as the header says.
      size: of the file in bytes.
      whole: whether all pixels are to be in memory at once.

    Raises:
      ImageError: more pixels than are allowed, or than `size` bytes can hold.
    """
    pixels = height * width
    limit = _Limits.pixels or (2 * Image.MAX_IMAGE_PIXELS if whole else 0)
    if limit and pixels > limit:
        raise ImageError(name, too_large())
    if pixels > _PER_BYTE.get(kind, pixels) * size:
        raise ImageError(
            name,
            f"is truncated or damaged (its header claims {width}x{height} pixels, more "
            f"than {size} bytes can hold)",
        )


def import_pyvips() -> ModuleType:
    """Returns pyvips, set up as the header says.

    Raises:
      UserError: it is not installed, or its libvips cannot be loaded.
    """
    try:
        import pyvips
    except (ImportError, OSError) as error:
        raise UserError(
            "Reading and writing these image files needs libvips; install it with "
            f"pip install 'pyvips[binary]'. Received: {error}."
        ) from error
    pyvips.cache_set_max(0)
    # With no handler at all, logging prints warnings to standard error.
    logging.getLogger("pyvips").addHandler(_SILENCE)
    return pyvips


def in_brackets(error: Exception) -> str:
    """Returns " (the first line of a libvips error)", without inner names.

    Returns "" when it says nothing: all threads of libvips share one buffer for texts,
    and another one may have emptied it meanwhile.
    """
    for line in str(getattr(error, "detail", "")).splitlines():
        text = _ORIGIN.sub("", line.strip()).strip()
        if text and not _NOISE.match(text):
            return f" ({text})"
    return ""


def kind_of(head: bytes) -> str | None:
    """Returns the kind of an image file by its first 16 bytes; None: not an image."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    return next(
        (kind for start, kind in _STARTS.items() if head.startswith(start)), None
    )


def why_not_read(path: PathLike, head: bytes) -> str:
    """Why a file is no image that is read here, after its name; "" if it may be one.

    Args:
      path: the file, whose suffix counts for what is not read.
      head: its first 16 bytes.
    """
    what = UNREAD_SUFFIXES.get(os.path.splitext(path)[1].lower())
    kind = kind_of(head)
    if what and (kind is None or what == _RAW):
        return f"is {what}, which is not read; save it as JPEG, PNG or TIFF"
    if kind is None:
        return NOT_AN_IMAGE if head else EMPTY
    return ""


@contextmanager
def opened(path: PathLike) -> Iterator[Header]:
    """Yields the header of an image file; its pixels can be read within.

    Raises:
      ImageError: the file cannot be used, now or while its pixels are read.
    """
    with open_file(path) as file:
        head = file.read(16)
        if reason := why_not_read(path, head):
            raise ImageError(path, reason)
        kind = kind_of(head)
        size = os.fstat(file.fileno()).st_size
        if kind == "bmp":
            with picture_reasons(path), Image.open(path, formats=("BMP",)) as image:
                width, height = image.size
                check_claim(path, kind, height, width, size)
            yield Header(kind, height, width, 3, False, 8, 1, None)
            return
        if kind == "png" and (frames := _png_frames(file)) > 1:
            raise ImageError(path, animation(frames))
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        source = import_pyvips().Source.new_from_descriptor(file.fileno())
        with picture_reasons(path, writing=True):
            header = _header(path, kind, source, lambda: open(path, "rb"))
            check_claim(path, kind, header.height, header.width, size, whole=False)
            yield header


@contextmanager
def opened_bytes(data: bytes, name: PathLike) -> Iterator[Header]:
    """Opens the bytes of an image file of any kind but BMP, as `opened` does.

    Args:
      data: of an image that is known not to be an animated PNG.
      name: for the messages.
    """
    source = import_pyvips().Source.new_from_memory(data)
    kind = kind_of(data)
    with picture_reasons(name):
        header = _header(name, kind, source, lambda: io.BytesIO(data))
        check_claim(name, kind, header.height, header.width, len(data))
        yield header


def read_size(path: PathLike) -> tuple[int, int]:
    """Returns (height, width) of an image file, upright.

    Raises:
      ImageError: the file cannot be used.
    """
    with opened(path) as header:
        return header.height, header.width


def open_file(path: PathLike) -> BinaryIO:
    """Opens an image file.

    Raises:
      ImageError: there is none, or it is no file, or may not be read.
    """
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(path, why_closed(path) or "is a folder")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(path, "is no regular file")
        if _Limits.size and status.st_size > _Limits.size:
            raise ImageError(path, _too_many_bytes(status.st_size, _Limits.size))
        return open(path, "rb")
    except FileNotFoundError as error:
        raise ImageError(path, why_missing(path)) from error
    except PermissionError as error:
        raise ImageError(path, "may not be read (permissions)") from error
    except OSError as error:
        raise ImageError(path, f"cannot be read ({error.strerror})") from error


def why_closed(folder: PathLike) -> str:
    """Why a folder can't be searched, in words that follow its name; "" if it can."""
    try:
        os.listdir(folder)
        os.stat(os.path.join(folder, "."))
    except OSError as error:
        return f"is a folder that cannot be searched ({error.strerror})"
    return ""


def whole_file(path: PathLike) -> bytes:
    """Returns the bytes of an image file; raises ImageError when it can't be read."""
    with open_file(path) as file, picture_reasons(path):
        size = os.fstat(file.fileno()).st_size
        if size > _WHOLE_BYTES and not _Limits.size:
            raise ImageError(path, _too_many_bytes(size, _WHOLE_BYTES))
        return file.read()


def _too_many_bytes(size: int, limit: int) -> str:
    return f"has {size / _MB:.0f} MB, more than {limit / _MB:.0f} MB (--max_file_mb)"


def animation(frames: int) -> str:
    """Returns why a moving picture is refused, in words that follow its name."""
    return f"is an animation of {frames} frames; only still pictures are read"


def upright(image: Any, orientation: int) -> Any:
    """Undoes an EXIF orientation 1..8 of a pyvips image."""
    turns = {3: "d180", 4: "d180", 5: "d90", 6: "d90", 7: "d270", 8: "d270"}
    if orientation in turns:
        image = image.rot(turns[orientation])
    return image.fliphor() if orientation in (2, 4, 5, 7) else image


def profile_of(header: Header) -> bytes | None:
    """The ICC profile of grey or RGB pixels; None without one."""
    if header.colours == 4 or not says(header.image, "icc-profile-data"):
        return None
    return header.image.get("icc-profile-data")


def cmyk_to_srgb(header: Header) -> Any:
    """Returns the pyvips image of a CMYK picture in sRGB, of as many bits.

    It goes through the file's own profile, or libvips' general one if there is none;
    the black point is compensated.
    """
    return header.image.icc_transform(
        "srgb",
        embedded=says(header.image, "icc-profile-data"),
        input_profile="cmyk",
        black_point_compensation=True,
        depth=header.bits,
    )


def says(image: Any, field: str) -> bool:
    """Whether a pyvips image has a field.

    Its list of fields would not do: names in files need not be UTF-8 (keywords of PNG
    texts are Latin-1), and pyvips can't list them then.
    """
    return image.get_typeof(field) != 0


def texts_of(image: Any, start: str) -> dict[str, str]:
    """The text fields of a pyvips image whose names begin so, where they are UTF-8."""
    pyvips = import_pyvips()
    array, found = pyvips.vips_lib.vips_image_get_fields(image.pointer), {}
    for at in itertools.count():
        if array[at] == pyvips.ffi.NULL:
            break
        name = pyvips.ffi.string(array[at]).decode("utf-8", "replace")
        pyvips.glib_lib.g_free(array[at])
        if name.startswith(start):
            with contextlib.suppress(UnicodeDecodeError, pyvips.Error):
                found[name] = image.get(name)
    pyvips.glib_lib.g_free(array)
    return found


@contextmanager
def picture_reasons(name: PathLike, writing: bool = False) -> Iterator[None]:
    """Turns whatever goes wrong with one image file of a known kind into an ImageError.

    The one boundary around decoders. They raise nearly anything on files from
    elsewhere, and each surprise is to cost its picture alone. Errors of the user, which
    are not the picture's, pass.

    Args:
      name: of the file, for messages.
      writing: whether pixels are written to a disk meanwhile, so that the system's
        errors are not the picture's: they pass too.
    """
    try:
        yield
    except UserError:
        raise
    except UnidentifiedImageError as error:  # it begins like an image
        raise ImageError(name, "is truncated or damaged") from error
    except Image.DecompressionBombError as error:
        raise ImageError(name, too_large()) from error
    except MemoryError as error:
        raise ImageError(name, "needs more memory than there is") from error
    except Exception as error:  # noqa: BLE001 - see above
        if isinstance(error, OSError) and error.errno is not None:
            if writing:
                raise
            reason = f"cannot be read ({error.strerror or error})"
        elif hasattr(error, "detail"):  # of libvips
            reason = f"is truncated or damaged{in_brackets(error)}"
        else:
            told = str(error).partition("\n")[0] or type(error).__name__
            reason = f"is truncated or damaged ({told})"
        raise ImageError(name, reason) from error


def too_large() -> str:
    """Returns why a picture is refused that is too large to be decoded at once."""
    limit = _Limits.pixels or 2 * Image.MAX_IMAGE_PIXELS
    words = f"{limit // 1_000_000} million" if limit >= 10**7 else f"{limit}"
    return f"has more than {words} pixels (--max_pixels); cut it into smaller files"


def _header(
    path: PathLike, kind: str, source: Any, again: Callable[[], BinaryIO]
) -> Header:
    load = getattr(import_pyvips().Image, LOADERS[kind])
    image = load(source, access="sequential", fail_on="error")
    pages = image.get("n-pages") if says(image, "n-pages") else 1
    if pages > 1:
        raise ImageError(path, _pages(pages) if kind == "tiff" else animation(pages))
    colours = _COLOURS.get(image.interpretation, 0)
    if image.format not in _BITS or not 0 <= image.bands - colours <= 1 <= colours:
        raise ImageError(
            path,
            f"has pixels of {image.bands} x {image.format} ({image.interpretation}); "
            "grey, RGB or CMYK of 8 or 16 bits is required",
        )
    note = ""
    if kind == "tiff" and image.bands > colours and not _says_alpha(again):
        image = image[:colours] if colours > 1 else image[0]
        note = (
            "has a further channel that is not said to be transparency; it is left "
            "out, and the colours are kept"
        )
    orientation = image.get("orientation") if says(image, "orientation") else 1
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
        note=note,
    )


def _says_alpha(again: Callable[[], BinaryIO]) -> bool:
    """Whether a TIFF file says that its further sample is transparency."""
    try:
        with again() as file, Image.open(file, formats=("TIFF",)) as image:
            extra = image.tag_v2.get(_EXTRA_SAMPLES, ())
    except Exception:  # noqa: BLE001 - Pillow does not read it: as libvips takes it
        return True
    return any(sample in _ALPHA_SAMPLES for sample in extra)


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


def _pages(pages: int) -> str:
    return f"has {pages} pages; split it into files of one picture"
