"""Large images in overlapping tiles, so that memory does not grow with the image.

One border policy, for tiles and whole images alike: the network's own zero padding, at
the image's true border and nowhere else. A tile at a border starts exactly there; each
other side of a tile has `overlap` LR pixels of real context that are computed and
discarded. So whenever the network's receptive radius is at most `overlap`, the tiled
result is the result of one pass over the whole image, borders included. (Padding an
image by reflection instead, as tilers often do, changes its border by up to 75 levels.)

Where the overlap is smaller than the radius, tiles only approximate the whole, and a
seam between two of them can be blended: over `blend` more LR pixels, which both tiles
compute with full context, one fades into the other linearly. The weights of the two
sum to one, and the fade is written so that equal values stay exactly equal: blending
costs work, never exactness.

All tiles of an image have one size: the last one is moved back inside. An axis shorter
than the tile is not cut.

Some networks move squares of m x m pixels into channels first. Their tiles begin and
end at multiples of m, where the squares of the whole image do: an image is cut in units
of m pixels, and what its last unit lacks is mirrored.

`choose_cutting` fills in missing settings. The overlap is the network's receptive
radius if that can be afforded; if the network sees further than is practical, it is one
that was measured to be enough, and seams are blended. The tile follows from the
overlap. A tile of side T computes T^2 pixels and keeps (T - 2 * overlap)^2 of them, so
small tiles waste work (128 with EDSR's 36: 5.2 times the image) and large ones need
memory (about 12 kB per LR pixel at x4 under onnxruntime: 0.8 GB at 256). 256 is where
both are bearable.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pdm_tf.core.errors import UserError

# For `upscale_in_tiles`. 448^2 is a little more than the LR images of DIV2K at x4
# (510x384 and smaller): these stay whole. EDSR-baseline at x4 then takes 2.4 GB
# (TensorFlow, float32, measured on a CPU). The overlap is what a translator and
# EDSR-baseline see together, and a little more.
TILE = 448
OVERLAP = 64


class Span(NamedTuple):
    """One tile along one axis: it reads [start, stop) and fills [first, last).

    The first `blend` pixels that it fills are filled by the tile before it too.
    """

    start: int
    stop: int
    first: int
    last: int


def spans(length: int, tile: int, overlap: int, blend: int = 0) -> list[Span]:
    """Cuts an axis into tiles of one size.

    Args:
      length: of the axis, >= 1.
      tile: size of a tile, > 2 * overlap and >= 2 * (overlap + blend).
      overlap: context that a filled pixel has to each side, or the axis ends there.
      blend: pixels that two neighbours both fill.

    Returns:
      Spans whose [first, last) cover [0, length): side by side, or with `blend` pixels
      in common between neighbours and never between three.

    Raises:
      ValueError: a tile that consists of overlap and blend alone.
    """
    if overlap < 0 or blend < 0 or tile < smallest_tile(overlap, blend):
        raise ValueError(
            "`tile` must be larger than twice the `overlap` and at least twice "
            "`overlap` + `blend`, which are 0 or more. "
            f"Received: tile={tile}, overlap={overlap}, blend={blend}."
        )
    if length <= tile:
        return [Span(0, length, 0, length)]
    out = [Span(0, tile, 0, tile - overlap)]
    while out[-1].last < length:
        first = out[-1].last - blend
        # The last tile is moved back inside, so that all have one size.
        start = min(first - overlap, length - tile)
        stop = start + tile
        out.append(
            Span(start, stop, first, length if stop == length else stop - overlap)
        )
    return out


def smallest_tile(overlap: int, blend: int = 0) -> int:
    """The smallest tile that `spans` takes."""
    return max(2 * overlap + 1, 2 * (overlap + blend))


def even_tile(length: int, tile: int, overlap: int, blend: int = 0) -> int:
    """The smallest tile that cuts an axis into no more tiles than `tile` does.

    The last tile of an axis repeats work of the one before it; with this size there is
    as little of that as can be.
    """
    count = len(spans(length, tile, overlap, blend))
    if count == 1:
        return min(length, tile)
    # count tiles reach count * tile - (count - 1) * (2 * overlap + blend) pixels.
    even = math.ceil((length + (count - 1) * (2 * overlap + blend)) / count)
    return max(even, smallest_tile(overlap, blend))


class TilePlan(NamedTuple):
    """The tiles of one image: every tile is one of `rows` times one of `columns`."""

    height: int
    width: int
    rows: list[Span]
    columns: list[Span]
    blend: int

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Height and width of each tile, in LR pixels."""
        row, column = self.rows[0], self.columns[0]
        return row.stop - row.start, column.stop - column.start

    @property
    def work(self) -> float:
        """LR pixels computed per LR pixel of the image, 1 or more."""
        height, width = self.tile_shape
        computed = len(self.rows) * height * len(self.columns) * width
        return computed / (self.height * self.width)


