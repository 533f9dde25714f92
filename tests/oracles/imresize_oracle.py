"""Antialiased bicubic resizing straight from its definition, one pixel at a time.

Keys 1981 with a = -0.5; coordinates count from 0 at pixel centres, so output i lies at
(i + 0.5) / scale - 0.5; when shrinking the kernel is stretched by 1 / scale; the image
is mirrored with its edge pixel repeated; weights are divided by their sum.
"""

import numpy as np


def keys(x: float) -> float:
    x = abs(x)
    if x < 1:
        return 1.5 * x * x * x - 2.5 * x * x + 1
    if x < 2:
        return -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2
    return 0.0


def mirror(j: int, length: int) -> int:
    while not 0 <= j < length:
        j = -1 - j if j < 0 else 2 * length - 1 - j
    return j


def weights(i: int, length: int, scale: float) -> np.ndarray:
    """How much output pixel i takes from each of `length` input pixels."""
    centre = (i + 0.5) / scale - 0.5
    shrink = min(scale, 1.0)
    reach = int(np.ceil(2 / shrink)) + 2
    row = np.zeros(length)
    for j in range(int(np.floor(centre)) - reach, int(np.ceil(centre)) + reach + 1):
        row[mirror(j, length)] += keys((centre - j) * shrink)
    return row / row.sum()


def imresize(image: np.ndarray, scale: float) -> np.ndarray:
    """[H, W, C] to [ceil(H * scale), ceil(W * scale), C], float64."""
    height, width, channels = image.shape
    out_height = int(np.ceil(round(height * scale, 9)))
    out_width = int(np.ceil(round(width * scale, 9)))
    result = np.zeros((out_height, out_width, channels))
    for y in range(out_height):
        for x in range(out_width):
            window = np.outer(weights(y, height, scale), weights(x, width, scale))
            for c in range(channels):
                result[y, x, c] = np.sum(window * image[..., c])
    return result
