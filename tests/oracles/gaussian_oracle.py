"""Sampled Gaussian kernels."""

import numpy as np


def kernel(side: int, covariance: np.ndarray, centre_px: float = 0.0) -> np.ndarray:
    """[side, side] values of exp(-v' inv(covariance) v / 2) summing to 1.

    v = (down, right) from a centre `centre_px` below and right of the middle tap;
    `covariance` [2, 2] in squared pixels, in the order (down, right).
    """
    inverse = np.linalg.inv(covariance)
    values = np.zeros((side, side))
    for a in range(side):
        for b in range(side):
            v = np.array([a - side // 2 - centre_px, b - side // 2 - centre_px])
            values[a, b] = np.exp(-0.5 * v @ inverse @ v)
    return values / values.sum()


def covariance_from_log(m: float, d1: float, d2: float) -> np.ndarray:
    """Matrix exponential of [[m + d1, d2], [d2, m - d1]], by eigenvectors."""
    values, vectors = np.linalg.eigh(np.array([[m + d1, d2], [d2, m - d1]]))
    return vectors @ np.diag(np.exp(values)) @ vectors.T


def covariance_of(kernel_2d: np.ndarray) -> np.ndarray:
    """[2, 2] second moments of a kernel around its centre, order (down, right)."""
    side = len(kernel_2d)
    places = np.stack(np.mgrid[:side, :side], -1).reshape(-1, 2).astype(float)
    weights = kernel_2d.ravel()
    centred = places - weights @ places
    return (centred * weights[:, None]).T @ centred
