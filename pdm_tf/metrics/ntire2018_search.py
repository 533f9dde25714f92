"""The best SSIM of NTIRE2018's shift search, fast and still exact.

What only the best displacement needs in full precision is computed twice.

First the displacements are scored in float32, channel by channel: a product with the
moved reference, two filterings as products with a band matrix, and SSIM's formula, for
a row of displacements at a time. Both images lose their means before, so that their
covariance is not a difference of large numbers; what float32 rounds then changes a
score by 1e-7 on photographs and by less than MARGIN / 10 on the worst images tried
(tests). No SSIM exceeds 1, so a displacement that would not be the best even if it had
1 in the channels that are still to come is out, and often one or two channels decide.

Then what is left is computed by the definition in float64, and the best is the result.
Products are kept small: OpenBLAS spreads larger ones over threads, which on a busy
machine wait for each other longer than the product takes.
"""

from typing import NamedTuple

import numpy as np

from pdm_tf.metrics.ssim import (
    C1,
    C2,
    WINDOW,
    gaussian_weights,
    smooth,
    ssim_of_channel,
)

# How far a float32 score may be off, at most.
MARGIN = 5e-4
# So many displacements are computed by the definition, which is as fast for them.
FEW = 24
_BLOCK = 5  # rows of the first filtering that are made from as few rows as possible


class Moments(NamedTuple):
    """What depends on one image alone, in float32.

    Attributes:
      centred: the image less its mean.
      mean: local means of `centred`.
      level: local means of the image.
      square: level squared.
      variance: local variance.
    """

    centred: np.ndarray
    mean: np.ndarray
    level: np.ndarray
    square: np.ndarray
    variance: np.ndarray


def scores32(x: np.ndarray, y: np.ndarray, step: int) -> np.ndarray:
    """SSIM at every displacement of one channel, to about float32.

    Args:
      x: [n, n] float64 holding 0..255, fixed; n - 10 a multiple of 5.
      y: [m, m] float64, m > n.
      step: between displacements, along both axes.

    Returns:
      [s, s] float64 with s = (m - n) // step + 1; entry (i, j) compares x with
      y[i * step :, j * step :].
    """
    size, side = len(x), len(x) - WINDOW + 1
    count = (len(y) - size) // step + 1
    # [rows, s, columns]: the reference at every displacement of its columns. What its
    # rows are displaced by is then a slice of it.
    moved, means, levels, squares, variances = (
        _windows(plane, size if plane.shape == y.shape else side, step)
        for plane in _moments(y)
    )
    fixed, mean, level, square, variance = (
        np.repeat(plane[:, None], count, axis=1) for plane in _moments(x)
    )
    mean, level = 2 * mean, 2 * level
    square, variance = square + np.float32(C1), variance + np.float32(C2)
    block = _band(_BLOCK + WINDOW - 1)
    across = np.ascontiguousarray(2 * _band(size).T)
    products = np.empty((size, count, size), np.float32)
    filtered = np.empty((side, count, size), np.float32)
    score = np.empty((side, count, side), np.float32)
    other, spare = np.empty_like(score), np.empty_like(score)
    columns = np.ones(side, np.float32)
    scores = np.empty((count, count))
    for i in range(count):
        top = i * step
        inside = slice(top, top + side)
        np.multiply(fixed, moved[top : top + size], out=products)
        for row in range(0, side, _BLOCK):
            rows = products[row : row + _BLOCK + WINDOW - 1].reshape(len(block.T), -1)
            out = filtered[row : row + _BLOCK].reshape(_BLOCK, -1)
            np.matmul(block, rows, out=out)
        np.matmul(filtered, across, out=score)
        np.multiply(mean, means[inside], out=other)
        score -= other
        score += np.float32(C2)
        np.multiply(level, levels[inside], out=other)
        other += np.float32(C1)
        score *= other
        np.add(square, squares[inside], out=other)
        np.add(variance, variances[inside], out=spare)
        other *= spare
        score /= other
        scores[i] = (score @ columns).sum(axis=0, dtype=np.float64)
    return scores / side**2


def best_score(x: np.ndarray, y: np.ndarray, step: int) -> float | None:
    """The largest SSIM over all displacements, mean over the channels, exactly.

    Args:
      x: [n, n, C] float64 holding 0..255.
      y: [m, m, C] float64.
      step: between displacements.

    Returns:
      It, or None where more than FEW displacements may have it (images without much
      structure).
    """
    channels = x.shape[-1]
    total: np.ndarray | float = 0.0
    for done in range(1, channels + 1):
        total = total + scores32(x[..., done - 1], y[..., done - 1], step)
        likely = np.unravel_index(int(np.argmax(total)), total.shape)
        best = _exact(x, y, likely, step)
        # Each channel still to come adds 1 at most.
        bound = (total + (channels - done)) / channels + MARGIN
        left = np.argwhere(bound >= best)
        if len(left) <= FEW:
            return max([best, *(_exact(x, y, place, step) for place in left)])
    return None


def _exact(
    x: np.ndarray, y: np.ndarray, place: np.ndarray | tuple[int, int], step: int
) -> float:
    """By the definition, at one displacement."""
    top, left = (int(i) * step for i in place)
    window = y[top : top + len(x), left : left + len(x)]
    return float(
        np.mean(
            [ssim_of_channel(x[..., c], window[..., c]) for c in range(x.shape[-1])]
        )
    )


def _moments(plane: np.ndarray) -> Moments:
    """Computed in float64, and then rounded once."""
    middle = plane.mean()
    centred = plane - middle
    # `smooth` transposes.
    mean, square = smooth(
        np.stack([centred, centred * centred]), gaussian_weights()
    ).swapaxes(-1, -2)
    level = mean + middle
    parts = (centred, mean, level, level * level, square - mean * mean)
    return Moments(*(np.ascontiguousarray(part, np.float32) for part in parts))


def _band(size: int) -> np.ndarray:
    """[size - 10, size] float32: a product with it filters by the Gaussian window."""
    taps = gaussian_weights()
    band = np.zeros((size - WINDOW + 1, size), np.float32)
    for row in range(len(band)):
        band[row, row : row + WINDOW] = taps
    return band


def _windows(plane: np.ndarray, size: int, step: int) -> np.ndarray:
    """[rows, s, size]: each row at every displacement of the columns."""
    every = np.lib.stride_tricks.sliding_window_view(plane, size, axis=1)
    return np.ascontiguousarray(every[:, ::step])
