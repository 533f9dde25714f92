"""PSNR and SSIM on the Y channel alone, as older benchmarks report them.

Y is BT.601's luma with studio swing, 16..235, by MATLAB's rgb2ycbcr:

    Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255,   R, G, B in 0..255,

and is not rounded before measuring, as in BasicSR with `test_y_channel`. (MATLAB's
function rounds when it is given uint8.) The peak stays 255.
"""

import numpy as np

from pdm_tf.metrics.arrays import check_images
from pdm_tf.metrics.psnr import psnr_of_squared_error
from pdm_tf.metrics.ssim import WINDOW, ssim_of_channel

_WEIGHTS = np.array([65.481, 128.553, 24.966]) / 255.0


def luma(rgb_u8: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8 RGB (or [H, W, 1] grey, R = G = B) -> Y [H, W] float64, 16..235.

    The input is not changed.
    """
    rgb = np.broadcast_to(rgb_u8, (*rgb_u8.shape[:2], 3)).astype(np.float64)
    return 16.0 + rgb @ _WEIGHTS


def psnr_y(sr_u8: np.ndarray, hr_u8: np.ndarray) -> float:
    """PSNR of Y in dB; infinite where both have the same Y.

    Args:
      sr_u8: [H, W, 3] uint8 RGB, borders already cropped.
      hr_u8: the reference, same shape.

    Raises:
      UserError: wrong type, or shapes that differ.
    """
    check_images(sr_u8, hr_u8, minimum=1, what="psnr_y")
    error = luma(sr_u8) - luma(hr_u8)
    return psnr_of_squared_error(float(np.sum(error * error)), error.size)


def ssim_y(sr_u8: np.ndarray, hr_u8: np.ndarray) -> float:
    """SSIM of Y in [-1, 1], see `ssim.py`; at least 11x11 pixels.

    Raises:
      UserError: wrong type, shapes that differ, or an image smaller than the window.
    """
    check_images(sr_u8, hr_u8, minimum=WINDOW, what="ssim_y")
    return ssim_of_channel(luma(sr_u8), luma(hr_u8))
