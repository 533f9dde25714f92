"""From the kernel that KernelGAN found to the one of a pool.

Bell-Kligler et al. 2019 (arXiv:1909.06581), with the constants of the authors' code:
small taps are cut off; the kernel for 4 follows from that for 2; the centre of mass
goes where the sampling grid has it.
"""

import numpy as np
from scipy.ndimage import shift

from pdm_tf.core.imresize import resize_weights
from pdm_tf.core.kernel_shapes import covariance_roots, kernel_moments, second_moments

_KEPT_TAPS = 40
_CUT = 0.75
_CENTRED_PX = 1e-3


def significant(kernel: np.ndarray) -> np.ndarray:
    """Cuts off the small taps: 0.75 of the 41st largest is subtracted from all.

    Args:
      kernel: [K, K], of any sum and sign.

    Returns:
      [K, K] float64, not negative, of sum 1.

    Raises:
      ValueError: nothing is left, or a value is not finite.
    """
    kernel = np.asarray(kernel, np.float64)
    if not np.all(np.isfinite(kernel)):
        raise ValueError("`kernel` must be finite. Received: NaN or infinity.")
    ordered = np.sort(kernel, axis=None)
    least = _CUT * ordered[-min(_KEPT_TAPS + 1, ordered.size)]
    kept = np.clip(kernel - least, 0.0, None)
    if kept.sum() <= 0:
        raise ValueError("A kernel must have positive taps. Received: none.")
    return kept / kept.sum()


def twice(kernel: np.ndarray) -> np.ndarray:
    """The kernel that does in one step by 4 what `kernel` does in two steps by 2.

    The second reduction's tap j lies 2 j pixels away before the first one.

    Args:
      kernel: [K, K].

    Returns:
      [3K-2, 3K-2] float64.
    """
    side = len(kernel)
    large = np.zeros([3 * side - 2] * 2)
    for y in range(side):
        for x in range(side):
            large[2 * y : 2 * y + side, 2 * x : 2 * x + side] += kernel[y, x] * kernel
    return large


def placed(kernel: np.ndarray, side: int, offset: float = 0.0) -> np.ndarray:
    """Moves the centre of mass, by cubic splines, and cuts to `side` taps.

    Args:
      kernel: [n, n], not negative, with a positive sum.
      side: K of the result, odd.
      offset: how far right of and below the middle tap the centre of mass is to lie.

    Returns:
      [K, K] float64, not negative, of sum 1, its centre of mass where it should be
      (where mass was cut off: as near as a few repetitions bring it).

    Raises:
      ValueError: an even side.
    """
    if side % 2 == 0:
        raise ValueError(f"`side` must be odd. Received: {side}.")
    found = np.asarray(kernel, np.float64)
    room = max(side, len(found)) + 2
    whole = _on_canvas(found, 2 * room + 1)
    move = np.zeros(2)
    # Cutting, and clipping the splines' overshoot, move the centre a little. The whole
    # kernel is moved each time, so that repetitions do not blur it.
    for _ in range(5):
        cut = _cut(shift(whole, move, order=3).clip(0.0), side)
        away = offset - kernel_moments(cut[None]).offset[0]
        if np.abs(away).max() < _CENTRED_PX:
            break
        move += away
    return cut


def bicubic_kernel(side: int) -> np.ndarray:
    """[K, K]: what halves pictures bicubically, its centre on K // 2 + 1/2; K odd."""
    weights, _ = resize_weights(64, 32, 0.5)
    row = np.zeros(side)
    taps = weights[16]
    first = side // 2 + 1 - len(taps) // 2
    row[first : first + len(taps)] = taps
    return np.outer(row, row)


def mass_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Half the sum of |difference|: 0 for equal kernels, 1 for ones apart."""
    return float(0.5 * np.abs(one - other).sum())


def width_distance(one: np.ndarray, other: np.ndarray) -> float:
    """Distance of the kernels' widths and directions, in their pixels.

    That of the roots of their covariances, over sqrt(2): for round kernels the
    difference of their standard deviations.
    """
    roots = covariance_roots(second_moments(np.stack([one, other])))
    return float(np.linalg.norm(roots[0] - roots[1]) / np.sqrt(2.0))


def _on_canvas(kernel: np.ndarray, side: int) -> np.ndarray:
    """The kernel amidst zeros, its centre of mass on the middle tap but for a pixel."""
    rows, columns = kernel.sum(1), kernel.sum(0)
    places = [np.arange(len(part)) @ part / part.sum() for part in (rows, columns)]
    top, left = (side // 2 - round(place) for place in places)
    canvas = np.zeros([side, side])
    canvas[top : top + len(kernel), left : left + len(kernel)] = kernel
    return canvas


def _cut(kernel: np.ndarray, side: int) -> np.ndarray:
    first = len(kernel) // 2 - side // 2
    cut = kernel[first : first + side, first : first + side]
    return cut / cut.sum()