def plan_tiles(
    height: int,
    width: int,
    tile: tuple[int, int],
    overlap: int,
    blend: int = 0,
    multiple: int = 1,
) -> TilePlan:
    """Plans an image.

    Args:
      height, width: of the image.
      tile: height and width. See `spans` for what is required.
      overlap, blend: see `spans`.
      multiple: where tiles begin and end is a multiple of it, as tile, overlap and
        blend must be; the last tiles may end beyond the image (see `mirrored`).
    """
    rows, columns = (
        [
            Span(*(multiple * at for at in span[:3]), min(multiple * span.last, length))
            for span in spans(
                -(-length // multiple),
                side // multiple,
                overlap // multiple,
                blend // multiple,
            )
        ]
        for length, side in zip((height, width), tile, strict=True)
    )
    return TilePlan(height, width, rows, columns, blend)


def mirrored(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Continues [..., h, w, C] to `height` and `width`, at the bottom and right.

    It is mirrored about its last row and column, as far as it goes.
    """
    for axis, side in ((-3, height), (-2, width)):
        last = image.shape[axis] - 1
        if side > last + 1:
            index = np.maximum(last - np.abs(last - np.arange(side)), 0)
            image = image.take(index, axis)
    return image


class Assembler:
    """Puts upscaled tiles together and hands finished rows on, top to bottom.

    Tiles come row by row, from left to right, all layers of a tile before the next. One
    row of tiles is held, of an image of any height, and of the row above the `blend`
    pixels that fade into it.
    """

    def __init__(
        self,
        plan: TilePlan,
        scale: int,
        emit: Callable[[np.ndarray], None],
        *,
        layers: int = 1,
    ) -> None:
        """Prepares for the first tile.

        Args:
          plan: of the image; its `blend` needs tiles of floats, 0 takes any type.
          scale: SR pixels per LR pixel.
          emit: takes finished rows [layers, n, width * scale, C]. The array is used
            again after the call.
          layers: images that are put together alike.
        """
        self._plan, self._scale, self._emit = plan, scale, emit
        self._layers = layers
        self._next = 0
        self._band: np.ndarray | None = None
        self._carry: np.ndarray | None = None
        self._fade = fade_in(plan.blend * scale)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(x.nbytes for x in (self._band, self._carry) if x is not None)

    @property
    def complete(self) -> bool:
        """Whether all tiles have come and all rows have gone."""
        plan = self._plan
        return self._next == len(plan.rows) * len(plan.columns) * self._layers

    def add(self, tile: np.ndarray) -> None:
        """Takes the next tile, [h * scale, w * scale, C]."""
        place, layer = divmod(self._next, self._layers)
        row, column = divmod(place, len(self._plan.columns))
        y, x = self._plan.rows[row], self._plan.columns[column]
        if self._band is None:
            self._band = self._new_band(y, tile)
        scale = self._scale
        band = self._band[layer, : (y.last - y.first) * scale]
        part = tile[
            (y.first - y.start) * scale : (y.last - y.start) * scale,
            (x.first - x.start) * scale : (x.last - x.start) * scale,
        ]
        left, middle = x.first * scale, 0
        if column and self._plan.blend:
            middle = len(self._fade)
            shared = band[:, left : left + middle]
            shared += (part[:, :middle] - shared) * self._fade[:, None]
        band[:, left + middle : x.last * scale] = part[:, middle:]
        self._next += 1
        if column == len(self._plan.columns) - 1 and layer == self._layers - 1:
            self._finish(row)

    def _new_band(self, y: Span, tile: np.ndarray) -> np.ndarray:
        rows = max(span.last - span.first for span in self._plan.rows)
        shape = (self._layers, rows * self._scale, self._plan.width * self._scale)
        return np.empty((*shape, tile.shape[2]), tile.dtype)

    def _finish(self, row: int) -> None:
        """Fades the row of tiles into the one above it and hands on what is done."""
        y = self._plan.rows[row]
        band = self._band[:, : (y.last - y.first) * self._scale]
        fade = len(self._fade)
        if row and fade:
            shared = band[:, :fade]
            # From the row above to this one; equal values stay as they are.
            shared -= self._carry
            shared *= self._fade[:, None, None]
            shared += self._carry
        if row == len(self._plan.rows) - 1:
            self._emit(band)
            self._band = self._carry = None
            return
        done = band.shape[1] - fade
        self._carry = band[:, done:].copy() if fade else None
        self._emit(band[:, :done])


def fade_in(length: int) -> np.ndarray:
    """Weights [length] float32 of the tile that comes in; the other has 1 - weight."""
    return (np.arange(length, dtype=np.float32) + np.float32(0.5)) / np.float32(
        max(length, 1)
    )


def upscale_in_tiles(
    upscale: Callable[[np.ndarray], np.ndarray],
    lr: np.ndarray,
    scale: int,
    *,
    tile: int = TILE,
    overlap: int = OVERLAP,
    blend: int = 0,
    multiple: int = 1,
) -> np.ndarray:
    """Applies `upscale` to the whole image, or to tiles of a large one.

    Args:
      upscale: [h, w, C] -> [h * scale, w * scale, C].
      lr: [h, w, C], any type.
      scale: the factor of `upscale`.
      tile: images of more than tile * tile pixels are cut into tiles of at most tile x
        tile; 0 never cuts.
      overlap: LR pixels of context around the kept part.
      blend: LR pixels over which neighbours fade; `upscale` must give floats then.
      multiple: tiles begin at multiples of it, and the three above are rounded up.

    Returns:
      [h * scale, w * scale, C] of the type that `upscale` gives.
    """
    height, width = lr.shape[:2]
    if not tile or height * width <= tile * tile:
        return upscale(lr)
    out: np.ndarray | None = None
    filled = 0

    def collect(rows: np.ndarray) -> None:
        nonlocal out, filled
        if out is None:
            out = np.empty((height * scale, *rows.shape[2:]), rows.dtype)
        out[filled : filled + rows.shape[1]] = rows[0]
        filled += rows.shape[1]

    if multiple > 1:
        tile, overlap, blend = (_up(side, multiple) for side in (tile, overlap, blend))
        least = smallest_tile(overlap // multiple, blend // multiple)
        tile = max(tile, least * multiple)
    plan = plan_tiles(height, width, (tile, tile), overlap, blend, multiple)
    assembler = Assembler(plan, scale, collect)
    for y in plan.rows:
        for x in plan.columns:
            assembler.add(upscale(lr[y.start : y.stop, x.start : x.stop]))
    return out


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


# Images of networks that see no further than this are cut exactly.
LARGEST_EXACT = 64
# LR pixels, for a network that sees further and for which nothing was measured.
OVERLAP_UNKNOWN = 32
BLEND = 8

SMALLEST_TILE, LARGEST_TILE = 128, 256
# LR pixels that a GPU gets at once: 8 tiles of 128, or 2 of 256.
GPU_PIXELS = 8 * 128 * 128
# Bytes of a row of tiles in assembly; wide images get flatter tiles.
BAND_BYTES = 128 * 2**20
_LEAST_ROWS = 16  # that a flatter tile must still fill, in LR pixels


@dataclass(frozen=True)
class Cutting:
    """Settings for cutting images.

    Attributes:
      tile: side in LR pixels.
      overlap: context of each pixel in LR pixels.
      blend: over how many LR pixels two tiles fade into each other.
      batch_size: tiles that are computed at once.
      exact: whether tiles equal the whole image, up to the rounding of float32.
      even: whether tiles are made smaller where that saves work; else all images have
        tiles of the same shape, as GPUs like it.
      multiple: of which tile, overlap and blend are multiples, see `plan_tiles`.
    """

    tile: int
    overlap: int
    blend: int
    batch_size: int
    exact: bool
    even: bool
    multiple: int = 1

    def plan(self, height: int, width: int, scale: int, layers: int = 1) -> TilePlan:
        """Cuts one image."""
        # In units of `multiple` pixels.
        unit = self.multiple
        tile_height = tile_width = self.tile // unit
        overlap, blend = self.overlap // unit, self.blend // unit
        row_bytes = layers * width * unit * scale * scale * 3 * 4  # float32, SR
        fill = max(-(-_LEAST_ROWS // unit), BAND_BYTES // row_bytes)
        least = smallest_tile(overlap, blend)
        flat = max(2 * (overlap + blend) + fill, least)
        if flat < tile_height:
            # Flatter and wider: the same memory for the network.
            tile_height, tile_width = flat, tile_width * tile_width // flat
        if self.even:
            tile_height = even_tile(-(-height // unit), tile_height, overlap, blend)
            tile_width = even_tile(-(-width // unit), tile_width, overlap, blend)
        tile = (max(tile_height, least) * unit, max(tile_width, least) * unit)
        return plan_tiles(height, width, tile, self.overlap, self.blend, unit)


def choose_cutting(
    *,
    tile: int,
    overlap: int | None,
    blend: int | None,
    batch_size: int,
    radius: int | None,
    advised: int | None,
    on_gpu: bool,
    multiple: int = 1,
) -> Cutting:
    """Chooses the settings that were left open.

    A requested tile is rounded down to a multiple of `multiple`, the others up.

    Args:
      tile: side in LR pixels; 0 chooses.
      overlap: LR pixels; None takes the receptive radius, or the advised overlap if
        that is too far, and never more than a third of a requested tile.
      blend: LR pixels; None: 8 where the overlap is less than the radius, else 0.
      batch_size: tiles at once; 0: one on a CPU, on a GPU as many as make 8 of 128.
      radius: receptive radius in LR pixels; None: unknown.
      advised: overlap that the model file advises, LR pixels; None: it does not.
      on_gpu: whether a GPU computes.
      multiple: where tiles may begin and end, LR pixels.

    Raises:
      UserError: a tile that is too small for the requested overlap and blend.
    """
    if tile < 0 or batch_size < 0 or (overlap or 0) < 0 or (blend or 0) < 0:
        raise UserError(
            "Tile, overlap, blend and batch size must be 0 or more. Received: "
            f"{tile}, {overlap}, {blend}, {batch_size}."
        )
    received = tile
    if tile:
        tile = max(tile // multiple, 1) * multiple
    if overlap is None:
        overlap = _usual_overlap(radius, advised)
        if tile:
            overlap = min(overlap, tile // multiple // 3 * multiple)
    overlap = _up(overlap, multiple)
    exact = radius is not None and overlap >= radius
    if blend is None:
        blend = 0 if exact else BLEND
        if tile:
            half = tile // multiple // 2 * multiple
            blend = max(0, min(blend, half - overlap))
    blend = _up(blend, multiple)
    least = smallest_tile(overlap // multiple, blend // multiple) * multiple
    if tile and tile < least:
        units = f", in multiples of {multiple}," if multiple > 1 else ""
        raise UserError(
            f"A tile with an overlap of {overlap} and a blend of {blend}{units} must "
            f"be at least {least}. Received: {received}. Use a larger tile or a "
            "smaller overlap."
        )
    if not tile:
        # 3.5 times the loss on both sides: about twice the work of the image.
        side = 32 * math.ceil(7 * (overlap + blend / 2) / 32)
        tile = _up(max(min(max(side, SMALLEST_TILE), LARGEST_TILE), least), multiple)
    if not batch_size:
        batch_size = max(1, GPU_PIXELS // tile**2) if on_gpu else 1
    even = not on_gpu
    return Cutting(tile, overlap, blend, batch_size, exact, even, multiple)


def _usual_overlap(radius: int | None, advised: int | None) -> int:
    for overlap in (radius, advised):
        if overlap is not None and overlap <= LARGEST_EXACT:
            return overlap
    return OVERLAP_UNKNOWN
