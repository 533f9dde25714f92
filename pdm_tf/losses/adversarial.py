"""Least-squares GAN losses (Mao et al. 2017, arXiv:1611.04076), as PDM uses them.

Discriminators return raw logits; the target is 1 for real and 0 for generated images.
"""

import tensorflow as tf


def lsgan_generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """mean((D(fake) - 1)^2).

    Args:
      fake_logits: any shape, raw discriminator output on generated images.

    Returns:
      Scalar float32, 0 when the discriminator takes every fake for real.
    """
    return tf.reduce_mean(tf.square(tf.cast(fake_logits, tf.float32) - 1.0))


def lsgan_discriminator_loss(
    real_logits: tf.Tensor, fake_logits: tf.Tensor
) -> tf.Tensor:
    """Mean of the real half, (D(real) - 1)^2, and the fake half, D(fake)^2.

    Args:
      real_logits: any shape, raw output on observed images.
      fake_logits: any shape, raw output on generated images.

    Returns:
      Scalar float32: 0 when perfect, 0.25 for a discriminator that answers 1/2.
    """
    real = tf.reduce_mean(tf.square(tf.cast(real_logits, tf.float32) - 1.0))
    fake = tf.reduce_mean(tf.square(tf.cast(fake_logits, tf.float32)))
    return 0.5 * (real + fake)
