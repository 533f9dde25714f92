"""The graph of training steps: the method's gradients and what surrounds them."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import tensorflow as tf

from pdm_tf.methods.base import BatchShard, StepResult
from pdm_tf.train_config import TrainConfig
from pdm_tf.training.ema import EMA
from pdm_tf.training.health import LossMonitor
from pdm_tf.training.replicas import ONE_DEVICE, Replicas
from pdm_tf.training.schedules import piecewise_learning_rate
from pdm_tf.training.update import mean_over_replicas, update_networks

if TYPE_CHECKING:
    from pdm_tf.methods.base import Method, TrainStep

_Batch = Mapping[str, tf.Tensor]
_STOP = "stop"  # beside the scalars: above 0 where any worker was asked to stop


class StepFunction:
    """Runs steps: learning rates, gradients, updates, loss monitor, averages.

    All of it is one `tf.function` per phase of the method, traced once: a phase is a
    function that `method.train_step_for` returns, and the index of the step and the
    number of steps to take come in as tensors. The batches are taken from the iterator
    within the graph, so several steps need Python only once.

    Attributes:
      traces: how many times Python code was traced; a test holds it to one per phase.
    """

    def __init__(
        self,
        method: "Method",
        ema: EMA,
        monitor: LossMonitor,
        config: TrainConfig,
        replicas: Replicas = ONE_DEVICE,
    ) -> None:
        self.traces = 0
        self._method = method
        self._ema = ema
        self._monitor = monitor
        self._config = config
        self._replicas = replicas
        self._compiled: dict[TrainStep, Callable[..., tf.Tensor]] = {}
        self._names: dict[TrainStep, list[str]] = {}
        self._last: tuple[list[str], tf.Tensor] | None = None

    def __call__(
        self, batches: Iterator[_Batch], step: int, count: int = 1, stop: bool = False
    ) -> None:
        """Trains `count` steps, all of one phase.

        Args:
          batches: iterator over a `tf.data.Dataset` of stream name -> [B, P, P, 3]
            float32, or over a distributed one with this worker's part.
          step: index of the first of them, counted from 0.
          count: how many; beyond 1 only as far as `config.steps_per_call`.
          stop: whether this worker was asked to stop; all get to know by `stopping`.
        """
        train_step = self._method.train_step_for(step)
        if train_step not in self._compiled:
            self._compiled[train_step] = tf.function(self._graph(train_step))
        values = self._compiled[train_step](
            batches,
            tf.constant(step, tf.int64),
            tf.constant(count),
            tf.constant(float(stop)),
        )
        self._last = (self._names[train_step], values)

    def fetch(self) -> dict[str, float]:
        """Returns the scalars of the last step; waits for the device."""
        if self._last is None:
            return {}
        names, values = self._last
        shortest = (
            float(str(value)) for value in values.numpy()
        )  # 0.0002, not 0.00019..
        scalars = dict(zip(names, shortest, strict=True))
        del scalars[_STOP]
        return scalars

    def stopping(self) -> bool:
        """Whether any worker was asked to stop before the last call; waits for it."""
        return self._last is not None and bool(self._last[1][-1] > 0)

    def _graph(self, train_step: "TrainStep") -> Callable[..., tf.Tensor]:
        def one(
            batches: Iterator[_Batch], step: tf.Tensor, stop: tf.Tensor
        ) -> tf.Tensor:
            return self._step(train_step, next(batches), step, stop)

        def several(
            batches: Iterator[_Batch],
            step: tf.Tensor,
            count: tf.Tensor,
            stop: tf.Tensor,
        ) -> tf.Tensor:
            self.traces += 1
            if self._config.steps_per_call == 1:
                return one(batches, step, stop)
            values = tf.zeros([0])
            for k in tf.range(count):
                # How many scalars there are is known once the step has been traced.
                tf.autograph.experimental.set_loop_options(
                    shape_invariants=[(values, tf.TensorShape([None]))]
                )
                values = one(batches, step + tf.cast(k, tf.int64), stop)
            return values

        return several

    def _step(
        self, train_step: "TrainStep", batch: _Batch, step: tf.Tensor, stop: tf.Tensor
    ) -> tf.Tensor:
        config = self._config
        rate = piecewise_learning_rate(
            step, config.learning_rate, config.lr_milestones, config.lr_decay
        )
        factors = self._method.rate_factors
        for name, optimizer in self._method.optimizers.items():
            # Of the inner one, when loss-scaled.
            optimizer.learning_rate = rate * factors.get(name, 1.0)
        names: list[str] = []

        def on_replica(batch: _Batch, step: tf.Tensor, stop: tf.Tensor) -> tf.Tensor:
            learned = self._learn(train_step, batch, step)
            scalars, gradients = mean_over_replicas(
                {**learned.scalars, _STOP: stop}, learned.gradients
            )
            stopping = scalars.pop(_STOP)
            norms = update_networks(
                self._method.networks, self._method.optimizers, gradients
            )
            scalars = {**scalars, **norms, _STOP: stopping}
            names[:] = scalars
            return tf.stack([tf.cast(value, tf.float32) for value in scalars.values()])

        values = self._replicas.run(on_replica, (batch, step, stop))
        by_name = dict(zip(names, tf.unstack(values), strict=True))
        losses = {k: v for k, v in by_name.items() if k.startswith("loss/")}
        self._monitor.watch(losses, step)
        self._ema.update(step)
        stopping = by_name.pop(_STOP)
        by_name |= {"stat/learning_rate": rate, _STOP: stopping}
        self._names[train_step] = list(by_name)
        # One vector: a single transfer when the host wants to know.
        return tf.stack(list(by_name.values()))

    def _learn(
        self, train_step: "TrainStep", batch: _Batch, step: tf.Tensor
    ) -> StepResult:
        """Scalars and gradients of this replica's rows, in `accumulate` parts."""
        if self._replicas.uses_xla(self._config.xla):
            train_step = _compiled_by_xla(train_step)
        parts, replicas = self._config.accumulate, self._replicas.count
        place = self._replicas.index_in_graph()
        if parts == 1:
            return train_step(batch, step, BatchShard(place, replicas))
        learned = None
        for part in range(parts):
            piece = {
                name: tf.split(images, parts)[part] for name, images in batch.items()
            }
            shard = BatchShard(place * parts + part, replicas * parts)
            if learned is None:
                learned = train_step(piece, step, shard)
                continue
            # One after the other: their memory must not be in use at the same time.
            done = [g for group in learned.gradients.values() for g in group]
            with tf.control_dependencies([g for g in done if g is not None]):
                piece = {name: tf.identity(images) for name, images in piece.items()}
            learned = _sum(learned, train_step(piece, step, shard))
        return _divided(learned, parts)


def _compiled_by_xla(train_step: "TrainStep") -> "TrainStep":
    """The method's part alone: reading batches and reducing stay outside."""

    def compiled(batch: _Batch, step: tf.Tensor, shard: BatchShard) -> StepResult:
        @tf.function(jit_compile=True, autograph=False)
        def run(batch: _Batch, step: tf.Tensor) -> StepResult:
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


def _divided(learned: StepResult, parts: int) -> StepResult:
    return StepResult(
        {name: value / parts for name, value in learned.scalars.items()},
        {
            name: [None if g is None else g / parts for g in group]
            for name, group in learned.gradients.items()
        },
    )
