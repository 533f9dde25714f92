"""The graph of training steps: the method's gradients and what surrounds them.

Learning rates follow the global step and not `optimizer.iterations`: the latter stands
still when a loss-scaled optimizer skips a step, and differs between the optimizers of a
method that trains its networks one after the other.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from pdm_tf.methods.base import (
    Batch,
    BatchShard,
    Gradients,
    Method,
    Scalars,
    StepResult,
    TrainStep,
)
from pdm_tf.training.ema import EMA
from pdm_tf.training.nan_monitor import LossMonitor
from pdm_tf.training.replicas import ONE_DEVICE, Replicas


@dataclasses.dataclass(frozen=True)
class StepSettings:
    """How a step is computed, whatever the method.

    Attributes:
      learning_rate: at the start, for all networks.
      lr_milestones: steps after which it is multiplied by `lr_decay`; rising.
      lr_decay: in (0, 1].
      ema_decay: of the averaged weights, in [0, 1), see `ema.ema_decay`.
      accumulate: parts of the batch that are computed one after the other.
      steps_per_call: steps that one call of the graph may take.
      xla: "auto", "on" or "off", see `Replicas.uses_xla`.
    """

    learning_rate: float
    lr_milestones: tuple[int, ...] = ()
    lr_decay: float = 1.0
    ema_decay: float = 0.0
    accumulate: int = 1
    steps_per_call: int = 1
    xla: str = "off"


class StepValues(NamedTuple):
    """The graph's result for its last step.

    Attributes:
      scalars: float32 [n], in the order of `_Phase.names`. One vector: a single
        transfer when the host wants to know.
      stop: float32 scalar, above 0 if any worker was asked to stop.
    """

    scalars: tf.Tensor
    stop: tf.Tensor


class StepFunction:
    """Runs steps: learning rates, gradients, updates, loss monitor, averages.

    All of it is one `tf.function` per phase of the method, traced once: a phase is a
    function that `method.train_step_for` returns, and the index of the step and the
    number of steps to take come in as tensors. The batches are taken from the iterator
    within the graph, so several steps need Python only once.

    Attributes:
      method: gives the step; its networks are trained.
      ema: the averages of its weights.
      monitor: watches its losses.
      rate_scale: float32 variable; every learning rate is multiplied by it.
      settings: how a step is computed.
      replicas: the devices.
    """

    def __init__(
        self,
        method: Method,
        settings: StepSettings,
        replicas: Replicas = ONE_DEVICE,
    ) -> None:
        self.method, self.settings, self.replicas = method, settings, replicas
        self.ema = EMA(method.ema_networks(), settings.ema_decay, method.unaveraged())
        self.monitor = LossMonitor()
        self.rate_scale = tf.Variable(1.0, dtype=tf.float32, trainable=False)
        self._phases: dict[TrainStep, _Phase] = {}
        self._last: tuple[_Phase, StepValues] | None = None

    @property
    def traces(self) -> int:
        """How often Python code was traced; a test checks that it is once per phase."""
        phases = self._phases.values()
        return sum(phase.graph.experimental_get_tracing_count() for phase in phases)

    def __call__(
        self, batches: Iterator[Batch], step: int, count: int = 1, stop: bool = False
    ) -> None:
        """Trains `count` steps, all of one phase.

        Args:
          batches: iterator over a `tf.data.Dataset` of stream name -> [B, P, P, 3]
            float32, or over a distributed one with this worker's part.
          step: index of the first of them, counted from 0.
          count: number of steps, at most `settings.steps_per_call`.
          stop: whether this worker was asked to stop; all learn of it by `stopping`.
        """
        train_step = self.method.train_step_for(step)
        if train_step not in self._phases:
            factors = self.method.rate_factors_for(step)
            self._phases[train_step] = _Phase(self, train_step, factors)
        phase = self._phases[train_step]
        values = phase.graph(
            batches,
            tf.constant(step, tf.int64),
            tf.constant(count),
            tf.constant(float(stop)),
        )
        self._last = (phase, values)

    def fetch(self) -> dict[str, float]:
        """Returns the scalars of the last step; waits for the device."""
        if self._last is None:
            return {}
        phase, values = self._last
        # Via text, to log 0.0002 instead of float32's 0.00019..
        shortest = (float(str(value)) for value in values.scalars.numpy())
        return dict(zip(phase.names, shortest, strict=True))

    def stopping(self) -> bool:
        """Whether any worker was asked to stop before the last call; waits for it."""
        return self._last is not None and bool(self._last[1].stop > 0)


class _Phase:
    """The graph of one phase of the method.

    Attributes:
      graph: (batches, step, count, stop) -> StepValues.
      names: names of the scalars; known once the graph has been traced.
    """

    def __init__(
        self,
        owner: StepFunction,
        train_step: TrainStep,
        rate_factors: Mapping[str, float],
    ) -> None:
        settings = owner.settings
        if owner.replicas.uses_xla(settings.xla):
            train_step = _compiled_by_xla(train_step)
        self._owner, self._train_step = owner, train_step
        self._rate_factors = rate_factors
        self.names: tuple[str, ...] = ()
        # Conditions are written out (tf.cond): to search Python code for more of them
        # takes longer than to make the graph.
        self.graph = tf.function(
            self._one if settings.steps_per_call == 1 else self._several,
            autograph=False,
        )

    def _several(
        self,
        batches: Iterator[Batch],
        step: tf.Tensor,
        count: tf.Tensor,
        stop: tf.Tensor,
    ) -> StepValues:
        def one(k: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, ...]:
            values = self._one(batches, step + tf.cast(k, tf.int64), count, stop)
            return (k + 1, *values)

        _, scalars, stopping = tf.while_loop(
            lambda k, *_: k < count,
            one,
            (tf.constant(0), tf.zeros([0]), stop),
            # The number of scalars is known once the step has been traced.
            (tf.TensorShape([]), tf.TensorShape([None]), tf.TensorShape([])),
        )
        return StepValues(scalars, stopping)

    def _one(
        self,
        batches: Iterator[Batch],
        step: tf.Tensor,
        count: tf.Tensor,
        stop: tf.Tensor,
    ) -> StepValues:
        del count
        owner, settings = self._owner, self._owner.settings
        rate = piecewise_learning_rate(
            step, settings.learning_rate, settings.lr_milestones, settings.lr_decay
        )
        rate *= owner.rate_scale
        for name, optimizer in owner.method.optimizers.items():
            # The inner optimiser's rate, if loss-scaled.
            optimizer.learning_rate = rate * self._rate_factors.get(name, 1.0)
        scalars, stop = owner.replicas.run(
            self._on_replica, (next(batches), step, stop)
        )
        losses = {k: v for k, v in scalars.items() if k.startswith("loss/")}
        owner.monitor.watch(losses, step)
        owner.ema.update(step)
        scalars = {**scalars, "stat/learning_rate": rate}
        self.names = tuple(scalars)
        values = [tf.cast(value, tf.float32) for value in scalars.values()]
        return StepValues(tf.stack(values), stop)

    def _on_replica(
        self, batch: Batch, step: tf.Tensor, stop: tf.Tensor
    ) -> tuple[Scalars, tf.Tensor]:
        owner = self._owner
        result = accumulate(
            self._train_step, batch, step, owner.settings.accumulate, owner.replicas
        )
        result, stop = mean_over_replicas(result, stop)
        norms = update_networks(
            owner.method.networks, owner.method.optimizers, result.gradients
        )
        return {**result.scalars, **norms}, stop


def accumulate(
    train_step: TrainStep,
    batch: Batch,
    step: tf.Tensor,
    parts: int = 1,
    replicas: Replicas = ONE_DEVICE,
) -> StepResult:
    """Computes scalars and gradients of a replica's rows, in parts of equal size.

    Args:
      train_step: the method's step.
      batch: this replica's rows, stream name -> [B, P, P, 3].
      step: int64 scalar, index of the step.
      parts: number of parts, computed one after the other to save memory.
      replicas: knows which rows of the global batch these are; call it in the graph of
        a replica.

    Returns:
      Means over the parts.
    """
    place, count = replicas.index_in_graph(), replicas.count
    if parts == 1:
        return train_step(batch, step, BatchShard(place, count))
    result = None
    for part in range(parts):
        piece = {name: tf.split(images, parts)[part] for name, images in batch.items()}
        shard = BatchShard(place * parts + part, count * parts)
        if result is None:
            result = train_step(piece, step, shard)
            continue
        # One after the other: their memory must not be in use at the same time.
        done = [g for group in result.gradients.values() for g in group]
        with tf.control_dependencies([g for g in done if g is not None]):
            piece = {name: tf.identity(images) for name, images in piece.items()}
        result = _sum(result, train_step(piece, step, shard))
    return _divided(result, parts)


def mean_over_replicas(
    result: StepResult, stop: tf.Tensor
) -> tuple[StepResult, tf.Tensor]:
    """Returns both, averaged over all replicas; call it in a replica's graph.

    Every replica has the same number of rows, and every loss is a mean over rows, so
    these are the loss and the gradients of the global batch. (Standard deviations among
    the statistics are means of the replicas' own.)
    """
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return result, stop
    scalars, gradients = result
    values = tf.stack([tf.cast(v, tf.float32) for v in (*scalars.values(), stop)])
    present = [g for group in gradients.values() for g in group if g is not None]
    # One call for all: TensorFlow packs them into few messages.
    values, *present = context.all_reduce(
        tf.distribute.ReduceOp.MEAN, [values, *map(tf.convert_to_tensor, present)]
    )
    *means, stop = tf.unstack(values)
    reduced = iter(present)
    gradients = {
        name: [None if g is None else next(reduced) for g in group]
        for name, group in gradients.items()
    }
    return StepResult(dict(zip(scalars, means, strict=True)), gradients), stop


def update_networks(
    networks: Mapping[str, keras.Model],
    optimizers: Mapping[str, keras.optimizers.Optimizer],
    gradients: Gradients,
) -> Scalars:
    """Takes one optimiser step on each network that has gradients, and on no other.

    Args:
      networks: name -> network.
      optimizers: name -> optimiser, built for the trainable variables of that network.
      gradients: of losses after `optimizer.scale_loss`, of the global batch.

    Returns:
      "stat/grad_norm_<network>": global norm of its gradients before clipping.
    """
    norms = {}
    for name, group in gradients.items():
        optimizer = optimizers[name]
        norm = tf.linalg.global_norm(group)
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            # Read before `apply`, which may change it.
            norm /= tf.convert_to_tensor(optimizer.dynamic_scale)
        optimizer.apply(group, networks[name].trainable_variables)
        norms[f"stat/grad_norm_{name}"] = norm
    return norms


def piecewise_learning_rate(
    step: tf.Tensor, base: float, milestones: Sequence[int], decay: float
) -> tf.Tensor:
    """Returns `base` times `decay` for every milestone that has been reached.

    Luo et al. 2022 (arXiv:2203.04962), section 4.1: halved at 50k, 100k and 150k steps.

    Args:
      step: int64 scalar, index of the step counted from 0: step m is the first one with
        the rate lowered by milestone m, so m steps are taken before.
      base: rate at the start.
      milestones: rising steps; may be empty.
      decay: factor at each milestone.

    Returns:
      float32 scalar.
    """
    step = tf.cast(step, tf.int64)
    limits = tf.constant(list(milestones), dtype=tf.int64)
    reached = tf.math.count_nonzero(step >= limits, dtype=tf.float64)
    rate = tf.constant(base, tf.float64) * tf.constant(decay, tf.float64) ** reached
    return tf.cast(rate, tf.float32)


def _compiled_by_xla(train_step: TrainStep) -> TrainStep:
    """Compiles the method's part alone; reading batches and reducing stay outside."""

    def compiled(batch: Batch, step: tf.Tensor, shard: BatchShard) -> StepResult:
        @tf.function(jit_compile=True, autograph=False)
        def run(batch: Batch, step: tf.Tensor) -> StepResult:
            return train_step(batch, step, shard)

        return run(batch, step)

    return compiled


def _sum(a: StepResult, b: StepResult) -> StepResult:
    return StepResult(
        {name: value + b.scalars[name] for name, value in a.scalars.items()},
        {
            name: [
                None if x is None else tf.convert_to_tensor(x) + tf.convert_to_tensor(y)
                for x, y in zip(group, b.gradients[name], strict=True)
            ]
            for name, group in a.gradients.items()
        },
    )


def _divided(result: StepResult, parts: int) -> StepResult:
    return StepResult(
        {name: value / parts for name, value in result.scalars.items()},
        {
            name: [None if g is None else g / parts for g in group]
            for name, group in result.gradients.items()
        },
    )
