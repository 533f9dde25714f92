"""A method small enough to train in a test, with all that makes resuming hard.

A convolutional network with batch normalisation and Adam (as the degradation modules
have), a second network with its own optimizer, a state variable of the method's own,
noise that is a function of the step, and two phases on demand.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.build import compiled_step
from pdm_tf.methods.base import FULL_BATCH, StepResult
from pdm_tf.methods.steps import make_adam
from pdm_tf.models.layers import batch_norm
from pdm_tf.train import make_trainer, open_run_folder
from pdm_tf.train_config import TrainConfig
from pdm_tf.training.replicas import ONE_DEVICE, Replicas
from pdm_tf.training.signals import GracefulStop
from pdm_tf.training.step_function import StepFunction, StepSettings
from pdm_tf.training.trainer import Outcome

PATCH = 8


def make_network(name: str, seed: int, policy: str = "float32") -> keras.Model:
    """A network [B, 8, 8, 3] -> [B, 8, 8, 3] with batch normalisation, built."""

    def conv(channels: int, offset: int) -> keras.layers.Layer:
        initializer = keras.initializers.GlorotUniform(seed=seed + offset)
        return keras.layers.Conv2D(
            channels, 3, padding="same", kernel_initializer=initializer, dtype=policy
        )

    network = keras.Sequential(
        [
            conv(16, 0),
            batch_norm(dtype=policy, name="norm"),
            keras.layers.ReLU(dtype=policy),
            conv(16, 1),
            keras.layers.ReLU(dtype=policy),
            conv(3, 2),
        ],
        name=name,
    )
    network.build((None, PATCH, PATCH, 3))
    return network


class ToyMethod:
    """Learns to invert a picture; a critic learns its mean error at the same time."""

    name = "toy"
    patches = {"hr": PATCH}  # noqa: RUF012

    def __init__(
        self,
        seed: int = 0,
        *,
        phase_at: int | None = None,
        nan_at: int | None = None,
        policy: str = "float32",
        loss_scaled: bool = False,
    ) -> None:
        """Args:
        phase_at: index of the step from which another function trains.
        nan_at: index of the step at which loss/critic becomes nan.
        policy: Keras dtype policy of the networks.
        loss_scaled: whether the optimizers are wrapped in LossScaleOptimizer.
        """
        self.networks = {
            "sr": make_network("sr", seed, policy),
            "critic": make_network("critic", seed + 100, policy),
        }

        self.optimizers = {
            name: _adam(network, loss_scaled) for name, network in self.networks.items()
        }
        self.rate_factors: dict[str, float] = {}
        self.extra_state = {
            "seen": tf.Variable(
                0, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
            )
        }
        self._phase_at, self._nan_at = phase_at, nan_at

    def train_step_for(self, step: int):
        late = self._phase_at is not None and step >= self._phase_at
        return self._late_step if late else self._step

    def rate_factors_for(self, step: int):
        del step
        return self.rate_factors

    def deployable(self):
        return {"sr": self.networks["sr"]}

    def unaveraged(self):
        return ()

    def ema_networks(self):
        return {"sr": self.networks["sr"]}

    def health(self, fixed_batch):
        return None

    def previews(self, batch, step: int):
        del step
        hr_u8 = np.uint8(batch["hr"].numpy()[0] * 255)
        return {"patches": np.concatenate([hr_u8, 255 - hr_u8], axis=1)}

    def _step(self, batch, step, shard=FULL_BATCH):
        return self._both(batch, step, shard, 1.0)

    def _late_step(self, batch, step, shard=FULL_BATCH):
        learned = self._both(batch, step, shard, 0.5)
        scalars = {**learned.scalars, "loss/late": tf.constant(1.0)}
        return StepResult(scalars, learned.gradients)

    def _both(self, batch, step, shard, weight):
        self.extra_state["seen"].assign_add(1)
        hr = batch["hr"]
        seed = tf.stack([tf.cast(step, tf.int32), 7])
        whole = [hr.shape[0] * shard.count, *hr.shape[1:]]
        noisy = hr + 0.05 * shard.of(tf.random.stateless_normal(whole, seed))
        sr, sr_loss, sr_gradient = self._slope(
            "sr", lambda out: weight * tf.reduce_mean(tf.abs(out - (1.0 - hr))), noisy
        )
        error = tf.abs(tf.stop_gradient(sr) - (1.0 - hr))
        _, critic_loss, critic_gradient = self._slope(
            "critic", lambda out: tf.reduce_mean(tf.square(out - error)), hr
        )
        if self._nan_at is not None:
            is_bad = step == self._nan_at
            critic_loss = tf.where(is_bad, float("nan"), critic_loss)
        scalars = {
            "loss/sr": sr_loss,
            "loss/critic": critic_loss,
            "stat/sr_mean": tf.reduce_mean(sr),
        }
        return StepResult(scalars, {"sr": sr_gradient, "critic": critic_gradient})

    def _slope(self, key, loss_of, inputs):
        network, optimizer = self.networks[key], self.optimizers[key]
        with tf.GradientTape() as tape:
            out = tf.cast(network(inputs, training=True), tf.float32)
            loss = loss_of(out)
            scaled = optimizer.scale_loss(loss)
        return out, loss, tape.gradient(scaled, network.trainable_variables)


def _adam(network: keras.Model, loss_scaled: bool) -> keras.optimizers.Optimizer:
    adam = make_adam(network, learning_rate=1e-3, clip_norm=1e3)
    if loss_scaled and not isinstance(adam, keras.optimizers.LossScaleOptimizer):
        adam = keras.optimizers.LossScaleOptimizer(adam)
        adam.build(network.trainable_variables)
    return adam


def make_batches(start_step: int, batch_size: int = 4) -> tf.data.Dataset:
    """Batches that are a function of the step alone, from `start_step` on, for ever."""
    shape = [batch_size, PATCH, PATCH, 3]

    def batch(step: tf.Tensor) -> dict[str, tf.Tensor]:
        seed = tf.stack([tf.cast(step, tf.int32), 3])
        return {"hr": tf.random.stateless_uniform(shape, seed)}

    return tf.data.Dataset.range(start_step, 2**31).map(batch)


def call_before(method: ToyMethod, step: int, action: Callable[[], None]) -> ToyMethod:
    """The method, which does something just before step `step` (counted from 1)."""
    train_step_for, due = method.train_step_for, [action]

    def watched(index: int):
        if index + 1 == step and due:
            due.pop()()
        return train_step_for(index)

    method.train_step_for = watched
    return method


def rows_of(batches: tf.data.Dataset, worker: int, workers: int) -> tf.data.Dataset:
    """One worker's part of each batch."""

    def part(batch: dict) -> dict:
        return {k: tf.split(images, workers)[worker] for k, images in batch.items()}

    return batches if workers == 1 else batches.map(part)


