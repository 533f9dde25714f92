"""Bicubic downsampling that equals MATLAB's imresize, as two matrix products.

The weights come from `core.imresize`; TensorFlow's own bicubic is another operator
(its antialiased weights differ), so pairs made with it would not match the public
"bicubic" data sets.
"""

import functools

import numpy as np
import tensorflow as tf

from pdm_tf.core.imresize import resize_weights


def bicubic_downsample(
    hr: tf.Tensor, scale: int, grid: str = "half_pixel"
) -> tf.Tensor:
    """MATLAB's imresize(hr, 1/scale, "bicubic") for a batch.

    Args:
      hr: [B, H, W, C] float32 with static H and W divisible by `scale`.
      scale: integer factor, >= 1.
      grid: where LR pixel i lies in the HR image, see `core.geometry`: MATLAB's place
        is "half_pixel"; "pixel0" is HR pixel scale * i.

    Returns:
      [B, H/scale, W/scale, C]; may leave the range of `hr` slightly (bicubic rings).

    Raises:
      ValueError: `scale` does not divide H and W, or they are not static.
    """
    height, width = hr.shape[1], hr.shape[2]
    if height is None or width is None or height % scale or width % scale:
        raise ValueError(
            "`scale` must divide H and W, which must be static. "
            f"Received: scale={scale}, shape={tuple(hr.shape)}."
        )
    moved_px = 0.0 if grid == "half_pixel" else (1 - scale) / 2
    rows = tf.constant(_resize_matrix(height, scale, moved_px), hr.dtype)
    columns = tf.constant(_resize_matrix(width, scale, moved_px), hr.dtype)
    return tf.einsum("yh,bhwc,xw->byxc", rows, hr, columns)


@functools.lru_cache(maxsize=32)
def _resize_matrix(length: int, scale: int, moved_px: float) -> np.ndarray:
    """[length/scale, length] dense form of the one-dimensional resize."""
    weights, indices = resize_weights(length, length // scale, 1.0 / scale, moved_px)
    matrix = np.zeros((length // scale, length))
    rows = np.arange(length // scale)[:, None]
    # Mirrored taps at the border can hit one column twice, hence add.at.
    np.add.at(matrix, (np.broadcast_to(rows, indices.shape), indices), weights)
    return matrix
