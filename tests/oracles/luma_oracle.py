"""Y of BT.601 with 16..235, one pixel at a time, and PSNR on it."""

import math

import numpy as np


def luma(rgb_u8: np.ndarray) -> np.ndarray:
    """Y = 219 * (0.299 R + 0.587 G + 0.114 B) + 16, R, G, B in 0..1, on [H, W, 3].

    MATLAB's coefficients are these to three decimals: 65.481 = 219 * 0.299.
    """
    out = np.empty(rgb_u8.shape[:2])
    for i, j in np.ndindex(out.shape):
        r, g, b = (int(v) / 255 for v in rgb_u8[i, j])
        out[i, j] = 219 * (0.299 * r + 0.587 * g + 0.114 * b) + 16
    return out


def psnr_y(a: np.ndarray, b: np.ndarray) -> float:
    difference = (luma(a) - luma(b)).ravel().tolist()
    mse = math.fsum(d * d for d in difference) / len(difference)
    return math.inf if mse == 0 else 20 * math.log10(255 / math.sqrt(mse))
