"""The eight symmetries of the square (D4): flips and quarter turns of images.

Index 4 * flip + turns: first mirrored left to right when `flip` is 1, then turned
counter-clockwise by `turns` quarters. Index 0 leaves the image as it is.
"""

import numpy as np

D4_COUNT = 8


def d4(image: np.ndarray, index: int) -> np.ndarray:
    """Returns `image` [H, W, ...] under symmetry `index` in 0..7, as a view.

    Odd quarter turns swap H and W.

    Raises:
      ValueError: `index` is not in 0..7.
    """
    flip, turns = divmod(_checked(index), 4)
    if flip:
        image = image[:, ::-1]
    return np.rot90(image, turns)


def d4_inverse(index: int) -> int:
    """Returns the index that undoes `index`: d4(d4(x, i), d4_inverse(i)) = x."""
    flip, turns = divmod(_checked(index), 4)
    # A mirrored turn is its own inverse; a plain turn is undone by turning back.
    return index if flip else (4 - turns) % 4


def _checked(index: int) -> int:
    if not 0 <= index < D4_COUNT:
        raise ValueError(f"`index` must be in 0..7. Received: {index}.")
    return int(index)
