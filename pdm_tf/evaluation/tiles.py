"""Large images in overlapping tiles, so that memory does not grow with the image.

Each output pixel is taken from a tile that contains at least `overlap` LR pixels of the
image around it, or the image's own border. So the result equals one pass over the whole
image whenever the network's receptive radius is at most `overlap`. EDSR with 16 blocks
sees 36 LR pixels to each side: exact at the default of 48. Deeper networks see further
(RRDBNet with 23 blocks up to about 350 pixels), and there tiles only approximate the
whole; raise the overlap and the tile if that matters. Images that fit are never cut.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# 448^2 is a little more than the LR images of DIV2K at x4 (510x384 and smaller): these
# stay whole. EDSR-baseline at x4 then takes 2.4 GB (float32, measured on a CPU).
TILE = 448
OVERLAP = 48


class Span(NamedTuple):
    """One tile along one axis: it reads [start, stop) and fills [first, last)."""

    start: int
    stop: int
    first: int
    last: int


def spans(length: int, tile: int, overlap: int) -> list[Span]:
    """Cuts an axis into tiles of one size.

    Args:
      length: of the axis, >= 1.
      tile: size of a tile, > 2 * overlap.
      overlap: context that a filled pixel has to each side, or the axis ends there.

    Returns:
      Spans whose [first, last) lie side by side and cover [0, length) once.

    Raises:
      ValueError: a tile that is nothing but overlap.
    """
    if overlap < 0 or tile <= 2 * overlap:
        raise ValueError(
            "`tile` must be larger than twice the `overlap`, which is 0 or more. "
            f"Received: tile={tile}, overlap={overlap}."
        )
    if length <= tile:
        return [Span(0, length, 0, length)]
    out = []
    first = 0
    while first < length:
        # The last tile is moved back inside, so that all have one size.
        start = min(max(0, first - overlap), length - tile)
        stop = start + tile
        last = length if stop == length else stop - overlap
        out.append(Span(start, stop, first, last))
        first = last
    return out


def upscale_in_tiles(
    upscale: Callable[[np.ndarray], np.ndarray],
    lr: np.ndarray,
    scale: int,
    *,
    tile: int = TILE,
    overlap: int = OVERLAP,
) -> np.ndarray:
    """Applies `upscale` to the whole image, or to tiles of a large one.

    Args:
      upscale: [h, w, C] -> [h * scale, w * scale, C].
      lr: [h, w, C], any type.
      scale: the factor of `upscale`.
      tile: images of more than tile * tile pixels are cut into tiles of at most tile x
        tile; 0 never cuts.
      overlap: LR pixels of context around what is kept.

    Returns:
      [h * scale, w * scale, C] of the type that `upscale` gives.
    """
    height, width = lr.shape[:2]
    if not tile or height * width <= tile * tile:
        return upscale(lr)
    out = None
    for y in spans(height, tile, overlap):
        for x in spans(width, tile, overlap):
            part = upscale(lr[y.start : y.stop, x.start : x.stop])
            if out is None:
                shape = (height * scale, width * scale, part.shape[2])
                out = np.empty(shape, part.dtype)
            out[y.first * scale : y.last * scale, x.first * scale : x.last * scale] = (
                part[
                    (y.first - y.start) * scale : (y.last - y.start) * scale,
                    (x.first - x.start) * scale : (x.last - x.start) * scale,
                ]
            )
    return out
