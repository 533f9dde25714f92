"""Kernels of the predefined chains, one tap at a time, from the papers' formulas."""

import numpy as np
from scipy import special


def bell(
    side: int,
    used: int,
    sigmas: tuple[float, float],
    theta: float,
    beta: float,
    plateau: bool,
) -> np.ndarray:
    """[side, side]: Gaussian (beta 1), generalised Gaussian, or plateau."""
    turn = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
    inverse = np.linalg.inv(turn @ np.diag(np.square(sigmas)) @ turn.T)
    out = np.zeros((side, side))
    for a in range(-(used // 2), used // 2 + 1):
        for b in range(-(used // 2), used // 2 + 1):
            v = np.array([b, a], float)  # right, down
            q = (v @ inverse @ v) ** beta
            out[side // 2 + a, side // 2 + b] = (
                1 / (1 + q) if plateau else np.exp(-q / 2)
            )
    return out / out.sum()


def sinc(side: int, used: int, cutoff: float) -> np.ndarray:
    """[side, side]: the integral of exp(i w.v) over the disc |w| <= cutoff."""
    out = np.zeros((side, side))
    for a in range(-(used // 2), used // 2 + 1):
        for b in range(-(used // 2), used // 2 + 1):
            r = np.hypot(a, b)
            value = cutoff**2 / (4 * np.pi)
            if r > 0:
                value = cutoff * special.j1(cutoff * r) / (2 * np.pi * r)
            out[side // 2 + a, side // 2 + b] = value
    return out / out.sum()
