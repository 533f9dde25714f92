"""The eight symmetries of the square (D4), and the grids that LR pixels lie on.

Symmetries are flips and quarter turns of images, by an index 4 * flip + turns: first
mirrored left to right when `flip` is 1, then turned counter-clockwise by `turns`
quarters. Index 0 changes nothing.

A symmetry keeps an LR and an HR image together only where LR pixels lie in the middle
of their HR pixels; `reversal_shift` says how far they part elsewhere.
"""

from collections.abc import Iterable

D4_COUNT = 8

# Where LR pixel i lies in the HR image: "pixel0" on HR pixel scale * i, "half_pixel" on
# scale * i + (scale - 1) / 2, in the middle of its pixels.
GRIDS = ("pixel0", "half_pixel")
# Where nothing says it: that of bicubic, so of nearly all public pairs and networks.
ASSUMED_GRID = "half_pixel"


def d4_parts(index: int) -> tuple[bool, bool, bool]:
    """Splits symmetry `index` into (reversed down, reversed right, transposed).

    An image [H, W, ...] under the symmetry is one whose first axis is reversed, then
    its second axis, and whose axes are swapped afterwards, as far as the three say so.

    Raises:
      ValueError: `index` is not in 0..7.
    """
    if not 0 <= index < D4_COUNT:
        raise ValueError(f"`index` must be in 0..7. Received: {index}.")
    flip, turns = divmod(index, 4)
    return turns >= 2, (turns in (1, 2)) != bool(flip), turns % 2 == 1


def reversal_shift(scale: int, grid: str) -> int:
    """HR pixels by which LR pixels move in their HR pixels when an axis is reversed.

    On "half_pixel" they stay in the middle. On "pixel0" they lie on the first of their
    `scale` HR pixels, and seen from the other end on the last. Then
    - the HR partner of a reversed LR patch begins so many pixels earlier;
    - what a network makes of a reversed LR image of n pixels is, at HR pixel m of the
      image as it was, its pixel scale * (n - 1) - m: turned back it lies so many pixels
      too far on, and the last so many HR pixels have no counterpart.

    Swapping the axes moves nothing.

    Args:
      scale: hr size / lr size.
      grid: of GRIDS.
    """
    return {"pixel0": scale - 1, "half_pixel": 0}[grid]


def grid_of_chain(stages: Iterable[tuple[int, str | None]]) -> str | None:
    """Returns the grid of networks in a row, given (scale, grid) of each.

    Those of scale 1 move nothing. Two of one grid are together of that grid, for any
    scales; of different ones they are of neither. None: unknown, or none of GRIDS.
    """
    grids = {grid for scale, grid in stages if scale > 1}
    return grids.pop() if len(grids) == 1 else None
