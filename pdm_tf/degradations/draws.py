"""Random numbers of degradations: streams of a seed, one row for each image.

Each call takes the next stream of the seed, so numbers depend on the seed, on the order
of the calls, and on the row, not on how many rows there are.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


class Draws:
    """Draws for `batch` images, as a function of the seed."""

    def __init__(self, batch: int | tf.Tensor, seed: tf.Tensor) -> None:
        self._batch, self._seed = batch, tf.cast(seed, tf.int32)
        self._streams = 0

    def uniform(
        self, low: float | tf.Tensor, high: float | tf.Tensor, *shape: int
    ) -> tf.Tensor:
        """[B, *shape] float32 in [low, high)."""
        unit = tf.random.stateless_uniform([self._batch, *shape], self._next())
        return low + (high - low) * unit

    def integers(self, first: int, last: int, *shape: int) -> tf.Tensor:
        """[B, *shape] int32, all of first..last equally likely."""
        return tf.random.stateless_uniform(
            [self._batch, *shape], self._next(), first, last + 1, tf.int32
        )

    def chance(self, probability: float, *shape: int) -> tf.Tensor:
        """[B, *shape] truth values."""
        return self.uniform(0.0, 1.0, *shape) < probability

    def choice(self, probabilities: Sequence[float], *shape: int) -> tf.Tensor:
        """[B, *shape] int32 indices of `probabilities`, which sum to 1."""
        limits = np.cumsum(probabilities)[:-1].astype(np.float32)
        unit = self.uniform(0.0, 1.0, *shape)[..., None]
        return tf.reduce_sum(tf.cast(unit >= limits, tf.int32), axis=-1)

    def seeds(self) -> tf.Tensor:
        """[B, 2] int32, for fields of noise whose size is not known yet."""
        shape = [self._batch, 2]
        return tf.random.stateless_uniform(shape, self._next(), None, None, tf.int32)

    def _next(self) -> tf.Tensor:
        self._streams += 1
        return folded(self._seed, self._streams)


def folded(seed: tf.Tensor, stream: int | tf.Tensor) -> tf.Tensor:
    """Returns the seed, [2] int32, of one of the streams of a seed."""
    return tf.random.experimental.stateless_fold_in(tf.cast(seed, tf.int32), stream)
