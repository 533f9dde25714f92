"""Structural similarity with the parameters of the original paper, on RGB.

Wang, Bovik, Sheikh, Simoncelli 2004, "Image quality assessment: from error visibility
to structural similarity", Eq. 13: 11x11 Gaussian window of sigma 1.5,
K1 = 0.01, K2 = 0.03, L = 255, here

    (2 mu_x mu_y + C1) (2 s_xy + C2) / ((mu_x^2 + mu_y^2 + C1) (s_x^2 + s_y^2 + C2)).

Window weights sum to 1 and variances are not corrected for the sample size. Only
windows that lie inside the image count ("valid"), as in the authors' MATLAB code and
in BasicSR; scikit-image (gaussian_weights=True, use_sample_covariance=False) computes
the same map but crops 5 pixels after filtering a mirrored image, which is the same
region and the same values. The three channels are averaged.
"""

import numpy as np

from pdm_tf.metrics.base import check_images, luma

WINDOW = 11
SIGMA = 1.5
C1 = (0.01 * 255.0) ** 2
C2 = (0.03 * 255.0) ** 2
STRIP = 64


def gaussian_weights(size: int = WINDOW, sigma: float = SIGMA) -> np.ndarray:
    """The 1-D window [size], float64, symmetric, summing to 1."""
    offset = np.arange(size, dtype=np.float64) - (size - 1) / 2
    weights = np.exp(-(offset**2) / (2 * sigma**2))
    return weights / weights.sum()


def _filter_rows(planes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Correlates [..., H, W] with a symmetric odd window along H, valid part only."""
    taps = len(weights)
    length = planes.shape[-2] - taps + 1
    centre = taps // 2
    out = planes[..., centre : centre + length, :] * weights[centre]
    pair = np.empty_like(out)
    for k in range(centre):
        # Equal weights on both sides: one product for two taps.
        mirror = taps - 1 - k
        np.add(
            planes[..., k : k + length, :],
            planes[..., mirror : mirror + length, :],
            out=pair,
        )
        pair *= weights[k]
        out += pair
    return out


def smooth(planes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Separable valid filtering of [N, H, W] -> [N, W', H'] (transposed).

    The transposed order is kept: everything after is point by point and averaged, and
    a second pass along the slow axis reads whole cache lines.
    """
    rows = _filter_rows(planes, weights)
    return _filter_rows(np.ascontiguousarray(rows.swapaxes(-1, -2)), weights)


def _map_sum(x: np.ndarray, y: np.ndarray) -> float:
    """Sum of the SSIM map over the valid windows of one strip [h, W] float64."""
    # Only the sum of the two variances enters the formula: four maps, not five.
    planes = np.stack([x, y, x * x + y * y, x * y])
    mu_x, mu_y, squares, products = smooth(planes, gaussian_weights())
    mu_xy = mu_x * mu_y
    mu_squares = mu_x * mu_x + mu_y * mu_y
    numerator = (2 * mu_xy + C1) * (2 * (products - mu_xy) + C2)
    denominator = (mu_squares + C1) * ((squares - mu_squares) + C2)
    return float(np.sum(numerator / denominator))


def ssim_of_channel(x_u8: np.ndarray, y_u8: np.ndarray) -> float:
    """Mean SSIM over the valid windows of one channel, [H, W] uint8."""
    height, width = x_u8.shape
    rows = height - WINDOW + 1
    total = 0.0
    # In strips of rows, so that the maps of a large image stay in the cache.
    for start in range(0, rows, STRIP):
        strip = slice(start, min(start + STRIP, rows) + WINDOW - 1)
        total += _map_sum(
            x_u8[strip].astype(np.float64), y_u8[strip].astype(np.float64)
        )
    return total / (rows * (width - WINDOW + 1))


def ssim(sr_u8: np.ndarray, hr_u8: np.ndarray) -> float:
    """SSIM in [-1, 1], 1 for identical images; the mean over channels.

    Args:
      sr_u8: [H, W, C] uint8, borders already cropped; at least 11x11 pixels.
      hr_u8: the reference, same shape.

    Raises:
      UserError: wrong type, shapes that differ, or an image smaller than the window.
    """
    check_images(sr_u8, hr_u8, minimum=WINDOW, what="ssim")
    channels = range(hr_u8.shape[-1])
    return float(
        np.mean([ssim_of_channel(sr_u8[..., c], hr_u8[..., c]) for c in channels])
    )


def ssim_y(sr_u8: np.ndarray, hr_u8: np.ndarray) -> float:
    """SSIM of Y (see `luma`) in [-1, 1]; at least 11x11 pixels.

    Raises:
      UserError: wrong type, shapes that differ, or an image smaller than the window.
    """
    check_images(sr_u8, hr_u8, minimum=WINDOW, what="ssim_y")
    return ssim_of_channel(luma(sr_u8), luma(hr_u8))
