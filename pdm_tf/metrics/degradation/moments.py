"""Spread of kernels in position and width, and distances between two sets of them.

The shapes of single kernels are in `core/kernel_shapes.py`.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from pdm_tf.core.kernel_shapes import (
    covariance_roots,
    kernel_moments,
    normalised,
    second_moments,
)


def bures_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Distances between second moments, in the unit of their roots (HR px).

    d^2 = tr A + tr B - 2 tr (A^(1/2) B A^(1/2))^(1/2), the Bures distance: the
    2-Wasserstein distance of the Gaussians with these covariances. Unlike the Frobenius
    distance of the matrices its unit is px and a long kernel does not outweigh all
    others; unlike that of sorted widths it sees directions. Kernels of one direction
    differ by the Euclidean distance of their two widths. The trace of the root is
    sqrt(tr AB + 2 sqrt(det A det B)) for 2 x 2 matrices.

    Args:
      first: [N, 2, 2], second: [M, 2, 2], positive semidefinite.

    Returns:
      [N, M] float64.
    """
    traces = [np.trace(x, axis1=1, axis2=2) for x in (first, second)]
    roots = [np.sqrt(np.linalg.det(x).clip(0.0)) for x in (first, second)]
    product = np.einsum("nij,mji->nm", first, second)
    fidelity = np.sqrt((product + 2.0 * np.outer(*roots)).clip(0.0))
    squares = np.add.outer(*traces) - 2.0 * fidelity
    return np.sqrt(squares.clip(0.0))


def assignment_distance(distances: np.ndarray) -> float:
    """2-Wasserstein distance of two sets of equal size: root of the least mean square.

    Args:
      distances: [N, N] ground distances; the best matching is found exactly.

    Raises:
      ValueError: not square. (Sets of unequal size have no assignment; draw as many.)
    """
    if distances.ndim != 2 or distances.shape[0] != distances.shape[1]:
        raise ValueError(
            "`distances` must be [N, N], as many kernels on both sides. "
            f"Received: {distances.shape}."
        )
    squares = np.square(distances)
    return float(np.sqrt(squares[linear_sum_assignment(squares)].mean()))


class MomentSpread(NamedTuple):
    """Spread of kernels in width, HR px.

    Attributes:
      long, short: standard deviation of the width along the long and the short axis.
      oriented: of the covariance's root as a matrix (root mean squared Frobenius
        distance from the mean root), which also sees one shape in many directions.
    """

    long: float
    short: float
    oriented: float


def moment_spread(kernels: np.ndarray) -> MomentSpread:
    """Standard deviations of the kernels' widths; all zero for one repeated kernel."""
    long, short = kernel_moments(kernels).sigma.std(axis=0)
    roots = covariance_roots(second_moments(kernels))
    squares = np.square(roots - roots.mean(axis=0)).sum(axis=(1, 2))
    return MomentSpread(float(long), float(short), float(np.sqrt(squares.mean())))


def spread_ratio(learned: np.ndarray, true: np.ndarray) -> MomentSpread:
    """Learned over true standard deviations: 1 is right, 0 a single kernel.

    Raises:
      ValueError: the true kernels are all alike, so there is no ratio.
    """
    ours, theirs = moment_spread(learned), moment_spread(true)
    if min(theirs) <= 0:
        raise ValueError(
            "`true` kernels must differ in long and short width. "
            f"Received: standard deviations {tuple(theirs)}."
        )
    return MomentSpread(*(a / b for a, b in zip(ours, theirs, strict=True)))


class KernelStatistics(NamedTuple):
    """Statistics of a set of kernels.

    Attributes:
      count: kernels.
      entropy: mean Shannon entropy in nats; 0 for a delta, log(K*K) for a box.
      width: mean width along the long and the short axis, HR px.
      spread: `moment_spread`, HR px.
      centroid: mean centre of mass (dy, dx) off the middle tap, HR px.
      centroid_std: its standard deviation over the kernels (dy, dx), HR px.
      largest_tap: mean mass of the heaviest tap.
      border_mass: mean mass on the window's outermost ring of taps.
    """

    count: int
    entropy: float
    width: tuple[float, float]
    spread: MomentSpread
    centroid: tuple[float, float]
    centroid_std: tuple[float, float]
    largest_tap: float
    border_mass: float


def kernel_statistics(kernels: np.ndarray) -> KernelStatistics:
    """Entropy, widths, spread and place of [N, K, K] kernels."""
    moments, kernels = kernel_moments(kernels), normalised(kernels)
    logs = np.log(np.where(kernels > 0, kernels, 1.0))
    return KernelStatistics(
        count=len(kernels),
        entropy=float(-(kernels * logs).sum(axis=(1, 2)).mean()),
        width=_pair(moments.sigma.mean(axis=0)),
        spread=moment_spread(kernels),
        centroid=_pair(moments.offset.mean(axis=0)),
        centroid_std=_pair(moments.offset.std(axis=0)),
        largest_tap=float(kernels.max(axis=(1, 2)).mean()),
        border_mass=float(1.0 - kernels[:, 1:-1, 1:-1].sum(axis=(1, 2)).mean()),
    )


def _pair(values: np.ndarray) -> tuple[float, float]:
    return float(values[0]), float(values[1])
