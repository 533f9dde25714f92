"""PSNR written out in exact integer arithmetic, one value at a time."""

import math

import numpy as np


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """20 log10(255 / sqrt(mse)) over all values of two uint8 images [H, W, C]."""
    total = 0
    count = 0
    for row_a, row_b in zip(a.tolist(), b.tolist(), strict=True):
        for pixel_a, pixel_b in zip(row_a, row_b, strict=True):
            for value_a, value_b in zip(pixel_a, pixel_b, strict=True):
                total += (value_a - value_b) ** 2
                count += 1
    if total == 0:
        return math.inf
    return 20 * math.log10(255 / math.sqrt(total / count))
