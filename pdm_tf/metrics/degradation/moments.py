"""Moments of blur kernels: where they lie, how wide they are, and in which direction.

A kernel is read as a distribution of mass over HR pixels. Its place is its centre of
mass, its shape the covariance about it; the covariance's root has the unit HR px.
"""

from typing import NamedTuple

import numpy as np


class KernelMoments(NamedTuple):
    """Where kernels lie and how wide they are, in HR pixels; one row per kernel.

    Attributes:
      offset: [N, 2] float64, centre of mass minus the middle tap, (dy, dx). Kernels are
        applied without a flip, so (1, 0) reads content from one pixel below and moves
        the LR image up.
      sigma: [N, 2] float64, standard deviation along the long and the short axis.
    """

    offset: np.ndarray
    sigma: np.ndarray


def kernel_moments(kernels: np.ndarray) -> KernelMoments:
    """First and second moments of kernels.

    Args:
      kernels: [N, K, K], K odd, non-negative, of positive sum (which is divided out).

    Raises:
      ValueError: not [N, K, K], an even K, or a kernel without mass.
    """
    kernels = np.asarray(kernels, np.float64)
    if kernels.ndim != 3 or kernels.shape[1] != kernels.shape[2]:
        raise ValueError(f"`kernels` must be [N, K, K]. Received: {kernels.shape}.")
    side = kernels.shape[1]
    total = kernels.sum(axis=(1, 2))
    if side % 2 == 0 or np.any(total <= 0):
        raise ValueError(
            "`kernels` must have an odd side and positive sums. "
            f"Received: side {side}, smallest sum {total.min():g}."
        )
    weights = kernels / total[:, None, None]
    place = np.arange(side) - side // 2
    rows, columns = weights.sum(axis=2), weights.sum(axis=1)
    dy, dx = rows @ place, columns @ place
    var_y = rows @ place**2 - dy**2
    var_x = columns @ place**2 - dx**2
    cov = np.einsum("nij,i,j->n", weights, place, place) - dy * dx
    # Eigenvalues of [[var_y, cov], [cov, var_x]].
    middle = (var_y + var_x) / 2
    spread = np.sqrt(((var_y - var_x) / 2) ** 2 + cov**2)
    variances = np.stack([middle + spread, middle - spread], axis=1)
    return KernelMoments(np.stack([dy, dx], axis=1), np.sqrt(variances.clip(0.0)))
