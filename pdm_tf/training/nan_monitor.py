"""Detects that training has diverged, and at which step, without a fetch per step.

Fetching a loss from an accelerator after every step would stall it. So the step's graph
itself notes, in two variables, the first step whose loss was not finite and which loss
it was; the loop reads them now and then, and always before it writes a checkpoint.
"""

from collections.abc import Mapping

import keras
import tensorflow as tf


class NonFiniteLossError(RuntimeError):
    """A loss or a weight became nan or infinite.

    Attributes:
      name: the scalar ("loss/g_adv") or the network of the weight ("weights of sr").
      step: the first step (counted from 1) where it was seen.
    """

    def __init__(self, name: str, step: int) -> None:
        super().__init__(f"{name} is not finite (nan or infinite) at step {step}.")
        self.name = name
        self.step = step


class LossMonitor:
    """Remembers, on the device, the first non-finite loss."""

    def __init__(self) -> None:
        self._names: list[str] = []  # of all phases; filled while tracing
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._index = tf.Variable(0, dtype=tf.int64, trainable=False)

    def watch(self, losses: Mapping[str, tf.Tensor], step: tf.Tensor) -> None:
        """Records the first non-finite one of `losses`. Call it in the step's graph.

        Args:
          losses: name -> scalar of any float type.
          step: int64 scalar, index of the step counted from 0.
        """
        if not losses:
            return
        offset = len(self._names)
        self._names.extend(losses)
        bad = tf.stack([~tf.math.is_finite(loss) for loss in losses.values()])
        is_first = tf.reduce_any(bad) & (self._step == 0)
        index = offset + tf.argmax(tf.cast(bad, tf.int32))
        self._index.assign(tf.where(is_first, index, self._index))
        self._step.assign(tf.where(is_first, step + 1, self._step))

    def check(self) -> None:
        """Checks the record.

        Raises:
          NonFiniteLossError: a loss was not finite at some step since the start.
        """
        step = int(self._step)
        if step:
            raise NonFiniteLossError(self._names[int(self._index)], step)


def _all_finite(values: list[tf.Tensor]) -> bool:
    # Not one graph for all: relaxed over networks that differ, it failed in its All
    # node with InvalidArgumentError.
    return all(bool(tf.reduce_all(tf.math.is_finite(value))) for value in values)


def check_weights(networks: Mapping[str, keras.Model], step: int) -> None:
    """Checks every weight; a bad gradient spoils them while the loss is still fine.

    Args:
      networks: name -> network.
      step: steps taken, for the message.

    Raises:
      NonFiniteLossError: a weight is not finite; `name` names its network.
    """
    for name, network in networks.items():
        values = [
            v.value for v in network.variables if tf.as_dtype(v.dtype).is_floating
        ]
        if not _all_finite(values):
            raise NonFiniteLossError(f"weights of {name}", step)
