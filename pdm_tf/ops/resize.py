"""Bicubic downsampling that equals MATLAB's imresize, as two matrix products.

The weights come from `core.imresize`; TensorFlow's own bicubic is another operator
(its antialiased weights differ), so pairs made with it would not match the public
"bicubic" data sets.
"""

import functools

import numpy as np
import tensorflow as tf

from pdm_tf.core.imresize import resize_weights


def bicubic_downsample(hr: tf.Tensor, scale: int) -> tf.Tensor:
    """MATLAB's imresize(hr, 1/scale, "bicubic") for a batch.

    Args:
      hr: [B, H, W, C] float32 with static H and W divisible by `scale`.
      scale: integer factor, >= 1.

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
    rows = tf.constant(_resize_matrix(height, scale), hr.dtype)
    columns = tf.constant(_resize_matrix(width, scale), hr.dtype)
    return tf.einsum("yh,bhwc,xw->byxc", rows, hr, columns)


@functools.lru_cache(maxsize=32)
def _resize_matrix(length: int, scale: int) -> np.ndarray:
    """[length/scale, length] dense form of the one-dimensional resize."""
    weights, indices = resize_weights(length, length // scale, 1.0 / scale)
    matrix = np.zeros((length // scale, length))
    rows = np.arange(length // scale)[:, None]
    # Mirrored taps at the border can hit one column twice, hence add.at.
    np.add.at(matrix, (np.broadcast_to(rows, indices.shape), indices), weights)
    return matrix
