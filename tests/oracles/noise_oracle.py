"""Slow noise of a sensor in NumPy, pixel by pixel."""

import math

import numpy as np


def smoothed(field, sigma):
    """Gaussian-weighted sum [h, w, C] of white noise, scaled to variance 1."""
    radius = math.ceil(3.0 * sigma)
    if not radius:
        return field
    height, width = field.shape[:2]
    out = np.zeros_like(field, np.float64)
    for i in range(height):
        for j in range(width):
            squares = 0.0
            for di in range(-radius, radius + 1):
                for dj in range(-radius, radius + 1):
                    if 0 <= i + di < height and 0 <= j + dj < width:
                        weight = math.exp(-(di**2 + dj**2) / (2.0 * sigma**2))
                        out[i, j] += weight * field[i + di, j + dj]
                        squares += weight**2
            out[i, j] /= math.sqrt(squares)
    return out


def sensor_noise(z_n, clean, read, shot, sigma, mix):
    """One image's noise [h, w, 3]: sqrt(read^2 + shot y) times the mixed field."""
    field = smoothed(np.asarray(z_n, np.float64), sigma) @ np.asarray(mix).T
    signal = np.clip(np.asarray(clean, np.float64), 0.0, 1.0)
    return np.sqrt(read**2 + shot * signal) * field
