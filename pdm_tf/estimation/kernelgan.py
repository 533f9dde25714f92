"""Trains KernelGANs, many photographs at once, each by itself.

Bell-Kligler et al. 2019 (arXiv:1909.06581). One photograph: a generator that halves its
crops with a kernel, and a discriminator that tells them from crops of the photograph as
it is. A kernel that the discriminator cannot tell is the one that the photograph was
taken with, because small details look alike in all sizes. Weights and their schedule
are those of the authors' code:

- GAN: L1 of the sigmoid to 1 and 0;
- bicubic: 5, squared error to the bicubic reduction; once it was below 0.4 in three
  steps in a row, its weight is divided by 100 every 200 steps, down to 5e-6;
- the kernel's sum is 1: 0.5; nothing at its border: 0.5; its centre of mass lies in the
  middle: 0, then 1; sparse, |k|^0.2: 0, then 5; these two begin when bicubic's weight
  is below 0.005.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.core.checks import require_not_below
from pdm_tf.core.errors import UserError
from pdm_tf.core.seeds import stream_seed
from pdm_tf.estimation.gradient_crops import Crops, GradientCrops
from pdm_tf.models.kernelgan import (
    LinearGeneratorConfig,
    StackedDiscriminatorConfig,
    downscaled,
)

_SUM_WEIGHT = _BORDER_WEIGHT = 0.5
_SPARSE_POWER = 0.2
_HELD_CROPS = 16  # that the discriminator is asked about at the end


@dataclass(frozen=True)
class KernelGANSettings:
    """Settings of the training.

    Attributes:
      steps: of both networks.
      crop: side of the generator's crops in pixels; even.
      learning_rate: of Adam (beta1 0.5), for both.
      decay_every: steps after which the learning rate is divided by 10, each time.
      filters: channels of both networks.

    Raises:
      UserError: a number is out of range.
    """

    steps: int = 3000
    crop: int = 64
    learning_rate: float = 2e-4
    decay_every: int = 750
    filters: int = 64

    def __post_init__(self) -> None:
        require_not_below(self, steps=1, crop=32, decay_every=1, filters=1)
        if self.crop % 4:
            raise UserError(
                f"--crop_size must be a multiple of 4. Received: {self.crop}."
            )

    @property
    def kernel_side(self) -> int:
        """K of the kernels that come out."""
        return LinearGeneratorConfig().kernel_side

    @property
    def small_crop(self) -> int:
        """Side of what the generator makes of its crops."""
        return (self.crop - self.kernel_side) // 2 + 1


@dataclass(frozen=True)
class Estimate:
    """What one GAN found.

    Attributes:
      kernel: [K, K] float32 for a reduction by 2, as the generator has it: correlated,
        its sum near 1, some taps negative.
      separation: the discriminator's mean answer to held real crops minus that to what
        the generator makes, in [-1, 1]; near 0 it cannot tell them.
      bicubic_loss: mean square distance from the bicubic reduction on these crops, in
        [-1, 1] as the networks see it.
    """

    kernel: np.ndarray
    separation: float
    bicubic_loss: float


class Schedule:
    """The weights of the losses of P GANs as they go on.

    Attributes:
      bicubic, centre, sparse: [P] float32.
    """

    def __init__(self, stack: int) -> None:
        self.bicubic = np.full(stack, 5.0, np.float32)
        self.centre, self.sparse = np.zeros([2, stack], np.float32)
        self._near = np.zeros(stack, np.int64)

    def update(self, step: int, bicubic_loss: np.ndarray) -> None:
        """Prepares the step after `step`, whose bicubic losses [P] are given."""
        if step == 0:
            return
        begun = self._near >= 3
        near = np.where(bicubic_loss < 0.4, self._near + 1, 0)
        self._near = np.where(begun, self._near, near)
        if step % 200:
            return
        lower = np.maximum(self.bicubic / 100.0, 5e-6)
        self.bicubic = np.where(begun, lower, self.bicubic).astype(np.float32)
        late = self.bicubic < 5e-3
        self.centre = np.where(late, 1.0, self.centre).astype(np.float32)
        self.sparse = np.where(late, 5.0, self.sparse).astype(np.float32)


def learning_rate(settings: KernelGANSettings, step: int) -> float:
    """Returns the learning rate of step `step`, counted from 0."""
    return settings.learning_rate * 0.1 ** (max(step - 1, 0) // settings.decay_every)


def border_mask(side: int) -> np.ndarray:
    """[K, K] float32: 0 in the middle, growing to the border.

    30 times 1 minus a Gaussian as wide as the kernel, but for the margin's inside.
    """
    place = np.arange(side) - side // 2
    bell = np.exp(-(place**2) / (2.0 * side**2))
    mask = 30.0 * (1.0 - np.outer(bell, bell))
    margin = (side - side // 2 - side % 2) // 2 - 1
    mask[margin:-margin, margin:-margin] = 0.0
    return mask.astype(np.float32)


def kernel_losses(kernels: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """The losses that look at the kernels alone.

    Args:
      kernels: [P, K, K].

    Returns:
      (sum, border, centre, sparse), [P] each, without their weights: |1 - sum|, the
      mean of |mask * k|, the mean square distance of the centre of mass from
      K // 2 + 1/2 for an odd K, and the mean of |k|^0.2.
    """
    side = kernels.shape[1]
    total = tf.reduce_sum(kernels, [1, 2])
    border = tf.reduce_mean(tf.abs(kernels * border_mask(side)), [1, 2])
    place = tf.range(side, dtype=kernels.dtype)
    middle = side // 2 + 0.5 * (2 - side % 2)
    centre = [
        tf.reduce_sum(kernels * weights, [1, 2]) / total - middle
        for weights in (place[:, None], place)
    ]
    centre = tf.reduce_mean(tf.square(tf.stack(centre)), 0)
    # The root's slope is infinite at 0, which no tap reaches but for bad luck.
    sizes = tf.maximum(tf.abs(kernels), 1e-12)
    sparse = tf.reduce_mean(tf.pow(sizes, _SPARSE_POWER), [1, 2])
    return tf.abs(1.0 - total), border, centre, sparse


class KernelGANs:
    """P pairs of networks, to be trained on P photographs, then on others.

    Args:
      stack: P.
      settings: of the training.
      jit: whether XLA compiles the step.

    Attributes:
      stack: P.
      generator, discriminator: the networks.
    """

    def __init__(
        self, stack: int, settings: KernelGANSettings, *, jit: bool = True
    ) -> None:
        self._settings = settings
        self.stack = stack
        filters = settings.filters
        self.generator = LinearGeneratorConfig(stack, filters).build()
        self.discriminator = StackedDiscriminatorConfig(stack, filters).build()
        # Adam works on each number by itself, so one serves all pairs.
        self._optimizers = [
            keras.optimizers.Adam(settings.learning_rate, 0.5, 0.999, 1e-8)
            for _ in range(2)
        ]
        networks = (self.generator, self.discriminator)
        for optimizer, network in zip(self._optimizers, networks, strict=True):
            optimizer.build(network.trainable_variables)
        self._step = tf.function(self._train, jit_compile=jit, autograph=False)

    def train(
        self,
        photographs: Sequence[np.ndarray],
        seeds: Sequence[int],
        names: Sequence[str],
        on_step: Callable[[], None] = lambda: None,
    ) -> list[Estimate]:
        """Trains from the beginning, one photograph for each pair.

        What comes out for a photograph is a function of it, its name and its seed, but
        for rounding.

        Args:
          photographs: P images [H, W, 3] uint8, of any sizes from the crop's on.
          seeds: P of them.
          names: of the photographs; a part of the seed.
          on_step: called after every step; may raise to stop.

        Raises:
          ValueError: not P photographs, or one that is smaller than a crop.
        """
        stack = self.stack
        if not len(photographs) == len(seeds) == len(names) == stack:
            raise ValueError(
                f"{stack} photographs, seeds and names are required. Received: "
                f"{len(photographs)}, {len(seeds)}, {len(names)}."
            )
        settings = self._settings
        randoms = [
            np.random.default_rng(stream_seed(seed, f"kernelgan/{name}"))
            for seed, name in zip(seeds, names, strict=True)
        ]
        self._start(randoms)
        streams = [
            GradientCrops(
                image,
                settings.crop,
                settings.small_crop,
                settings.steps + _HELD_CROPS,
                random,
            )
            for image, random in zip(photographs, randoms, strict=True)
        ]
        schedule = Schedule(stack)
        for step in range(settings.steps):
            for optimizer in self._optimizers:
                optimizer.learning_rate = learning_rate(settings, step)
            weights = np.stack([schedule.bicubic, schedule.centre, schedule.sparse])
            bicubic_loss = self._step(*_stacked(streams, step), weights)
            schedule.update(step, bicubic_loss.numpy())
            on_step()
        return self._estimates(streams)

    def _start(self, randoms: list[np.random.Generator]) -> None:
        self.generator.start(randoms)
        self.discriminator.start(randoms)
        for optimizer in self._optimizers:
            for variable in optimizer.variables:
                variable.assign(tf.zeros(variable.shape, variable.dtype))

    def _train(
        self,
        large: tf.Tensor,
        bicubic: tf.Tensor,
        real: tf.Tensor,
        noise: tf.Tensor,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """One step of the generators, then of the discriminators: bicubic losses."""
        for_generator, for_discriminator = self._optimizers
        generator, discriminator = self.generator, self.discriminator
        variables = generator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            kernels = generator.composed()
            fake = downscaled(large, kernels)
            answers = tf.sigmoid(discriminator(fake[:, None], training=True))
            distance = tf.reduce_mean(tf.square(fake - bicubic), [1, 2, 3])
            total, border, centre, sparse = kernel_losses(kernels)
            loss = tf.reduce_mean(1.0 - answers, [1, 2, 3]) + weights[0] * distance
            loss += _SUM_WEIGHT * total + _BORDER_WEIGHT * border
            loss += weights[1] * centre + weights[2] * sparse
            # Of a sum, so that each pair has the gradient of its own loss.
            loss = tf.reduce_sum(loss)
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        for_generator.apply(gradients, variables)

        both = tf.stack([real, generator(large) + noise], axis=1)
        variables = discriminator.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            answers = tf.sigmoid(discriminator(both, training=True))
            answers = tf.reduce_mean(answers, [2, 3])
            loss = tf.reduce_sum(0.5 * (1.0 - answers[:, 0] + answers[:, 1]))
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        for_discriminator.apply(gradients, variables)
        return distance

    def _answers(
        self, large: tf.Tensor, real: tf.Tensor, noise: tf.Tensor
    ) -> tf.Tensor:
        """[P, 2] mean answers to real crops and to what the generators make."""
        both = tf.stack([real, self.generator(large) + noise], axis=1)
        return tf.reduce_mean(tf.sigmoid(self.discriminator(both)), [2, 3])

    def _estimates(self, streams: Sequence[GradientCrops]) -> list[Estimate]:
        kernels = self.generator.composed().numpy()
        answers, distances = [], []
        for held in range(_HELD_CROPS):
            large, bicubic, real, noise = _stacked(streams, self._settings.steps + held)
            answers.append(self._answers(large, real, noise).numpy())
            fake = self.generator(large).numpy()
            distances.append(np.mean((fake - bicubic) ** 2, axis=(1, 2, 3)))
        separations = np.mean(answers, axis=0) @ [1.0, -1.0]
        return [
            Estimate(kernel, float(separation), float(distance))
            for kernel, separation, distance in zip(
                kernels, separations, np.mean(distances, axis=0), strict=True
            )
        ]


def _stacked(streams: Sequence[GradientCrops], step: int) -> Crops:
    """The crops of a step with a first axis P."""
    crops = [stream.at(step) for stream in streams]
    return Crops(*(np.stack(parts) for parts in zip(*crops, strict=True)))
