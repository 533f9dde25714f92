"""What the training loop expects of a method.

A method is one paper's algorithm: which networks, which data streams, and the gradients
of one training step. The loop never names a method; it talks to this protocol. Since a
step only computes gradients, the loop can sum them over parts of a batch or over
replicas before it lets the optimisers move anything.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.degradations.base import FULL_BATCH, BatchShard

Batch = Mapping[str, tf.Tensor]
Scalars = dict[str, tf.Tensor]
Gradients = dict[str, list[tf.Tensor | None]]

__all__ = [
    "FULL_BATCH",
    "Batch",
    "BatchShard",
    "Finding",
    "Gradients",
    "Health",
    "Method",
    "Scalars",
    "StepResult",
    "TrainStep",
]


class StepResult(NamedTuple):
    """Result of one step: scalars and gradients.

    Attributes:
      scalars: means over the batch, named "loss/..." and "stat/...".
      gradients: network name -> one for each of its trainable variables (None where the
        loss does not depend on it), of the loss as `optimizer.scale_loss` returns it.
    """

    scalars: Scalars
    gradients: Gradients


class Finding(NamedTuple):
    """Something that a method thinks has gone wrong.

    Attributes:
      cause: in one word, e.g. "kernels_alike".
      value: what was measured.
      threshold: beyond which it is a finding.
      what: what is seen, and of what `value` is the measure.
      advice: what to do, in whole sentences.
    """

    cause: str
    value: float
    threshold: float
    what: str
    advice: str


class Health(NamedTuple):
    """How a method finds its networks.

    Attributes:
      numbers: "alarm/<cause>" -> what was measured.
      findings: those beyond their thresholds.
    """

    numbers: Mapping[str, float]
    findings: tuple[Finding, ...]


TrainStep = Callable[[Batch, tf.Tensor, BatchShard], StepResult]


class Method(Protocol):
    """One way to train.

    Attributes:
      name: as in `--method`.
      patches: stream name -> side of the square patches that the method wants, in the
        pixels of that stream. Streams: "hr", "real_lr" (unpaired), "lr" (of pairs).
      networks: all networks, built; what is checkpointed.
      optimizers: all optimisers, built; what is checkpointed.
      rate_factors: name of an optimiser -> its learning rate relative to that of the
        schedule; 1 where there is none.
      extra_state: other variables to checkpoint.
    """

    name: str
    patches: Mapping[str, int]
    networks: Mapping[str, keras.Model]
    optimizers: Mapping[str, keras.optimizers.Optimizer]
    rate_factors: Mapping[str, float]
    extra_state: Mapping[str, Any]

    def train_step_for(self, step: int) -> TrainStep:
        """The function to trace for this step; one and the same within a phase.

        It takes the batch, the step's index (scalar int64 tensor, from 0) and which
        shard of the global batch this is. It changes no trainable variable; networks
        whose gradients it returns have an optimiser of that name.
        """
        ...

    def deployable(self) -> Mapping[str, keras.Model]:
        """Networks that leave training as bundles, e.g. {"sr": ..., "pdm": ...}."""
        ...

    def ema_networks(self) -> Mapping[str, keras.Model]:
        """Networks whose weights are also averaged over time."""
        ...

    def unaveraged(self) -> Sequence[keras.Variable]:
        """Variables of these networks of which the average takes the last value."""
        ...

    def health(self, fixed_batch: Callable[[], Batch]) -> Health | None:
        """Whether what is trained has collapsed.

        `fixed_batch` returns a batch that is always the same, for those who need one.
        None: nothing of this method can collapse, and it need not be asked again.
        Called now and then, outside the graph.
        """
        ...

    def previews(self, batch: Batch, step: int) -> Mapping[str, np.ndarray]:
        """Pictures for people: name -> uint8 [H, W, 3]."""
        ...
