"""Losses between two images of the same scene."""

import tensorflow as tf


def l1_loss(sr: tf.Tensor, hr: tf.Tensor) -> tf.Tensor:
    """Mean absolute difference.

    Args:
      sr: [B, H, W, C] float32.
      hr: same shape.

    Returns:
      Scalar float32 in the images' unit.

    Raises:
      ValueError: the static shapes differ (broadcasting would hide it).
    """
    if not sr.shape.is_compatible_with(hr.shape):
        raise ValueError(
            "`sr` and `hr` must have one shape. "
            f"Received: {tuple(sr.shape)} and {tuple(hr.shape)}."
        )
    return tf.reduce_mean(tf.abs(tf.cast(sr, tf.float32) - tf.cast(hr, tf.float32)))
