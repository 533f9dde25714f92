"""Best PSNR over displacements: crop both images, compare, for each displacement."""

import math

import numpy as np


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    mse = np.mean((a.astype(np.int64) - b.astype(np.int64)) ** 2)
    return math.inf if mse == 0 else 10 * math.log10(255**2 / mse)


def scores(sr: np.ndarray, hr: np.ndarray, m: int) -> dict[tuple[int, int], float]:
    """(dy, dx) -> PSNR of sr[y + dy, x + dx] against hr[y, x], m px off each side."""
    height, width = hr.shape[:2]
    reference = hr[m : height - m, m : width - m]
    return {
        (dy, dx): _psnr(
            sr[m + dy : height - m + dy, m + dx : width - m + dx], reference
        )
        for dy in range(-m, m + 1)
        for dx in range(-m, m + 1)
    }


def at(sr: np.ndarray, hr: np.ndarray, dy: int, dx: int) -> float:
    """PSNR over all reference pixels (y, x) for which sr has (y + dy, x + dx)."""
    height, width = hr.shape[:2]
    ys = [y for y in range(height) if 0 <= y + dy < height]
    xs = [x for x in range(width) if 0 <= x + dx < width]
    moved = sr[np.ix_([y + dy for y in ys], [x + dx for x in xs])]
    return _psnr(moved, hr[np.ix_(ys, xs)])


def best(sr: np.ndarray, hr: np.ndarray, m: int) -> tuple[float, tuple[int, int]]:
    """The score at the best displacement, or the plain one if that is no lower.

    The displacement is that of the largest of `scores`; of equal ones the smallest.
    """
    table = scores(sr, hr, m)
    place = max(table, key=lambda k: (table[k], -(k[0] ** 2 + k[1] ** 2)))
    moved, plain = at(sr, hr, *place), at(sr, hr, 0, 0)
    return (moved, place) if moved > plain else (plain, (0, 0))
