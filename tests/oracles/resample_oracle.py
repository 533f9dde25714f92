"""Resizing by the operators of OpenCV, PyTorch and MATLAB, one weight at a time.

From their documentation and definitions, in float64. Output pixel i of n made of m
input pixels covers the input interval [i m/n, (i + 1) m/n], pixel j being [j, j + 1].
"""

from fractions import Fraction
from math import ceil, floor

import numpy as np

from tests.oracles import imresize_oracle


def keys(x: float, a: float) -> float:
    """Keys 1981, equation for the cubic with free slope a at 1."""
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    if x < 2:
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return 0.0


def row(i: int, old: int, new: int, kind: str) -> np.ndarray:
    """[old] weights of output pixel i."""
    start, stop = Fraction(i * old, new), Fraction((i + 1) * old, new)
    middle = float((start + stop) / 2) - 0.5
    weights = np.zeros(old)
    if kind == "matlab_bicubic":
        return imresize_oracle.weights(i, old, new / old)
    if kind == "nearest":
        weights[floor(start)] = 1.0
    elif kind == "area_bins":
        weights[floor(start) : ceil(stop)] = 1.0 / (ceil(stop) - floor(start))
    elif kind == "area":
        for j in range(old):
            inside = min(stop, j + 1) - max(start, j)
            weights[j] = max(float(inside / (stop - start)), 0.0)
    else:
        for j in range(floor(middle) - 2, floor(middle) + 4):
            if kind == "bilinear":
                weight = max(1 - abs(j - middle), 0.0)
            else:
                weight = keys(j - middle, -0.75)
            weights[min(max(j, 0), old - 1)] += weight
    return weights


def resample(image: np.ndarray, height: int, width: int, kind: str) -> np.ndarray:
    """[H, W, C] -> [height, width, C]."""
    rows = np.stack([row(i, image.shape[0], height, kind) for i in range(height)])
    columns = np.stack([row(i, image.shape[1], width, kind) for i in range(width)])
    return np.einsum("yh,hwc,xw->yxc", rows, image.astype(np.float64), columns)
