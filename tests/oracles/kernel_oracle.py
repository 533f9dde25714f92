"""Gaussian kernels at any place, for tests of kernel metrics."""

import numpy as np


def gaussian(
    sigma_long: float,
    sigma_short: float,
    angle: float = 0.0,
    dy: float = 0.0,
    dx: float = 0.0,
    side: int = 21,
) -> np.ndarray:
    """[side, side] of sum 1; `angle` turns the long axis from x towards y."""
    y, x = np.mgrid[:side, :side] - side // 2
    y, x = y - dy, x - dx
    along = x * np.cos(angle) + y * np.sin(angle)
    across = -x * np.sin(angle) + y * np.cos(angle)
    kernel = np.exp(-0.5 * ((along / sigma_long) ** 2 + (across / sigma_short) ** 2))
    return kernel / kernel.sum()


def gaussians(count: int, seed: int, side: int = 21) -> np.ndarray:
    """[count, side, side] of random widths and directions, a few pixels wide."""
    random = np.random.default_rng(seed)
    widths = np.sort(random.uniform(0.8, 2.5, [count, 2]))
    angles = random.uniform(0, np.pi, count)
    return np.stack(
        [gaussian(b, a, t, side=side) for (a, b), t in zip(widths, angles, strict=True)]
    )
