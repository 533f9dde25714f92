"""Best PSNR over displacements: crop both images, compare, for each displacement."""

import math

import numpy as np


def scores(sr: np.ndarray, hr: np.ndarray, m: int) -> dict[tuple[int, int], float]:
    """(dy, dx) -> PSNR of sr[y + dy, x + dx] against hr[y, x], m px off each side."""
    height, width = hr.shape[:2]
    reference = hr[m : height - m, m : width - m].astype(np.int64)
    out = {}
    for dy in range(-m, m + 1):
        for dx in range(-m, m + 1):
            window = sr[m + dy : height - m + dy, m + dx : width - m + dx]
            mse = np.mean((window.astype(np.int64) - reference) ** 2)
            out[dy, dx] = math.inf if mse == 0 else 10 * math.log10(255**2 / mse)
    return out


def best(sr: np.ndarray, hr: np.ndarray, m: int) -> tuple[float, tuple[int, int]]:
    """The largest score; of equal ones the smallest displacement."""
    table = scores(sr, hr, m)
    place = max(table, key=lambda k: (table[k], -(k[0] ** 2 + k[1] ** 2)))
    return table[place], place