def toy_config(run_dir, **changes: object) -> TrainConfig:
    """A short run into `run_dir`."""
    config = TrainConfig(
        hr_dir="unused",
        run_dir=str(run_dir),
        steps=6,
        log_every=1,
        save_every=2,
        validate_every=0,
        preview_every=0,
        progress="off",
    )
    return dataclasses.replace(config, **changes)


def toy_step(
    method: ToyMethod, replicas: Replicas = ONE_DEVICE, **settings: object
) -> StepFunction:
    """The compiled step of a method."""
    given = {"learning_rate": 2e-4, "ema_decay": 0.9, **settings}
    return StepFunction(method, StepSettings(**given), replicas)


def train_toy(
    config: TrainConfig,
    method: ToyMethod | None = None,
    batches: Callable[[int], tf.data.Dataset] = make_batches,
    replicas: Replicas = ONE_DEVICE,
    **outputs: object,
) -> tuple[Outcome, ToyMethod]:
    """Trains in the run folder of `config`, as the program does."""
    method = method or ToyMethod()
    step_function = compiled_step(method, config, replicas)
    with open_run_folder(config, replicas.worker) as run, GracefulStop() as stop:
        trainer = make_trainer(config, run, step_function, batches, stop, **outputs)
        return trainer.run(), method


def all_values(method: ToyMethod) -> dict[str, np.ndarray]:
    """Every variable of networks, optimizers and extra state, as arrays."""
    values = {
        f"{kind}.{name}.{index}": np.asarray(variable)
        for kind in ("networks", "optimizers")
        for name, owner in getattr(method, kind).items()
        for index, variable in enumerate(owner.variables)
    }
    values["seen"] = method.extra_state["seen"].numpy()
    return values
