"""Moments of blur kernels: where they lie, how wide they are, and in which direction.

A kernel is read as a distribution of mass over HR pixels. Its place is its centre of
mass, its shape the covariance about it; the covariance's root has the unit HR px.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment


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
    """Covariances of kernels' mass about its centre, so where they lie drops out.

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
      distances: [N, N] ground distances; which is matched with which is found exactly.

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


def moment_distance(learned: np.ndarray, true: np.ndarray) -> float:
    """2-Wasserstein distance between the distributions of centred second moments.

    Exact, by optimal assignment, on the Bures distance (`bures_distances`). Finite sets
    of one distribution are apart too; compare with what a second true set reaches.

    Args:
      learned, true: [N, K, K] kernels, as many of each; K may differ.

    Returns:
      HR px; 0 for equal sets.

    Raises:
      ValueError: unequal numbers.
    """
    return assignment_distance(
        bures_distances(second_moments(learned), second_moments(true))
    )


class MomentSpread(NamedTuple):
    """How much kernels differ in width, HR px.

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
    """What a set of kernels says about itself.

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


def _pair(values: np.ndarray) -> tuple[float, float]:
    return float(values[0]), float(values[1])
