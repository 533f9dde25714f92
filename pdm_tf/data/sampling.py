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


class Draw(NamedTuple):
    """What sample i is; int64 scalars.

    Attributes:
      image: index of the image, 0..count-1.
      top, left: first row and column of the crop.
      symmetry: 0..7, see `core.geometry`.
    """

    image: tf.Tensor
    top: tf.Tensor
    left: tf.Tensor
    symmetry: tf.Tensor


def draw_sample(
    index: tf.Tensor, sizes: np.ndarray, *, patch: int, seed: int, stream: str
) -> Draw:
    """Draws sample `index`; uniform over crops and symmetries.

    Args:
      index: int64 scalar, the global sample index, >= 0.
      sizes: [count, 2] int64 (height, width), each at least `patch`.
      patch: side of the crop in pixels.
      seed: the run's seed.
      stream: name of the stream; streams are independent of one another.
    """
    image = _pick_image(index, len(sizes), _key(seed, f"data/{stream}/image"))
    room = tf.gather(tf.constant(sizes), image) - patch + 1
    bits = tf.random.stateless_uniform(
        [3],
        seed=tf.stack([_key(seed, f"data/{stream}/crop"), index]),
        minval=None,
        maxval=None,
        dtype=tf.uint32,
    )
    # 32 bits modulo a few thousand: uniform to about one in a million.
    bits = tf.cast(bits, tf.int64)
    return Draw(image, bits[0] % room[0], bits[1] % room[1], bits[2] % D4_COUNT)


def apply_symmetry(image: tf.Tensor, symmetry: tf.Tensor) -> tf.Tensor:
    """`core.geometry.d4` of a square [P, P, C] tensor, with the index a tensor."""
    flip, turns = symmetry // 4, symmetry % 4
    odd = turns % 2
    # Counter-clockwise: one turn is transpose, then upside down; three are transpose,
    # then left-right; two are both. A flip before a transpose is an upside down after.
    upside_down = (turns == 1) | (turns == 2)
    left_right = (turns == 2) | (turns == 3)
    flipped, is_odd = flip == 1, odd == 1
    upside_down = tf.math.logical_xor(upside_down, flipped & is_odd)
    left_right = tf.math.logical_xor(left_right, flipped & ~is_odd)
    order = tf.stack([odd, 1 - odd, tf.constant(2, odd.dtype)])
    image = tf.transpose(image, tf.cast(order, tf.int32))
    dims = tf.stack([upside_down, left_right, tf.constant(False)])
    return tf.raw_ops.Reverse(tensor=image, dims=dims)


def _pick_image(index: tf.Tensor, count: int, key: int) -> tf.Tensor:
    epoch, place = index // count, index % count
    seed = tf.stack([tf.constant(key, tf.int64), epoch])
    image = tf.random.experimental.index_shuffle(
        place, seed, tf.constant(count - 1, tf.int64)
    )
    # For a few hundred images the cipher behind index_shuffle knows but 256 orders;
    # a drawn rotation makes them 256 * count and each image equally likely anywhere.
    turn = tf.random.stateless_uniform(
        [], seed=seed, minval=None, maxval=None, dtype=tf.uint32
    )
    return (image + tf.cast(turn, tf.int64)) % count


def _key(seed: int, name: str) -> int:
    first, second = stream_seed(seed, name)
    return (first << 31) | second
