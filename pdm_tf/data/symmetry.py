"""The eight symmetries of a square patch as two fast copies, chosen by tensors.

TensorFlow reverses the middle one of three axes with a plain copy loop, and any other
combination element by element. All four reversals of a patch are of the fast kind, on
the right view of its P*P pixels of C bytes:

    nothing       [P, 1, P*C]    rows of one element each
    upside down   [1, P, P*C]    whole rows in reverse
    left to right [P, P, C]      pixels of each row in reverse
    both          [1, P*P, C]    all pixels in reverse

So the reversal is always the same operation and the view is data; a transpose, which
costs nothing when its order is the identity, does the rest.
"""

import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pdm_tf.core.geometry import D4_COUNT, d4_parts


class Steps(NamedTuple):
    """What makes a symmetry, for one patch or (a row each) for several.

    Attributes:
      view: [3] or [n, 3] int32, the shape whose middle axis is reversed.
      order: [3] or [n, 3] int32, of the axes afterwards.
    """

    view: tf.Tensor
    order: tf.Tensor


def steps_of(symmetry: tf.Tensor, side: int, channels: int) -> Steps:
    """Looks up what to do for symmetries 0..7 (scalar or [n], see `core.geometry`)."""
    views, orders = _tables(side, channels)
    return Steps(
        tf.gather(tf.constant(views), symmetry),
        tf.gather(tf.constant(orders), symmetry),
    )


def apply_steps(patch: tf.Tensor, steps: Steps, side: int) -> tf.Tensor:
    """Returns [P, P, C] of a patch of P*P*C elements (any shape) under one symmetry."""
    patch = tf.raw_ops.Reverse(
        tensor=tf.reshape(patch, steps.view), dims=[False, True, False]
    )
    return tf.transpose(tf.reshape(patch, [side, side, -1]), steps.order)


def apply_symmetry(image: tf.Tensor, symmetry: tf.Tensor) -> tf.Tensor:
    """`core.geometry.d4` of a square [P, P, C] tensor, with the index a tensor."""
    side, _, channels = image.shape
    return apply_steps(image, steps_of(symmetry, side, channels), side)


def reversals(symmetry: tf.Tensor) -> tf.Tensor:
    """Which axes of the crop, before any transposition, symmetries [n] reverse.

    Returns:
      [n, 2] int64 of 0 and 1: down, right.
    """
    parts = np.array([d4_parts(index)[:2] for index in range(D4_COUNT)], np.int64)
    return tf.gather(tf.constant(parts), symmetry)


def without_reversals(symmetry: tf.Tensor, kept: tf.Tensor) -> tf.Tensor:
    """Symmetries [n] that reverse only the axes where `kept`, [n, 2] bool, is true."""
    parts = [d4_parts(index) for index in range(D4_COUNT)]
    # [symmetry, kept down, kept right]
    table = np.array(
        [
            [
                [parts.index((down and k, right and m, swap)) for m in (False, True)]
                for k in (False, True)
            ]
            for down, right, swap in parts
        ],
        np.int64,
    )
    index = tf.concat([symmetry[:, None], tf.cast(kept, tf.int64)], axis=1)
    return tf.gather_nd(tf.constant(table), index)


@functools.cache
def _tables(side: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Views and orders by symmetry, [8, 3] each."""
    views = {
        (False, False): (side, 1, side * channels),
        (True, False): (1, side, side * channels),
        (False, True): (side, side, channels),
        (True, True): (1, side * side, channels),
    }
    orders = {False: (0, 1, 2), True: (1, 0, 2)}
    parts = [d4_parts(index) for index in range(D4_COUNT)]
    return (
        np.array([views[down, right] for down, right, _ in parts], np.int32),
        np.array([orders[transposed] for *_, transposed in parts], np.int32),
    )
