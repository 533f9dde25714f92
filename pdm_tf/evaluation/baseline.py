"""The baseline of all scores and pictures: bicubic, on the grid of the images.

MATLAB's bicubic takes LR pixels for areas (`half_pixel`). Where LR images hold every
scale-th pixel (`pixel0`), its pictures lie (scale - 1) / 2 HR pixels too far down and
right: 1.5 at x4, which costs decibels that are no merit of any network compared with
it. So bicubic is placed where the LR pixels lie. That belongs to the images and not to
the network: all networks on one set have one baseline.
"""

from collections.abc import Callable, Sequence

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.core.geometry import ASSUMED_GRID, GRIDS
from pdm_tf.core.images import to_u8
from pdm_tf.core.imresize import imresize
from pdm_tf.evaluation.results import Item

# To find the grid: so many images, evenly over the set, and the middle of each.
_LOOKED_AT = 8
_SIDE = 96  # LR pixels


def bicubic_upscaler(
    scale: int, grid: str = ASSUMED_GRID
) -> Callable[[np.ndarray], np.ndarray]:
    """Computes the baseline: MATLAB's weights in float64, rounded once to 8 bit.

    Args:
      scale: HR size / LR size.
      grid: where LR pixels lie, see `core.geometry.GRIDS`; on "half_pixel" it equals
        MATLAB's imresize.

    Returns:
      lr_u8 [h, w, 3] uint8 -> [h * scale, w * scale, 3] uint8.
    """
    moved_px = {"half_pixel": 0.0, "pixel0": (scale - 1) / (2 * scale)}[grid]

    def upscale(lr_u8: np.ndarray) -> np.ndarray:
        lr = lr_u8.astype(np.float64) / 255.0
        return to_u8(imresize(lr, scale, moved_px=moved_px))

    return upscale


def baseline_grid(
    items: Sequence[Item],
    scale: int,
    *,
    recorded: str | None = None,
    network: str | None = None,
) -> str:
    """Decides where bicubic puts the LR pixels of a set.

    Args:
      items: the images of the set.
      scale: HR size / LR size.
      recorded: the grid that is recorded with the set; it decides.
      network: the grid of the network that is shown beside; it decides where nothing is
        recorded and there are no HR images to find the grid by.

    Returns:
      One of GRIDS. Where nothing is recorded, that on which bicubic is nearer to the HR
      images, so that doubt never favours a network.
    """
    if recorded or scale == 1:
        return recorded or ASSUMED_GRID
    errors = dict.fromkeys(GRIDS, 0.0)
    step = max(1, len(items) // _LOOKED_AT)
    for item in items[::step][:_LOOKED_AT]:
        try:
            hr_u8, lr_u8 = item.load()
        except UserError:
            continue  # it is named when its turn comes
        if hr_u8 is None or lr_u8 is None:
            continue
        for grid in GRIDS:
            errors[grid] += _squared_error(hr_u8, lr_u8, scale, grid)
    if len(set(errors.values())) == 1:
        return network or ASSUMED_GRID
    return min(errors, key=errors.__getitem__)


def _squared_error(
    hr_u8: np.ndarray, lr_u8: np.ndarray, scale: int, grid: str
) -> float:
    """Mean squared error of bicubic in the middle of a pair; 0 if it is no pair."""
    height, width = lr_u8.shape[:2]
    if hr_u8.shape[:2] != (height * scale, width * scale):
        return 0.0
    high, wide = min(height, _SIDE), min(width, _SIDE)
    top, left = (height - high) // 2, (width - wide) // 2
    part = lr_u8[top : top + high, left : left + wide]
    made = bicubic_upscaler(scale, grid)(part).astype(np.float64)
    true = hr_u8[
        top * scale : (top + high) * scale, left * scale : (left + wide) * scale
    ]
    border = scale * (min(high, wide) > 4)
    inner = np.s_[border : made.shape[0] - border, border : made.shape[1] - border]
    return float(np.mean((made[inner] - true[inner]) ** 2))
