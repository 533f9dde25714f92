"""Learning rates as functions of the step.

Schedules follow the global step and not `optimizer.iterations`: the latter stands still
when a loss-scaled optimizer skips a step, and differs between the optimizers of a
method that trains its networks one after the other.
"""

from collections.abc import Sequence

import tensorflow as tf


def piecewise_learning_rate(
    step: tf.Tensor, base: float, milestones: Sequence[int], decay: float
) -> tf.Tensor:
    """Returns `base` times `decay` for every milestone that has been reached.

    Luo et al. 2022 (arXiv:2203.04962), section 4.1: halved at 50k, 100k and 150k steps.

    Args:
      step: int64 scalar, index of the step counted from 0: step m is the first one with
        the rate lowered by milestone m, so m steps are taken before.
      base: rate at the start.
      milestones: rising steps; may be empty.
      decay: factor at each milestone.

    Returns:
      float32 scalar.
    """
    step = tf.cast(step, tf.int64)
    limits = tf.constant(list(milestones), dtype=tf.int64)
    reached = tf.math.count_nonzero(step >= limits, dtype=tf.float64)
    rate = tf.constant(base, tf.float64) * tf.constant(decay, tf.float64) ** reached
    return tf.cast(rate, tf.float32)
