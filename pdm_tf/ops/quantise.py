"""8-bit quantisation, and other roundings, that gradients can pass.

All but `soft_quantise_8bit` are exact in the forward direction and differ in the slope
they pass on; which one suits a use is measured where it is used (`ops.jpeg`).

Real LR images sit on the 8-bit grid and generated ones do not, which a discriminator
notices at once. `quantise_8bit` puts generated images on the grid; `soft_quantise_8bit`
is what the authors' code does when there is no noise module.
"""

import math

import tensorflow as tf


@tf.custom_gradient
def quantise_8bit(image: tf.Tensor) -> tuple[tf.Tensor, object]:
    """Clamps to [0, 1] and rounds to multiples of 1/255, straight-through.

    Args:
      image: any shape, float.

    Returns:
      Same shape. The gradient is 1 inside [0, 1] and 0 outside: where the value was
      clamped, pushing it further out changes nothing.
    """
    inside = tf.logical_and(image >= 0.0, image <= 1.0)
    # floor(x + 0.5) rounds half up, like the writers of 8-bit files; tf.round would
    # round half to even.
    quantised = tf.floor(tf.clip_by_value(image, 0.0, 1.0) * 255.0 + 0.5) / 255.0

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        return tf.where(inside, upstream, tf.zeros_like(upstream))

    return quantised, gradient


@tf.custom_gradient
def quantise_8bit_unmasked(image: tf.Tensor) -> tuple[tf.Tensor, object]:
    """`quantise_8bit` with the release's gradient: 1 everywhere, also where clamped.

    Symmetric noise at white is cut off on one side, so the stronger it is the darker
    white becomes on average. Masked gradients see that, and a discriminator that finds
    white too frequent teaches the noise to grow there; with these gradients the
    contributions from the two sides cancel.
    """
    quantised = tf.floor(tf.clip_by_value(image, 0.0, 1.0) * 255.0 + 0.5) / 255.0
    return quantised, lambda upstream: upstream


def soft_quantise_8bit(image: tf.Tensor, terms: int = 5) -> tf.Tensor:
    """Smooth approximation of the 8-bit staircase, without clamping.

    The released code's treatment of generated LR images when there is no noise module:
    round(x) is x minus a sawtooth, and the sawtooth is replaced by the first terms of
    its Fourier series, sum over n of (-1)^(n+1) sin(2 pi n x) / (pi n).

    Args:
      image: any shape, float in [0, 1].
      terms: number of sines.

    Returns:
      Same shape.
    """
    level = image * 255.0
    sawtooth = tf.zeros_like(level)
    for n in range(1, terms + 1):
        sign = 1.0 if n % 2 else -1.0
        sawtooth += sign * tf.sin(2.0 * math.pi * n * level) / (math.pi * n)
    return (level - sawtooth) / 255.0


@tf.custom_gradient
def round_half_up(x: tf.Tensor) -> tuple[tf.Tensor, object]:
    """floor(x + 1/2), as integer arithmetic with a shift rounds; slope 1."""
    return tf.floor(x + 0.5), lambda upstream: upstream


@tf.custom_gradient
def round_down(x: tf.Tensor) -> tuple[tf.Tensor, object]:
    """floor(x), as integer division of positive numbers; slope 1."""
    return tf.floor(x), lambda upstream: upstream


@tf.custom_gradient
def round_half_away(x: tf.Tensor) -> tuple[tf.Tensor, object]:
    """Nearest integer, halves away from zero; slope 17 (2 |x - round(x)|)^16.

    The slope is steep where the rounding jumps: its true derivative is a unit impulse
    at each threshold, and this one is that impulse widened. It integrates to 1 over
    each step as the impulse does and is all but zero away from thresholds, in the wide
    middle of the zero bin above all, where most coefficients of a photograph lie.
    `ops.jpeg` says why the slope is not 1.
    """
    rounded = tf.sign(x) * tf.floor(tf.abs(x) + 0.5)
    slope = 17.0 * tf.pow(2.0 * tf.abs(x - rounded), 16.0)
    return rounded, lambda upstream: upstream * slope
