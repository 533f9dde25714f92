"""The interface between training methods and the training loop.

A method is one paper's algorithm: which networks, which data streams, and the gradients
of one training step. The loop never names a method; it talks to `Method`. Since a
step only computes gradients, the loop can sum them over parts of a batch or over
replicas before it lets the optimisers move anything.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

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
    "NotNeeded",
    "PrepareBatch",
    "Role",
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
    """A fault that a method has noticed.

    Attributes:
      cause: in one word, e.g. "kernels_alike".
      value: what was measured.
      threshold: `value` beyond it is a finding.
      what: what is seen, and what `value` measures.
      advice: what to do, in whole sentences.
    """

    cause: str
    value: float
    threshold: float
    what: str
    advice: str


class Health(NamedTuple):
    """A method's verdict on its own networks.

    Attributes:
      numbers: "alarm/<cause>" -> what was measured.
      findings: the numbers beyond their thresholds.
    """

    numbers: Mapping[str, float]
    findings: tuple[Finding, ...]


TrainStep = Callable[[Batch, tf.Tensor, BatchShard], StepResult]
PrepareBatch = Callable[[Batch, tf.Tensor, BatchShard], Batch]


class Role(NamedTuple):
    """A part from which a method is made, usually a network.

    Attributes:
      kind: role of the network, as in `bundles.networks.NETWORKS`: "sr", "degradation",
        "discriminator", "features" or "lpips".
      default: name of the network or predefined degradation where no flag names one.
      settings: settings that the method decides and flags of the part may not set.
      sees: whether a discriminator judges "hr" or "lr" patches.
      frozen: why it is not trained, as a flag says it, e.g. "training=sr"; such a part
        must be given. Empty for a part that is trained.
      goes_on: why it must be given although it is trained, likewise, e.g.
        "training=second"; else empty.
      paper: settings of the default network in the method's paper, where they differ
        from the network's own; flags may replace them.
    """

    kind: str
    default: str
    settings: Mapping[str, Any] = {}
    sees: Literal["hr", "lr"] = "hr"
    frozen: str = ""
    goes_on: str = ""
    paper: Mapping[str, Any] = {}


class NotNeeded(NamedTuple):
    """The reason why a method does not use a part or stream, whose flags are refused.

    Attributes:
      reason: as a flag says it, e.g. "training=sr".
    """

    reason: str


class Method:
    """One way to train: the base of all methods.

    A method consists of its settings, the parts that it is made with (`roles`, in the
    order in which they are built), the streams that it reads, and `train_step_for`. The
    defaults here suit a method for everything else.

    Attributes:
      name: as in `--method`.
      config_class: frozen dataclass of the settings; its `paper()`, if it has one, is
        what --preset=paper starts from.
      patches: stream name -> side of the square patches that the method wants, in the
        pixels of that stream. Streams: "hr", "real_lr" (unpaired), "source_hr" (the
        photographs of "real_lr", as HR images), "lr" (of pairs).
      grid: where the LR pixels lie that the SR network learns from, see
        `core.geometry`; "auto": as recorded with the pairs; None: unknown.
      networks: all networks, built; what is checkpointed.
      optimizers: all optimisers, built; what is checkpointed.
      extra_state: other variables to checkpoint, e.g. a buffer of earlier fakes.
      prepare_batch: (batch, index of the step, shard) -> the batch that the step gets,
        with other images or more of them. The input pipeline calls it, on the host's
        processors and ahead of the steps; what is random follows the step, as in the
        step itself. None: steps get what was read.
    """

    name: ClassVar[str]
    config_class: ClassVar[type]
    patches: Mapping[str, int]
    grid: str | None = "auto"
    networks: Mapping[str, keras.Model]
    optimizers: Mapping[str, keras.optimizers.Optimizer]
    extra_state: Mapping[str, Any] = {}
    prepare_batch: PrepareBatch | None = None

    @classmethod
    def roles(cls, settings: Any) -> Mapping[str, Role | NotNeeded]:
        """Names the parts that a method of these settings is made with."""
        raise NotImplementedError

    @classmethod
    def streams(cls, settings: Any) -> Mapping[str, str | NotNeeded]:
        """Maps each stream to what it is needed for, or to why it is not.

        The values end the sentence "--lr_dir is required ...". A stream that is not
        named is not read, and its folder may be given all the same.
        """
        del settings
        return {"hr": ""}

    @classmethod
    def make(
        cls, settings: Any, parts: Mapping[str, Any], common: Mapping[str, Any]
    ) -> "Method":
        """Makes the method.

        Args:
          settings: of `config_class`.
          parts: one for each `Role` of `roles`.
          common: scale, lr_patch, learning_rate, clip_norm and seed.

        Raises:
          UserError: the parts do not fit the settings.
        """
        return cls(settings, **parts, **common)

    def train_step_for(self, step: int) -> TrainStep:
        """Returns the function to trace for this step; one for all of a phase.

        It takes the batch, the step's index (scalar int64 tensor, from 0) and which
        shard of the global batch this is. It changes no trainable variable; networks
        whose gradients it returns have an optimiser of that name. Conditions on tensors
        are written as `tf.cond`: no AutoGraph looks for them in `if`.
        """
        raise NotImplementedError

    def rate_factors_for(self, step: int) -> Mapping[str, float]:
        """Maps optimisers to their learning rates relative to that of the schedule.

        It is 1 for those that are not named, and the same for all steps of a phase.
        """
        del step
        return {}

    def deployable(self) -> Mapping[str, keras.Model]:
        """Names the networks that leave training as bundles; "sr" is the product."""
        return {"sr": self.networks["sr"]}

    def ema_networks(self) -> Mapping[str, keras.Model]:
        """Names the networks whose weights are also averaged over time."""
        return self.deployable()

    def unaveraged(self) -> Sequence[keras.Variable]:
        """Lists the variables that the average copies instead of averaging."""
        return ()

    def health(self, fixed_batch: Callable[[], Batch]) -> Health | None:
        """Checks whether the trained networks have collapsed.

        `fixed_batch` returns a batch that is always the same, for methods that need
        one. Returns None if nothing of this method can collapse; it is then not called
        again. It is called now and then, outside the graph.
        """
        del fixed_batch
        return None

    def previews(self, batch: Batch, step: int) -> Mapping[str, np.ndarray]:
        """Draws pictures for people: name -> uint8 [H, W, 3]."""
        del batch, step
        return {}
