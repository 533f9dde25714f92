"""Exponential moving averages of networks' weights.

The average follows the weights inside the training step's graph. Weights of a
GAN-trained network wobble from step to step; their average is smoother and usually
scores better.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import keras
import tensorflow as tf


def ema_decay(step: tf.Tensor, decay: float) -> tf.Tensor:
    """Returns min(decay, (1 + n) / (10 + n)): short memory at first, `decay` later.

    Without the warm-up the average would carry the initial weights for about
    1 / (1 - decay) steps (the rule of TensorFlow's own ExponentialMovingAverage).

    Args:
      step: int64 scalar n, steps taken before this one (0 at the first).
      decay: in [0, 1), the decay in the long run.

    Returns:
      float32 scalar.
    """
    n = tf.cast(step, tf.float32)
    return tf.minimum(tf.constant(decay, tf.float32), (1.0 + n) / (10.0 + n))


class EMA:
    """Averages of the variables of some networks, kept in float32.

    Trainable variables are averaged. The others (moving statistics of batch
    normalisation, which are averages already; seeds) are copied, and so are those that
    the caller names.

    Attributes:
      networks: name -> the network that is followed.
      variables: name -> the averages, in the order of `network.variables`.
    """

    def __init__(
        self,
        networks: Mapping[str, keras.Model],
        decay: float,
        copied: Sequence[keras.Variable] = (),
    ) -> None:
        """Starts at the networks' present weights.

        Args:
          networks: name -> network, built.
          decay: in [0, 1), see `ema_decay`.
          copied: trainable variables of these networks that are not to be averaged.
        """
        self.networks = dict(networks)
        self._copied = {id(variable) for variable in copied}
        self._decay = decay
        self.variables: dict[str, list[tf.Variable]] = {
            name: [
                tf.Variable(
                    tf.cast(v.value, _average_dtype(v)),
                    trainable=False,
                    name=f"ema_{name}_{index}",
                )
                for index, v in enumerate(network.variables)
            ]
            for name, network in self.networks.items()
        }

    def update(self, step: tf.Tensor) -> None:
        """Moves every average towards the present weights. Call it in the step's graph.

        Args:
          step: int64 scalar, steps taken before this one.
        """
        rest = 1.0 - ema_decay(step, self._decay)
        for name, network in self.networks.items():
            for average, variable in zip(
                self.variables[name], network.variables, strict=True
            ):
                value = tf.cast(variable.value, average.dtype)
                averaged = variable.trainable and id(variable) not in self._copied
                if averaged and average.dtype.is_floating:
                    average.assign_sub(tf.cast(rest, average.dtype) * (average - value))
                else:
                    average.assign(value)

    @contextlib.contextmanager
    def applied(self) -> Iterator[Mapping[str, keras.Model]]:
        """Lends the networks the averaged weights while the context is open.

        The same network objects are used, so functions compiled for them are used again
        and no network needs to be cloned. Do not train within.
        """
        own = {
            name: [tf.identity(v.value) for v in network.variables]
            for name, network in self.networks.items()
        }
        try:
            for name, network in self.networks.items():
                _assign(network, self.variables[name])
            yield self.networks
        finally:
            for name, network in self.networks.items():
                _assign(network, own[name])


def _average_dtype(variable: keras.Variable) -> tf.DType:
    dtype = tf.as_dtype(variable.dtype)
    return tf.float32 if dtype.is_floating and dtype.size < 4 else dtype


def _assign(network: keras.Model, values: list[tf.Tensor]) -> None:
    for variable, value in zip(network.variables, values, strict=True):
        variable.value.assign(tf.cast(value, variable.dtype))
