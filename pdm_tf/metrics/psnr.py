"""Peak signal-to-noise ratio of 8-bit images: of RGB, of Y, at the best displacement.

*RGB.* One mean squared error over every pixel and channel, then
20 log10(255 / sqrt(mse)): the protocol of the paper's tables (arXiv:2203.04962), and of
BasicSR without its Y-channel switch. It is not the mean of three per-channel PSNRs.

*At the best whole-pixel displacement* (`psnr_shift`): detail without the alignment.
Unpaired training can't see a global translation (a kernel moved by a pixel makes
equally realistic LR), so an SR network may be sharp and one pixel off, and lose dBs in
plain PSNR. This metric forgives displacements of up to 6 px; its gap to plain PSNR
shows how much of the loss is alignment. NTIRE2018 scored its real-world tracks with the
same idea.

Which displacement is the best is decided over the same region for all of them: the
reference without 6 px on each side, over which a window of the SR image slides. The
score is then that of all pixels that both images have at this displacement, so that at
(0, 0) it is the plain PSNR, over the same pixels. It is never below the plain PSNR:
where the displaced score is no better, the displacement is (0, 0).

Sign: the displacement (dy, dx) is that of the SR image: sr[y + dy, x + dx] is compared
with hr[y, x]. An SR image whose content lies one pixel lower and two to the right than
in the reference has (1, 2).

Every sum is exact. The sum of squared errors is sum(hr^2) + sum(sr^2) - 2 sum(hr sr)
in float64, where integers below 2^53 (images up to 10^11 values) have no rounding.
"""

import math
from typing import NamedTuple

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.metrics.base import check_images, luma

MAX_SHIFT = 6


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


def psnr_y(sr_u8: np.ndarray, hr_u8: np.ndarray) -> float:
    """PSNR of Y (see `luma`) in dB; infinite where both have the same Y.

    The peak stays 255.

    Args:
      sr_u8: [H, W, 3] uint8 RGB, borders already cropped.
      hr_u8: the reference, same shape.

    Raises:
      UserError: wrong type, or shapes that differ.
    """
    check_images(sr_u8, hr_u8, minimum=1, what="psnr_y")
    error = luma(sr_u8) - luma(hr_u8)
    return psnr_of_squared_error(float(np.sum(error * error)), error.size)


class BestShift(NamedTuple):
    """The best PSNR in dB and the displacement (pixels) at which it is reached."""

    psnr: float
    dy: int
    dx: int


def squared_errors_by_shift(
    sr_u8: np.ndarray, hr_u8: np.ndarray, max_shift: int = MAX_SHIFT
) -> np.ndarray:
    """Sum of squared errors for every displacement.

    Args:
      sr_u8: [H, W, C] uint8.
      hr_u8: the reference, same shape; both larger than 2 * max_shift.
      max_shift: largest displacement in pixels, m >= 0.

    Returns:
      [2m+1, 2m+1] float64 holding exact integers; entry [m + dy, m + dx] compares
      sr[y + dy, x + dx] with hr[y, x] over the interior of hr (m px off each side).
    """
    m = max_shift
    positions = 2 * m + 1
    height, width, channels = hr_u8.shape
    rows, columns = height - 2 * m, width - 2 * m

    interior = hr_u8[m : height - m, m : width - m].astype(np.float64)
    interior = interior.reshape(rows, 1, columns * channels)
    sr = sr_u8.astype(np.float64)

    # Sums of sr^2 over every window, by an integral image with a zero first row/column.
    integral = np.zeros((height + 1, width + 1))
    integral[1:, 1:] = np.sum(sr * sr, axis=-1).cumsum(axis=0).cumsum(axis=1)
    energy = (
        integral[rows:, columns:]
        - integral[:positions, columns:]
        - integral[rows:, :positions]
        + integral[:positions, :positions]
    )

    products = np.empty((positions, positions))
    for j in range(positions):
        # All vertical displacements of one horizontal one: each row of the reference
        # times the 2m+1 SR rows around it, a small matrix product without copies.
        shifted = np.ascontiguousarray(sr[:, j : j + columns])
        windows = np.lib.stride_tricks.sliding_window_view(
            shifted.reshape(height, columns * channels), positions, axis=0
        )
        products[:, j] = np.matmul(interior, windows).sum(axis=(0, 1))
    return np.sum(interior * interior) + energy - 2.0 * products


def best_shift(
    sr_u8: np.ndarray, hr_u8: np.ndarray, max_shift: int = MAX_SHIFT
) -> BestShift:
    """The best PSNR over displacements of up to `max_shift` px, and where it is.

    Never below `psnr` of the same images, and equal to it at (0, 0). Of equally good
    displacements the smallest counts (so (0, 0) for constant images).

    Args:
      sr_u8: [H, W, C] uint8, borders already cropped.
      hr_u8: the reference, same shape; H and W above 2 * max_shift.
      max_shift: largest displacement in pixels along each axis.

    Raises:
      UserError: wrong type, shapes that differ, too small an image, negative shift.
    """
    if max_shift < 0:
        raise UserError(f"`max_shift` must be 0 or more. Received: {max_shift}.")
    check_images(sr_u8, hr_u8, minimum=2 * max_shift + 1, what="psnr_shift")
    errors = squared_errors_by_shift(sr_u8, hr_u8, max_shift)
    offsets = np.arange(-max_shift, max_shift + 1)
    distance = offsets[:, None] ** 2 + offsets[None, :] ** 2
    distance = np.where(errors == errors.min(), distance, np.iinfo(np.int64).max)
    row, column = np.unravel_index(int(np.argmin(distance)), errors.shape)
    dy, dx = int(offsets[row]), int(offsets[column])
    moved = psnr(_overlap(sr_u8, dy, dx), _overlap(hr_u8, -dy, -dx))
    plain = psnr(sr_u8, hr_u8)
    return BestShift(moved, dy, dx) if moved > plain else BestShift(plain, 0, 0)


def _overlap(image: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """The pixels of an image that another one has too, which lies (-dy, -dx) off."""
    height, width = image.shape[:2]
    return image[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]


def psnr_shift(sr_u8: np.ndarray, hr_u8: np.ndarray) -> float:
    """`best_shift` at 6 px, the score alone, in dB."""
    return best_shift(sr_u8, hr_u8).psnr
