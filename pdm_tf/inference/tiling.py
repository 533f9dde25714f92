"""How images are cut for a network: overlap, tile and batch where nobody chose them.

The overlap is the network's receptive radius where that can be afforded: then tiles
equal the whole image. Where the network sees further than is practical, the overlap is
one that was measured to be enough, and seams are blended.

The tile follows from the overlap. A tile of side T computes T^2 pixels and keeps
(T - 2 * overlap)^2 of them, so small tiles waste work (128 with EDSR's 36: 5.2 times
the image) and large ones need memory (about 12 kB per LR pixel at x4 under onnxruntime:
0.8 GB at 256). 256 is where both are bearable.
"""

import math
from dataclasses import dataclass

from pdm_tf.core.errors import UserError
from pdm_tf.inference.tiles import TilePlan, even_tile, plan_tiles, smallest_tile

# A network that sees no further than this is cut exactly.
LARGEST_EXACT = 64
# LR pixels, of a network that sees further and of which nobody measured what is enough.
OVERLAP_UNKNOWN = 32
BLEND = 8

SMALLEST_TILE, LARGEST_TILE = 128, 256
# LR pixels that a GPU gets at once: 8 tiles of 128, or 2 of 256.
GPU_PIXELS = 8 * 128 * 128
# Bytes of the row of tiles that is put together; wide images get flatter tiles.
BAND_BYTES = 128 * 2**20
_LEAST_ROWS = 16  # that a flatter tile must still fill, in LR pixels


@dataclass(frozen=True)
class Cutting:
    """How images are cut.

    Attributes:
      tile: side in LR pixels.
      overlap: context of each pixel in LR pixels.
      blend: over how many LR pixels two tiles fade into each other.
      batch_size: tiles that are computed at once.
      exact: whether tiles equal the whole image, up to the rounding of float32.
      even: whether tiles are made smaller where that saves work; else all images have
        tiles of the same shape, as GPUs like it.
    """

    tile: int
    overlap: int
    blend: int
    batch_size: int
    exact: bool
    even: bool

    def plan(self, height: int, width: int, scale: int, layers: int = 1) -> TilePlan:
        """Cuts one image."""
        tile_height, tile_width = self.tile, self.tile
        row_bytes = layers * width * scale * scale * 3 * 4  # of one LR row, float32
        fill = max(_LEAST_ROWS, BAND_BYTES // row_bytes)
        least = smallest_tile(self.overlap, self.blend)
        flat = max(2 * (self.overlap + self.blend) + fill, least)
        if flat < tile_height:
            # Flatter and wider: the same memory for the network.
            tile_height, tile_width = flat, self.tile * self.tile // flat
        if self.even:
            tile_height = even_tile(height, tile_height, self.overlap, self.blend)
            tile_width = even_tile(width, tile_width, self.overlap, self.blend)
        tile = (max(tile_height, least), max(tile_width, least))
        return plan_tiles(height, width, tile, self.overlap, self.blend)


def choose_cutting(
    *,
    tile: int,
    overlap: int | None,
    blend: int | None,
    batch_size: int,
    radius: int | None,
    advised: int | None,
    on_gpu: bool,
) -> Cutting:
    """Fills in what was left open.

    Args:
      tile: side in LR pixels; 0 chooses.
      overlap: LR pixels; None takes the receptive radius, or what is advised where
        that is too far, and never more than a third of a tile that was asked for.
      blend: LR pixels; None: 8 where the overlap is less than the radius, else 0.
      batch_size: tiles at once; 0: one on a CPU, on a GPU as many as make 8 of 128.
      radius: receptive radius in LR pixels; None: unknown.
      advised: overlap that the model file advises, LR pixels; None: it does not.
      on_gpu: where it is computed.

    Raises:
      UserError: a tile that cannot have the overlap and blend that were asked for.
    """
    if tile < 0 or batch_size < 0 or (overlap or 0) < 0 or (blend or 0) < 0:
        raise UserError(
            "Tile, overlap, blend and batch size must be 0 or more. Received: "
            f"{tile}, {overlap}, {blend}, {batch_size}."
        )
    if overlap is None:
        overlap = _usual_overlap(radius, advised)
        if tile:
            overlap = min(overlap, tile // 3)
    exact = radius is not None and overlap >= radius
    if blend is None:
        blend = 0 if exact else BLEND
        if tile:
            blend = max(0, min(blend, tile // 2 - overlap))
    least = smallest_tile(overlap, blend)
    if tile and tile < least:
        raise UserError(
            f"A tile with an overlap of {overlap} and a blend of {blend} must be at "
            f"least {least}. Received: {tile}. Use a larger tile or a smaller overlap."
        )
    if not tile:
        # 3.5 times what is lost on both sides: about twice the work of the image.
        side = 32 * math.ceil(7 * (overlap + blend / 2) / 32)
        tile = max(min(max(side, SMALLEST_TILE), LARGEST_TILE), least)
    if not batch_size:
        batch_size = max(1, GPU_PIXELS // tile**2) if on_gpu else 1
    return Cutting(tile, overlap, blend, batch_size, exact, even=not on_gpu)


def _usual_overlap(radius: int | None, advised: int | None) -> int:
    for overlap in (radius, advised):
        if overlap is not None and overlap <= LARGEST_EXACT:
            return overlap
    return OVERLAP_UNKNOWN
