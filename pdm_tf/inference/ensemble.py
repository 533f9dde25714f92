"""The 8-fold self-ensemble of EDSR (Lim et al. 2017, arXiv:1707.02921, "EDSR+").

The network sees the image turned by 0, 90, 180 and 270 degrees, as it is and mirrored;
each result is turned back, and their mean is the output. It costs eight times the work.
"""

from collections.abc import Callable

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]

_IMAGE_AXES = (1, 2)


def self_ensemble(run: Run, lr: np.ndarray) -> np.ndarray:
    """Returns the mean over the eight symmetries of the square.

    Args:
      run: [B, h, w, 3] -> [B, h * s, w * s, 3] float32, for any h and w. Tiles that are
        not square come in two shapes.
      lr: [B, h, w, 3] float32.

    Returns:
      [B, h * s, w * s, 3] float32.
    """
    total: np.ndarray | None = None
    for turns in (0, 2, 1, 3):  # the two shapes of a tile one after the other
        for mirrored in (False, True):
            part = np.rot90(lr, turns, axes=_IMAGE_AXES)
            part = run(part[:, :, ::-1] if mirrored else part)
            part = part[:, :, ::-1] if mirrored else part
            part = np.rot90(part, -turns, axes=_IMAGE_AXES)
            if total is None:
                total = np.array(part)
            else:
                total += part
    total /= np.float32(8)
    return total
