"""The part of a step that learns super-resolution, given pairs.

PDM-SR and PDM-SRGAN differ in this part alone: which networks it trains besides the SR
network, and by which losses.
"""

from collections.abc import Mapping
from typing import Protocol

import keras
import tensorflow as tf

from pdm_tf.losses import l1_loss
from pdm_tf.methods.base import StepResult

Optimizers = Mapping[str, keras.optimizers.Optimizer]


class SRPart(Protocol):
    """Trains an SR network on pairs.

    Attributes:
      networks: the trained networks, built; "sr" is the one to use afterwards.
    """

    networks: Mapping[str, keras.Model]

    def learn(self, lr: tf.Tensor, hr: tf.Tensor, optimizers: Optimizers) -> StepResult:
        """Computes losses of a step, and their gradients for `networks` alone.

        Args:
          lr: [B, h, w, 3] float32 in [0, 1], 8-bit values; a constant.
          hr: [B, h * s, w * s, 3] float32 in [0, 1]; a constant.
          optimizers: name of a network -> its optimiser, for `scale_loss`.
        """
        ...


class PixelSR:
    """Minimises |SR(lr) - hr|: the SR part of PDM-SR and all of supervised training.

    Args:
      sr: built SR network.
    """

    def __init__(self, sr: keras.Model) -> None:
        self.networks: Mapping[str, keras.Model] = {"sr": sr}

    def learn(self, lr: tf.Tensor, hr: tf.Tensor, optimizers: Optimizers) -> StepResult:
        """Computes the mean absolute difference and its gradient."""
        sr = self.networks["sr"]
        with tf.GradientTape() as tape:
            loss = l1_loss(sr(lr, training=True), hr)
            scaled = optimizers["sr"].scale_loss(loss)
        gradient = tape.gradient(scaled, sr.trainable_variables)
        return StepResult({"loss/sr_l1": loss}, {"sr": gradient})
