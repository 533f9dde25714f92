"""Peak signal-to-noise ratio of 8-bit RGB images, all channels together.

One mean squared error over every pixel and channel, then 20 log10(255 / sqrt(mse)):
the protocol of the paper's tables (arXiv:2203.04962), and of BasicSR without its
Y-channel switch. It is not the mean of three per-channel PSNRs.
"""

import math

import numpy as np

from pdm_tf.metrics.arrays import check_images


def psnr_of_squared_error(total: float, count: int) -> float:
    """PSNR in dB of 8-bit data from the sum of squared errors over `count` values.

    Infinite when `total` is 0.
    """
    if total == 0:
        return math.inf
    return 10.0 * math.log10(255.0**2 * count / total)


def psnr(sr_u8: np.ndarray, hr_u8: np.ndarray) -> float:
    """PSNR in dB; infinite for identical images.

    Args:
      sr_u8: [H, W, C] uint8, borders already cropped.
      hr_u8: the reference, same shape.

    Raises:
      UserError: wrong type, or shapes that differ.
    """
    check_images(sr_u8, hr_u8, minimum=1, what="psnr")
    # int32 holds 255^2 exactly, int64 the sum of 2^47 of them: no rounding here.
    error = sr_u8.astype(np.int32) - hr_u8.astype(np.int32)
    total = int(np.sum(error * error, dtype=np.int64))
    return psnr_of_squared_error(total, error.size)
