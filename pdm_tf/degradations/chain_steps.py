"""How a predefined chain of steps is carried out on each image of a batch.

Images go through it one by one, since each has an order of steps and sizes of its own.
Between steps an image is [H, W, 3] float32, of any size.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import tensorflow as tf

Step = Callable[[tf.Tensor], tf.Tensor]
Draws = TypeVar("Draws")


def in_order(image: tf.Tensor, order: tf.Tensor, steps: Sequence[Step]) -> tf.Tensor:
    """Carries steps out one after the other.

    Args:
      image: [H, W, 3].
      order: [len(steps)] int32, numbers of the steps.
      steps: functions of the image; they may change its size.

    Returns:
      [H', W', 3].
    """

    def one(index: tf.Tensor, current: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        branches = [lambda step=step: step(current) for step in steps]
        changed = tf.switch_case(order[index], branches)
        return index + 1, tf.ensure_shape(changed, [None, None, 3])

    _, image = tf.while_loop(
        lambda index, _: index < len(steps),
        one,
        (tf.constant(0), image),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None, 3])),
    )
    return image


def each_image(
    degrade: Callable[[tf.Tensor, Draws], tf.Tensor],
    hr: tf.Tensor,
    draws: Draws,
    scale: int,
) -> tf.Tensor:
    """Degrades a batch image by image, so that none depends on another.

    Args:
      degrade: ([H, W, 3], draws of one image) -> [H / scale, W / scale, 3].
      hr: [B, H, W, 3] float; computed in float32.
      draws: nested tensors [B, ...].
      scale: downsampling factor.

    Returns:
      [B, H / scale, W / scale, 3] float32.
    """
    batch, *sides = hr.shape[:3]
    size = [None if side is None else side // scale for side in sides]
    lr = tf.map_fn(
        lambda row: tf.ensure_shape(degrade(*row), [*size, 3]),
        (tf.cast(hr, tf.float32), draws),
        fn_output_signature=tf.TensorSpec([*size, 3], tf.float32),
    )
    return tf.ensure_shape(lr, [batch, *size, 3])


def unflatten(draws: type[Draws], latents: Sequence[tf.Tensor]) -> Draws:
    """Inverts tf.nest.flatten for a NamedTuple whose fields may be NamedTuples."""
    latents = list(latents)

    def take(kind: type) -> tuple:
        values = []
        for field in kind._fields:
            inner = kind.__annotations__[field]
            nested = hasattr(inner, "_fields")
            values.append(take(inner) if nested else latents.pop(0))
        return kind(*values)

    return take(draws)
