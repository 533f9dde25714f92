"""GAN losses in float64 NumPy, from the papers' formulas with sigmoids and logarithms.

Each: (real logits, fake logits) -> (generator loss, discriminator loss). Discriminator
losses are means of their two halves.
"""

import numpy as np


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e^-x)."""
    return 1.0 / (1.0 + np.exp(-np.asarray(x, np.float64)))


def lsgan(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """Mao et al. 2017, targets 1 and 0."""
    d = (np.mean((real - 1.0) ** 2) + np.mean(fake**2)) / 2
    return np.mean((fake - 1.0) ** 2), d


def vanilla(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """Goodfellow et al. 2014, non-saturating generator."""
    d = -np.mean(np.log(sigmoid(real))) - np.mean(np.log(1.0 - sigmoid(fake)))
    return -np.mean(np.log(sigmoid(fake))), d / 2


def hinge(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """Lim and Ye 2017."""
    d = np.mean(np.maximum(0, 1 - real)) + np.mean(np.maximum(0, 1 + fake))
    return -np.mean(fake), d / 2


def relativistic(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """Wang et al. 2018: D_Ra(a, b) = s(C(a) - E[C(b)])."""
    ra_real = sigmoid(real - np.mean(fake))
    ra_fake = sigmoid(fake - np.mean(real))
    d = -np.mean(np.log(ra_real)) - np.mean(np.log(1.0 - ra_fake))
    g = -np.mean(np.log(1.0 - ra_real)) - np.mean(np.log(ra_fake))
    return g / 2, d / 2
