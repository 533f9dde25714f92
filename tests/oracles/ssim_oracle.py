"""SSIM of Wang et al. 2004 from its definition: one window at a time.

Weighted means, variances and covariance are computed around the window's own mean (not
as E[x^2] - E[x]^2), so that the formula in the product is checked as well as its
filtering.
"""

import numpy as np


def window_2d() -> np.ndarray:
    """11x11 Gaussian of sigma 1.5, normalised over the whole square."""
    y, x = np.mgrid[-5:6, -5:6]
    weights = np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    return weights / weights.sum()


def ssim_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """SSIM of each 11x11 window inside one channel [H, W] -> [H-10, W-10]."""
    x = x.astype(np.float64)
    y = y.astype(np.float64)
    weights = window_2d()
    c1 = (0.01 * 255) ** 2
    c2 = (0.03 * 255) ** 2
    height, width = x.shape
    out = np.empty((height - 10, width - 10))
    for i in range(height - 10):
        for j in range(width - 10):
            patch_x = x[i : i + 11, j : j + 11]
            patch_y = y[i : i + 11, j : j + 11]
            mean_x = np.sum(weights * patch_x)
            mean_y = np.sum(weights * patch_y)
            var_x = np.sum(weights * (patch_x - mean_x) ** 2)
            var_y = np.sum(weights * (patch_y - mean_y) ** 2)
            cov = np.sum(weights * (patch_x - mean_x) * (patch_y - mean_y))
            luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
            structure = (2 * cov + c2) / (var_x + var_y + c2)
            out[i, j] = luminance * structure
    return out


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over channels of the mean map of two uint8 images [H, W, C]."""
    channels = range(a.shape[-1])
    return float(np.mean([ssim_map(a[..., c], b[..., c]).mean() for c in channels]))
