"""Learned blur kernels beside true ones: a picture and a few numbers.

The drawing itself is in `core/draw.py`, which the methods' previews use too.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pdm_tf.core import draw
from pdm_tf.core.draw import kernel_gallery

__all__ = ["KernelMoments", "kernel_comparison", "kernel_gallery", "kernel_moments"]


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


def kernel_comparison(
    groups: Sequence[tuple[str, np.ndarray]],
    columns: int = 12,
    rows: int = 2,
    *,
    side: int = 84,
    cross_hair: bool = True,
) -> np.ndarray:
    """Groups of kernels one below the other, each with its title and mean numbers.

    Args:
      groups: (title, kernels [N, K, K]), e.g. [("learned", ...), ("true", ...)].
      columns: kernels per row.
      rows: rows per group; further kernels are counted in the numbers, not drawn.
      side: about the size of one kernel in pixels.
      cross_hair: lines through the middle taps.

    Returns:
      [H, W, 3] uint8.

    Raises:
      ValueError: no group, or kernels that are not [N, K, K].
    """
    pictures = []
    for title, kernels in groups:
        shown = kernels[: columns * rows]
        moments = kernel_moments(kernels)
        dy, dx = moments.offset.mean(axis=0)
        long, short = moments.sigma.mean(axis=0)
        line = (
            f"{title}: {len(shown)} of {len(kernels)}; mean sigma {long:.2f} x "
            f"{short:.2f} px, mean centre {dy:+.2f}, {dx:+.2f} px (dy, dx)"
        )
        picture = kernel_gallery(shown, columns, side=side, cross_hair=cross_hair)
        pictures.append(draw.with_title(picture, line))
    return draw.tile_grid([[picture] for picture in pictures], gap=12, margin=6)
