"""Learned blur kernels beside true ones: a picture and a few numbers.

The drawing itself is in `core/draw.py`, which the methods' previews use too.
"""

from collections.abc import Sequence

import numpy as np

from pdm_tf.core import draw
from pdm_tf.core.draw import kernel_gallery
from pdm_tf.core.kernel_shapes import KernelMoments, kernel_moments

__all__ = ["KernelMoments", "kernel_comparison", "kernel_gallery", "kernel_moments"]


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
