"""Shapes of blur kernels: their position, width and direction.

A kernel is read as a distribution of mass over HR pixels. Its place is its centre of
mass, its shape the covariance about it; the covariance's root has the unit HR px.
"""

from typing import NamedTuple

import numpy as np


class KernelMoments(NamedTuple):
    """Positions and widths of kernels, in HR pixels; one row per kernel.

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
    weights = normalised(kernels)
    side = weights.shape[1]
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


def second_moments(kernels: np.ndarray) -> np.ndarray:
    """Covariances of kernels' mass about its centre, so position drops out.

    Args:
      kernels: [N, K, K] as for `kernel_moments`.

    Returns:
      [N, 2, 2] float64 in squared HR px, axes (y, x), positive semidefinite.
    """
    kernels = normalised(kernels)
    place = np.arange(kernels.shape[1]) - kernels.shape[1] // 2
    first = np.stack([kernels.sum(2) @ place, kernels.sum(1) @ place], axis=1)
    raw = np.empty([len(kernels), 2, 2])
    raw[:, 0, 0], raw[:, 1, 1] = kernels.sum(2) @ place**2, kernels.sum(1) @ place**2
    raw[:, 0, 1] = raw[:, 1, 0] = np.einsum("nij,i,j->n", kernels, place, place)
    return raw - first[:, :, None] * first[:, None, :]


def covariance_roots(covariances: np.ndarray) -> np.ndarray:
    """Symmetric square roots of [N, 2, 2] covariances: widths and directions in px.

    For 2 x 2 matrices M^(1/2) = (M + sqrt(det M) I) / sqrt(tr M + 2 sqrt(det M))
    (Cayley-Hamilton); a point's root is zero.
    """
    root_det = np.sqrt(np.linalg.det(covariances).clip(0.0))
    trace = np.trace(covariances, axis1=1, axis2=2)
    scale = np.sqrt((trace + 2.0 * root_det).clip(0.0))
    over = covariances + root_det[:, None, None] * np.eye(2)
    return over / np.where(scale > 0, scale, 1.0)[:, None, None]


def normalised(kernels: np.ndarray) -> np.ndarray:
    """[N, K, K] kernels as float64 of sum 1.

    Raises:
      ValueError: not [N, K, K], an even K, or a kernel without mass.
    """
    kernels = np.asarray(kernels, np.float64)
    if kernels.ndim != 3 or kernels.shape[1] != kernels.shape[2] or not len(kernels):
        raise ValueError(f"`kernels` must be [N, K, K]. Received: {kernels.shape}.")
    side = kernels.shape[1]
    total = kernels.sum(axis=(1, 2))
    if side % 2 == 0 or np.any(total <= 0):
        raise ValueError(
            "`kernels` must have an odd side and positive sums. "
            f"Received: side {side}, smallest sum {total.min():g}."
        )
    return kernels / total[:, None, None]
