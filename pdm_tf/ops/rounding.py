"""Roundings that gradients can pass.

All are exact in the forward direction and differ in what they call their slope; which
one suits a use is measured where it is used (`ops.jpeg`).
"""

import tensorflow as tf


@tf.custom_gradient
def round_half_up(x: tf.Tensor) -> tuple[tf.Tensor, object]:
    """floor(x + 1/2), as integer arithmetic with a shift rounds; slope 1."""
    return tf.floor(x + 0.5), lambda upstream: upstream


@tf.custom_gradient
def round_down(x: tf.Tensor) -> tuple[tf.Tensor, object]:
    """floor(x), as integer division of positive numbers; slope 1."""
    return tf.floor(x), lambda upstream: upstream


def _half_away(x: tf.Tensor) -> tf.Tensor:
    return tf.sign(x) * tf.floor(tf.abs(x) + 0.5)


@tf.custom_gradient
def round_half_away(x: tf.Tensor) -> tuple[tf.Tensor, object]:
    """Nearest integer, halves away from zero; slope 1."""
    return _half_away(x), lambda upstream: upstream


@tf.custom_gradient
def round_half_away_cubic(x: tf.Tensor) -> tuple[tf.Tensor, object]:
    """The same with the slope 3 (x - round(x))^2.

    That of round(x) + (x - round(x))^3, by which Shin and Song ("JPEG-resistant
    Adversarial Images", NIPS 2017 workshop) replace rounding; here it is the gradient
    alone.
    """
    rounded = _half_away(x)
    slope = 3.0 * tf.square(x - rounded)
    return rounded, lambda upstream: upstream * slope


@tf.custom_gradient
def round_half_away_threshold(x: tf.Tensor) -> tuple[tf.Tensor, object]:
    """The same with the slope 17 (2 |x - round(x)|)^16: steep where it jumps.

    The true derivative of rounding is a unit impulse at each threshold. This one is
    that impulse widened: it integrates to 1 over each step as the impulse does (the
    cubic's slope only to 1/4) and is all but zero away from thresholds, in the wide
    middle of the zero bin above all, where most coefficients of a photograph lie.
    """
    rounded = _half_away(x)
    slope = 17.0 * tf.pow(2.0 * tf.abs(x - rounded), 16.0)
    return rounded, lambda upstream: upstream * slope
