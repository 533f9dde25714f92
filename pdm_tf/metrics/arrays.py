"""Checks for the two images of a full-reference metric; border crop; luma.

Metrics compare 8-bit RGB images as they would be written to a file, as published
numbers do: rounding before measuring is part of the protocol.
"""

import numpy as np

from pdm_tf.core.errors import UserError


def check_images(sr_u8: np.ndarray, hr_u8: np.ndarray, minimum: int, what: str) -> None:
    """Raises UserError unless the two images can be compared.

    Args:
      sr_u8: [H, W, C] uint8 in 0..255 (C = 3 for RGB, 1 for grey).
      hr_u8: the reference, same shape and type.
      minimum: the least height and width in pixels that the metric needs.
      what: name of the metric, for the message.

    Raises:
      UserError: not uint8, not [H, W, C], different shapes, or too small.
    """
    for name, image in (("sr_u8", sr_u8), ("hr_u8", hr_u8)):
        if image.dtype != np.uint8 or image.ndim != 3:
            raise UserError(
                f"{what} compares uint8 images [H, W, C]. "
                f"Received: {name} of type {image.dtype}, shape {image.shape}."
            )
    if sr_u8.shape != hr_u8.shape:
        raise UserError(
            f"{what} compares images of one shape. "
            f"Received: sr {sr_u8.shape}, hr {hr_u8.shape}."
        )
    height, width, channels = hr_u8.shape
    if min(height, width) < minimum or channels < 1:
        raise UserError(
            f"{what} needs at least {minimum}x{minimum} pixels after the border crop. "
            f"Received: {width}x{height} (width x height), {channels} channels."
        )


def crop_border(image: np.ndarray, border: int) -> np.ndarray:
    """Cuts `border` pixels off every side of an image [H, W, C]; 0 cuts nothing.

    Raises:
      UserError: a negative border, or one that leaves nothing.
    """
    height, width = image.shape[:2]
    if border < 0 or 2 * border >= min(height, width):
        raise UserError(
            "`crop_border` must be 0 or more and leave at least one pixel. "
            f"Received: crop_border={border}, image {width}x{height} (width x height)."
        )
    return image[border : height - border, border : width - border]


_LUMA_WEIGHTS = np.array([65.481, 128.553, 24.966]) / 255.0


def luma(rgb_u8: np.ndarray) -> np.ndarray:
    """Computes Y of RGB, as in older benchmarks: BT.601 with studio swing.

    By MATLAB's rgb2ycbcr, Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255 with R, G, B
    in 0..255. It is not rounded, as in BasicSR with `test_y_channel`. (MATLAB's
    function rounds when it is given uint8.)

    Args:
      rgb_u8: [H, W, 3] uint8 RGB, or [H, W, 1] grey (R = G = B). Not changed.

    Returns:
      [H, W] float64, 16..235.
    """
    rgb = np.broadcast_to(rgb_u8, (*rgb_u8.shape[:2], 3)).astype(np.float64)
    return 16.0 + rgb @ _LUMA_WEIGHTS
