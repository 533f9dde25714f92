"""One region of a photograph, upscaled by the network and by bicubic."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pdm_tf.evaluation.panels import textured_region

Upscaler = Callable[[np.ndarray], np.ndarray]

# LR pixels: of the region in a picture, and around it, for a correct rim.
WIDTH = 128
ASPECT = 4 / 3  # width / height; pictures of one shape line up
CONTEXT = 32


class Comparison(NamedTuple):
    """A region of one photograph, upscaled in two ways.

    Attributes:
      name: of the photograph.
      place: (top, left, height, width) of the region, LR pixels.
      bicubic_u8, sr_u8: [height * scale, width * scale, 3] uint8.
    """

    name: str
    place: tuple[int, int, int, int]
    bicubic_u8: np.ndarray
    sr_u8: np.ndarray


def compare_region(
    name: str,
    lr_u8: np.ndarray,
    scale: int,
    upscale: Upscaler,
    bicubic: Upscaler,
    width: int = WIDTH,
) -> Comparison:
    """Upscales the most textured region of an LR photograph.

    Args:
      name: of the photograph.
      lr_u8: [h, w, 3] uint8.
      scale: of both upscalers.
      upscale, bicubic: lr_u8 -> [h * scale, w * scale, 3] uint8.
      width: of the region in LR pixels, or less if the photograph is smaller.
    """
    width = min(width, lr_u8.shape[1], int(lr_u8.shape[0] * ASPECT))
    height = max(1, int(width / ASPECT))
    top, left = textured_region(lr_u8, height, width, 1)
    above, before = max(0, top - CONTEXT), max(0, left - CONTEXT)
    part = lr_u8[above : top + height + CONTEXT, before : left + width + CONTEXT]
    inner = np.s_[
        (top - above) * scale : (top - above + height) * scale,
        (left - before) * scale : (left - before + width) * scale,
    ]
    return Comparison(
        name,
        (top, left, height, width),
        bicubic(part)[inner],
        upscale(part)[inner],
    )
