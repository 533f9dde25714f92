"""The graph of one training step: the method's step and what surrounds it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import tensorflow as tf

from pdm_tf.config.train_config import TrainConfig
from pdm_tf.training.ema import EMA
from pdm_tf.training.health import LossMonitor
from pdm_tf.training.schedules import piecewise_learning_rate

if TYPE_CHECKING:
    from pdm_tf.methods.base import Method

_Batch = Mapping[str, tf.Tensor]
_TrainStep = Callable[[_Batch, tf.Tensor], Mapping[str, tf.Tensor]]


class StepFunction:
    """Runs one step: learning rates, the method's step, loss monitor, averages.

    All of it is one `tf.function` per phase of the method, traced once: a phase is a
    function that `method.train_step_for` returns, and the step comes in as a tensor.

    Attributes:
      traces: how many times Python code was traced; a test holds it to one per phase.
    """

    def __init__(
        self, method: "Method", ema: EMA, monitor: LossMonitor, config: TrainConfig
    ) -> None:
        self.traces = 0
        self._method = method
        self._ema = ema
        self._monitor = monitor
        self._config = config
        self._compiled: dict[_TrainStep, Callable[[_Batch, tf.Tensor], tf.Tensor]] = {}
        self._names: dict[_TrainStep, list[str]] = {}
        self._last: tuple[list[str], tf.Tensor] | None = None

    def __call__(self, batch: _Batch, step: int) -> None:
        """Trains one step.

        Args:
          batch: stream name -> [B, P, P, 3] float32.
          step: index of the step, counted from 0.
        """
        train_step = self._method.train_step_for(step)
        if train_step not in self._compiled:
            self._compiled[train_step] = tf.function(self._graph(train_step))
        values = self._compiled[train_step](batch, tf.constant(step, tf.int64))
        self._last = (self._names[train_step], values)

    def fetch(self) -> dict[str, float]:
        """Returns the scalars of the last step; waits for the device."""
        if self._last is None:
            return {}
        names, values = self._last
        shortest = (
            float(str(value)) for value in values.numpy()
        )  # 0.0002, not 0.00019..
        return dict(zip(names, shortest, strict=True))

    def _graph(self, train_step: _TrainStep) -> Callable[..., tf.Tensor]:
        config = self._config

        def run(batch: _Batch, step: tf.Tensor) -> tf.Tensor:
            self.traces += 1
            rate = piecewise_learning_rate(
                step, config.learning_rate, config.lr_milestones, config.lr_decay
            )
            for optimizer in self._method.optimizers.values():
                optimizer.learning_rate = rate  # of the inner one, when loss-scaled
            scalars = dict(train_step(batch, step))
            losses = {k: v for k, v in scalars.items() if k.startswith("loss/")}
            self._monitor.watch(losses, step)
            self._ema.update(step)
            scalars["stat/learning_rate"] = rate
            self._names[train_step] = list(scalars)
            # One vector: a single transfer when the host wants to know.
            return tf.stack([tf.cast(value, tf.float32) for value in scalars.values()])

        return run
