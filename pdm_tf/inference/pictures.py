"""Photographs as the network reads them, and the metadata that the result keeps.

A file may hold more than a network takes, so each file is prepared once:

- EXIF orientation is applied, and the tag says upright from then on;
- grey is given to the network as three equal channels, and comes out as grey;
- CMYK becomes sRGB through the file's own profile, or libvips' built-in one (noted);
- 16 bits stay 16 bits: the network sees v / 65535;
- an alpha channel that is opaque everywhere is left out of the network's work. A real
  one makes a second layer for the network, and the colours are multiplied by it first,
  so that hidden colours behind transparent pixels do not bleed into the visible ones;
- ICC profile, EXIF, XMP and IPTC travel along (`Metadata`); what a PNG says of its
  colours without a profile becomes one. Colours are not converted:
  the network works on the stored values, and the profile gives their meaning.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pdm_tf.core.colour import png_profile
from pdm_tf.core.images import read_rgb_u8
from pdm_tf.core.photographs import (
    Header,
    PathLike,
    cmyk_to_srgb,
    opened,
    says,
    texts_of,
    upright,
)
from pdm_tf.inference.stores import (
    MemoryBudget,
    MemoryStore,
    PixelStore,
    open_store,
)

ICC = "icc-profile-data"
XMP = "xmp-data"
EXIF = "exif-data"

_PNG_START = 1 << 22  # bytes; EXIF and profiles are smaller
_KEPT = (ICC, XMP, EXIF, "iptc-data")
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:=[\"']|>))[2-8]")


@dataclass(frozen=True)
class Metadata:
    """A file's statements about its pixels.

    Attributes:
      blobs: name in libvips ("icc-profile-data", ...) -> bytes.
      exif: EXIF entries as libvips names and writes them; orientation left out.
      resolution: pixels per mm, horizontally and vertically.
    """

    blobs: dict[str, bytes]
    exif: dict[str, str]
    resolution: tuple[float, float] = (1.0, 1.0)

    @property
    def icc(self) -> bytes | None:
        """The ICC profile."""
        return self.blobs.get(ICC)


class Picture:
    """One image file, decoded; an `LrSource` for the engine.

    Attributes:
      path: the file.
      kind: "png", "jpeg", "webp", "tiff", "gif" or "bmp", by its content.
      height, width: in pixels, upright.
      colours: 1 grey, 3 RGB.
      bits: 8 or 16.
      has_alpha: the file has an alpha channel; the result gets one.
      layers: 2 when it is not opaque everywhere (colour and alpha), else 1.
      metadata: for the result.
      notes: changes on the way, in words that follow the file's name.
    """

    def __init__(
        self,
        path: PathLike,
        kind: str,
        store: PixelStore,
        *,
        colours: int,
        has_alpha: bool,
        metadata: Metadata,
        notes: tuple[str, ...] = (),
    ) -> None:
        """Holds the decoded pixels.

        Args:
          store: [H, W, colours (+ 1 when there is transparency)].
        """
        self.path, self.kind, self.colours, self.metadata = (
            path,
            kind,
            colours,
            metadata,
        )
        self.height, self.width, bands = store.shape
        self.bits = 8 * store.dtype.itemsize
        self.has_alpha, self.notes = has_alpha, notes
        self.layers = bands - colours + 1
        self._store = store

    @property
    def pixels(self) -> np.ndarray:
        """[H, W, 1 or 3] uint8 or uint16: grey or RGB, as in the file."""
        return self._store.rows(0, self.height)[..., : self.colours]

    @property
    def alpha(self) -> np.ndarray | None:
        """[H, W] uint8 or uint16; None when it is opaque everywhere."""
        return self.alpha_rows(0, self.height) if self.layers == 2 else None

    def alpha_rows(self, top: int, bottom: int) -> np.ndarray:
        """Returns alpha of the rows top..bottom, [n, W]; of 2 layers only."""
        return self._store.rows(top, bottom)[..., -1]

    def read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """Returns the part as [layers, h, w, 3] float32 in [0, 1].

        Layer 0 is the colour, multiplied by alpha if there is layer 1, which is alpha.
        """
        part = self._store.rows(top, bottom)[:, left:right].astype(np.float32)
        part /= np.float32(2**self.bits - 1)
        colour, alpha = part[..., : self.colours], part[..., self.colours :]
        layers = [colour * alpha, alpha] if self.layers == 2 else [colour]
        full = (bottom - top, right - left, 3)
        return np.stack([np.broadcast_to(layer, full) for layer in layers])

    def close(self) -> None:
        """Frees the memory or the disk space; may be called twice."""
        self._store.close()


def read_picture(
    path: PathLike,
    *,
    scratch: PathLike | None = None,
    budget: MemoryBudget | None = None,
) -> Picture:
    """Reads an image file: PNG, JPEG, WebP, TIFF, BMP, GIF, whatever its suffix says.

    Args:
      path: the file.
      scratch: folder for the pixels when they are more than `budget` allows; needed
        with `budget`.
      budget: memory for pixels; None: as much as it takes.

    Raises:
      ImageError: not an image, truncated or damaged, an animation, of several pages,
        or of pixels that are not supported. The message names the file and the reason.
      UserError: the disk has no space for the scratch file.
    """
    with opened(path) as header:

        def new_store(shape: tuple[int, int, int], dtype: np.dtype) -> PixelStore:
            if budget is None or scratch is None:
                return MemoryStore(shape, dtype)
            return open_store(shape, dtype, folder=Path(scratch), budget=budget)

        if header.kind == "bmp":
            rgb_u8 = read_rgb_u8(path)
            store = new_store(rgb_u8.shape, rgb_u8.dtype)
            store.append(rgb_u8)
            empty = Metadata({}, {})
            return Picture(
                path, "bmp", store, colours=3, has_alpha=False, metadata=empty
            )
        return _decoded(path, header, new_store)


def _decoded(
    path: PathLike,
    header: Header,
    new_store: Callable[[tuple[int, int, int], np.dtype], PixelStore],
) -> Picture:
    image, metadata = header.image, _metadata(header)
    notes = (header.note,) if header.note else ()
    colours = header.colours
    if header.kind == "png":
        profile, note = png_profile(_before_pixels(path))
        if profile:
            blobs = {**metadata.blobs, ICC: profile}
            metadata = Metadata(blobs, metadata.exif, metadata.resolution)
        notes += (note,) if note else ()
    if colours == 4:
        image, metadata, converted = _from_cmyk(metadata, header)
        notes += converted
        colours = 3
    store = _pixels(image, header.orientation, new_store)
    try:
        has_transparency = header.has_alpha and _has_transparency(store)
        if header.has_alpha and not has_transparency:
            opaque = store
            store = _pixels(opaque.image()[:colours], 1, new_store)
            opaque.close()
    except BaseException:
        store.close()
        raise
    return Picture(
        path,
        header.kind,
        store,
        colours=colours,
        has_alpha=header.has_alpha,
        metadata=metadata,
        notes=notes,
    )


def _before_pixels(path: PathLike) -> bytes:
    """The start of a PNG file, where its statements on colours are."""
    with open(path, "rb") as file:
        return file.read(_PNG_START)


def _pixels(
    image: Any,
    orientation: int,
    new_store: Callable[[tuple[int, int, int], np.dtype], PixelStore],
) -> PixelStore:
    """Decodes into a store, then turns it upright."""
    dtype = np.dtype(np.uint16 if image.format == "ushort" else np.uint8)
    store = new_store((image.height, image.width, image.bands), dtype)
    try:
        store.fill(image)
        if orientation == 1:
            return store
        stored = store.image(in_order=False)
        turned = _pixels(upright(stored, orientation), 1, new_store)
    except BaseException:
        store.close()
        raise
    store.close()
    return turned


def _has_transparency(store: PixelStore) -> bool:
    image = store.image()
    return image[image.bands - 1].min() < 2 ** (8 * store.dtype.itemsize) - 1


def _metadata(header: Header) -> Metadata:
    image = header.image
    blobs = {name: image.get(name) for name in _KEPT if says(image, name)}
    if header.orientation != 1 and XMP in blobs:
        # Same length, so that nothing else in the packet moves.
        blobs[XMP] = _XMP_ORIENTATION.sub(rb"\g<1>1", blobs[XMP])
    exif = {
        name: text
        for name, text in texts_of(image, "exif-ifd").items()
        if not name.endswith("-Orientation")
    }
    return Metadata(blobs, exif, (image.xres, image.yres))


def _from_cmyk(
    metadata: Metadata, header: Header
) -> tuple[Any, Metadata, tuple[str, ...]]:
    """Returns the picture in sRGB; its profile has done its work and is replaced."""
    own = metadata.icc is not None
    image = cmyk_to_srgb(header)
    blobs = {**metadata.blobs, ICC: image.get(ICC)}
    source = "its own profile" if own else "a general CMYK profile, having none itself"
    note = f"converted from CMYK to sRGB by {source}"
    return image, Metadata(blobs, metadata.exif, metadata.resolution), (note,)
