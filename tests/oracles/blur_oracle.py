"""Blur and downsampling from its definition, one LR pixel and one tap at a time.

y[i, j] = sum over taps (a, b) of k[a, b] * x[s*i + o + a - r, s*j + o + b - r], with r
half the kernel's side and o the integer part of where the sampling grid starts. In
"valid" mode x begins r pixels before the first pixel that counts.
"""

import numpy as np


def mirror(j: int, length: int) -> int:
    """Reflects an index at the centres of the border pixels (edge not repeated)."""
    while not 0 <= j < length:
        j = -j if j < 0 else 2 * (length - 1) - j
    return j


def blur(
    hr: np.ndarray, kernels: np.ndarray, scale: int, grid: str, border: str
) -> np.ndarray:
    """One image [H, W, C] with kernels [K, K] or [h, w, K, K] -> [h, w, C], float64."""
    side = kernels.shape[-1]
    r = side // 2
    height, width, channels = hr.shape
    start = {"pixel0": 0, "half_pixel": (scale - 1) // 2}[grid]
    inset = r if border == "valid" else 0
    h, w = (height - 2 * inset) // scale, (width - 2 * inset) // scale
    out = np.zeros((h, w, channels))
    for i in range(h):
        for j in range(w):
            kernel = kernels if kernels.ndim == 2 else kernels[i, j]
            for a in range(side):
                for b in range(side):
                    y = mirror(inset + scale * i + start + a - r, height)
                    x = mirror(inset + scale * j + start + b - r, width)
                    out[i, j] += float(kernel[a, b]) * hr[y, x]
    return out


def gaussian_samples(
    hr: np.ndarray, sigma_px: float, positions_y: np.ndarray, positions_x: np.ndarray
) -> np.ndarray:
    """`hr` seen through a Gaussian at real positions; all pixels count, no window.

    [H, W, C] -> [len(positions_y), len(positions_x), C], weights summing to 1.
    """

    def weights(positions: np.ndarray, length: int) -> np.ndarray:
        distance = np.arange(length)[None, :] - positions[:, None]
        values = np.exp(-(distance**2) / (2 * sigma_px**2))
        return values / values.sum(axis=1, keepdims=True)

    rows = weights(positions_y, hr.shape[0])
    columns = weights(positions_x, hr.shape[1])
    return np.einsum("yh,hwc,xw->yxc", rows, hr, columns)


def moments(kernel: np.ndarray) -> tuple[float, float, float]:
    """(down, right, spread) of one kernel [K, K]: centre of mass off the middle tap,
    and root of the mean squared distance from it, in pixels."""
    side = len(kernel)
    down = right = 0.0
    for a in range(side):
        for b in range(side):
            down += kernel[a, b] * (a - side // 2)
            right += kernel[a, b] * (b - side // 2)
    second = 0.0
    for a in range(side):
        for b in range(side):
            y, x = a - side // 2 - down, b - side // 2 - right
            second += kernel[a, b] * (y * y + x * x)
    return down, right, second**0.5
