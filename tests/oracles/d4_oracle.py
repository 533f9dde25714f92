"""The eight symmetries of the square, by NumPy's own turns."""

import numpy as np


def d4(image: np.ndarray, index: int) -> np.ndarray:
    """`image` [H, W, ...] under symmetry 4 * flip + turns, as a view.

    Mirrored left to right if `flip`, then turned counter-clockwise by `turns` quarters.
    """
    flip, turns = divmod(index, 4)
    return np.rot90(image[:, ::-1] if flip else image, turns)
