"""NIQE from the equations of Mittal, Soundararajan, Bovik 2013, one value at a time.

Written from the paper; where it is silent (rounding of Y, borders, wrap-around of the
products, the grid of shapes) as the authors' release, see the product's docstring. The
one thing shared with other oracles is the bicubic reduction.
"""

import math

import numpy as np

from tests.oracles.imresize_oracle import imresize


def luma(rgb_u8):
    """BT.601, 16..235, rounded."""
    out = np.empty(rgb_u8.shape[:2])
    for place in np.ndindex(out.shape):
        r, g, b = (int(v) / 255 for v in rgb_u8[place])
        out[place] = round(16 + 65.481 * r + 128.553 * g + 24.966 * b)
    return out


def mscn(plane):
    """Eq. 1-3: (I - mu) / (sigma + 1) and sigma, window by window."""
    y, x = np.mgrid[-3:4, -3:4]
    weights = np.exp(-(x**2 + y**2) / (2 * (7 / 6) ** 2))
    weights /= weights.sum()
    height, width = plane.shape
    normal, sigma = np.empty(plane.shape), np.empty(plane.shape)
    for i in range(height):
        rows = np.clip(np.arange(i - 3, i + 4), 0, height - 1)
        for j in range(width):
            columns = np.clip(np.arange(j - 3, j + 4), 0, width - 1)
            window = plane[np.ix_(rows, columns)]
            mu = np.sum(weights * window)
            sigma[i, j] = math.sqrt(np.sum(weights * (window - mu) ** 2))
            normal[i, j] = (plane[i, j] - mu) / (sigma[i, j] + 1)
    return normal, sigma


def _ratio(alpha):
    """E|x|^2 / E[x^2] of a generalised Gaussian of shape alpha."""
    return math.gamma(2 / alpha) ** 2 / (math.gamma(1 / alpha) * math.gamma(3 / alpha))


_GRID = [i / 1000 for i in range(200, 10001)]
_TABLE = np.array([_ratio(alpha) for alpha in _GRID])


def aggd(samples):
    """Shape, left and right scale by matching moments."""
    left = [v * v for v in samples if v < 0]
    right = [v * v for v in samples if v > 0]
    left, right = (math.sqrt(math.fsum(s) / len(s)) for s in (left, right))
    gamma = left / right
    first = math.fsum(abs(v) for v in samples) / len(samples)
    second = math.fsum(v * v for v in samples) / len(samples)
    r = first**2 / second
    r *= (gamma**3 + 1) * (gamma + 1) / (gamma**2 + 1) ** 2
    alpha = _GRID[int(np.argmin((_TABLE - r) ** 2))]
    scale = math.sqrt(math.gamma(1 / alpha) / math.gamma(3 / alpha))
    return alpha, left * scale, right * scale


def block_features(block):
    """18 numbers of one block of normalised pixels."""
    alpha, left, right = aggd(block.ravel().tolist())
    out = [alpha, (left + right) / 2]
    side = len(block)
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        products = [
            block[i, j] * block[(i - dy) % side, (j - dx) % side]
            for i in range(side)
            for j in range(side)
        ]
        alpha, left, right = aggd(products)
        eta = (right - left) * math.gamma(2 / alpha) / math.gamma(1 / alpha)
        out += [alpha, eta, left, right]
    return out


def features(rgb_u8):
    """([N, 36], [N]): features and sharpness of the 96x96 blocks, row by row."""
    rows, columns = (n // 96 for n in rgb_u8.shape[:2])
    plane = luma(rgb_u8[: rows * 96, : columns * 96])
    full, sigma = mscn(plane)
    half, _ = mscn(imresize(plane[..., None], 0.5)[..., 0])
    table, sharpness = [], []
    for i in range(rows):
        for j in range(columns):
            big = np.s_[i * 96 : i * 96 + 96, j * 96 : j * 96 + 96]
            small = np.s_[i * 48 : i * 48 + 48, j * 48 : j * 48 + 48]
            table.append(block_features(full[big]) + block_features(half[small]))
            sharpness.append(sigma[big].sum() / 96**2)
    return np.array(table), np.array(sharpness)


def gaussian(table):
    """Mean and covariance (N - 1) of the rows."""
    count = len(table)
    mean = sum(table) / count
    covariance = sum(np.outer(row - mean, row - mean) for row in table) / (count - 1)
    return mean, covariance


def fit(images):
    """Mean and covariance over each image's blocks above 0.75 of its sharpest."""
    kept = []
    for image in images:
        table, sharpness = features(image)
        kept += [
            row
            for row, s in zip(table, sharpness, strict=True)
            if s > 0.75 * max(sharpness)
        ]
    return gaussian(np.array(kept))


def niqe(rgb_u8, mean, covariance):
    """Eq. 10, the inverse by eigenvectors, those without variance left out."""
    own_mean, own_covariance = gaussian(features(rgb_u8)[0])
    pooled = (covariance + own_covariance) / 2
    values, vectors = np.linalg.eigh(pooled)
    kept = values > 1e-15 * values.max()
    parts = vectors.T @ (mean - own_mean)
    return math.sqrt(np.sum(parts[kept] ** 2 / values[kept]))
