"""The eight symmetries of the square (D4), and the grids that LR pixels lie on.

Symmetries are flips and quarter turns of images, by an index 4 * flip + turns: first
mirrored left to right when `flip` is 1, then turned counter-clockwise by `turns`
quarters. Index 0 leaves the image as it is.
"""

D4_COUNT = 8

# Where LR pixel i lies in the HR image: "pixel0" on HR pixel scale * i, "half_pixel" on
# scale * i + (scale - 1) / 2, in the middle of its pixels.
GRIDS = ("pixel0", "half_pixel")


def d4_parts(index: int) -> tuple[bool, bool, bool]:
    """Returns what symmetry `index` does: (reversed down, reversed right, transposed).

    An image [H, W, ...] under the symmetry is one whose first axis is reversed, then
    its second axis, and whose axes are swapped afterwards, as far as the three say so.

    Raises:
      ValueError: `index` is not in 0..7.
    """
    if not 0 <= index < D4_COUNT:
        raise ValueError(f"`index` must be in 0..7. Received: {index}.")
    flip, turns = divmod(index, 4)
    return turns >= 2, (turns in (1, 2)) != bool(flip), turns % 2 == 1
