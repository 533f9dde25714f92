"""Which image, which crop, which symmetry: functions of (seed, stream, sample index).

Nothing here has state. Global sample index i of a stream gives, wherever and whenever
it is asked for, the same draw; so batches do not depend on threads, a resumed run goes
on exactly, and N workers together draw what one would.

Within an epoch (`count` consecutive indices) each image comes once. Its place in the
epoch is a keyed permutation computed for the one index, with no list to shuffle.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pdm_tf.core.geometry import D4_COUNT
from pdm_tf.core.seeds import stream_seed
from pdm_tf.data.symmetry import reversals, without_reversals


class Draw(NamedTuple):
    """What a sample is, or (as vectors) what several are; int64.

    Attributes:
      image: index of the image, 0..count-1.
      top, left: first row and column of the crop.
      symmetry: 0..7, see `core.geometry`.
    """

    image: tf.Tensor
    top: tf.Tensor
    left: tf.Tensor
    symmetry: tf.Tensor


def draw_samples(
    indices: tf.Tensor,
    sizes: np.ndarray,
    *,
    patch: int,
    seed: int,
    stream: str,
    one_before: bool = False,
) -> Draw:
    """Draws the samples `indices`; uniform over crops and symmetries.

    Args:
      indices: [n] int64, global sample indices, >= 0; n known statically.
      sizes: [count, 2] int64 (height, width), each at least `patch`.
      patch: side of the crop in pixels.
      seed: the run's seed.
      stream: name of the stream; streams are independent of one another.
      one_before: whether a crop needs a pixel before it on each axis that its symmetry
        reverses; where an image is as short as the crop, the axis is not reversed.

    Returns:
      Vectors of n.
    """
    images = _pick_images(indices, len(sizes), _key(seed, f"data/{stream}/image"))
    room = tf.gather(tf.constant(sizes), images) - patch + 1
    # 32 bits modulo a few thousand: uniform to about one in a million.
    bits = _bits(_key(seed, f"data/{stream}/crop"), indices, 3)
    symmetries = bits[:, 2] % D4_COUNT
    places = bits[:, :2] % room
    if one_before:
        symmetries = without_reversals(symmetries, room > 1)
        first = reversals(symmetries)
        places = first + bits[:, :2] % (room - first)
    return Draw(images, places[:, 0], places[:, 1], symmetries)


def draw_sample(
    index: tf.Tensor, sizes: np.ndarray, *, patch: int, seed: int, stream: str
) -> Draw:
    """`draw_samples` of one index, all scalars."""
    draw = draw_samples(index[None], sizes, patch=patch, seed=seed, stream=stream)
    return Draw(*(values[0] for values in draw))


def _pick_images(indices: tf.Tensor, count: int, key: int) -> tf.Tensor:
    epochs, places = indices // count, indices % count
    # tf.random.experimental.index_shuffle, which pads seeds so but fails for vectors of
    # seeds (TF 2.21).
    seeds = tf.pad(_seeds(key, epochs), [[0, 0], [1, 0]], constant_values=498247692)
    images = tf.raw_ops.RandomIndexShuffle(
        index=places, seed=seeds, max_index=tf.constant(count - 1, tf.int64), rounds=4
    )
    # For a few hundred images the cipher behind index_shuffle knows but 256 orders;
    # a drawn rotation makes them 256 * count and each image equally likely anywhere.
    return (images + _bits(key, epochs, 1)[:, 0]) % count


def _bits(key: int, numbers: tf.Tensor, count: int) -> tf.Tensor:
    """[n, count] int64 of 32 random bits; row i is a function of (key, numbers[i])."""
    rows = [
        tf.random.stateless_uniform(
            [count], seed=seed, minval=None, maxval=None, dtype=tf.uint32
        )
        for seed in tf.unstack(_seeds(key, numbers))
    ]
    return tf.cast(tf.stack(rows), tf.int64)


def _seeds(key: int, numbers: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.fill(numbers.shape, tf.constant(key, tf.int64)), numbers], 1)


def _key(seed: int, name: str) -> int:
    first, second = stream_seed(seed, name)
    return (first << 31) | second
