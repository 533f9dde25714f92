"""What the training loop expects of a method.

A method is one paper's algorithm: which networks, which data streams, and one training
step. The loop never names a method; it talks to this protocol.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

Batch = Mapping[str, tf.Tensor]
Scalars = dict[str, tf.Tensor]
TrainStep = Callable[[Batch, tf.Tensor], Scalars]


class Method(Protocol):
    """One way to train.

    Attributes:
      name: as in `--method`.
      patches: stream name -> side of the square patches that the method wants, in the
        pixels of that stream. Streams: "hr", "real_lr" (unpaired), "lr" (of pairs).
      networks: all networks, built; what is checkpointed.
      optimizers: all optimisers, built; what is checkpointed.
      extra_state: other variables to checkpoint.
    """

    name: str
    patches: Mapping[str, int]
    networks: Mapping[str, keras.Model]
    optimizers: Mapping[str, keras.optimizers.Optimizer]
    extra_state: Mapping[str, Any]

    def train_step_for(self, step: int) -> TrainStep:
        """The function to trace for this step; one and the same within a phase.

        It takes the batch and the step's index (scalar int64 tensor, from 0), updates
        the networks, and returns scalars named "loss/..." and "stat/...".
        """
        ...

    def deployable(self) -> Mapping[str, keras.Model]:
        """Networks that leave training as bundles, e.g. {"sr": ..., "pdm": ...}."""
        ...

    def ema_networks(self) -> Mapping[str, keras.Model]:
        """Networks whose weights are also averaged over time."""
        ...

    def previews(self, batch: Batch, step: int) -> Mapping[str, np.ndarray]:
        """Pictures for people: name -> uint8 [H, W, 3]."""
        ...
