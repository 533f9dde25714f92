"""Bulat et al. 2018 (arXiv:1807.11458): learn to degrade by a GAN, then to undo it.

"High-to-Low" G turns an HR photograph and noise z into an LR image that a discriminator
D takes for a real one, held to the photograph by a small squared error against its
average-pooled form; "Low-to-High" S is then trained on pairs of G's images, mostly by
the squared error, a little by a discriminator D' on HR patches. With
hinge losses and pool(hr) the means of s x s pixels:

  first    fake_lr = G(hr, z)
           G   minimises  alpha |fake_lr - pool(hr)|^2 - beta D(fake_lr)
           D   minimises  max(0, 1 - D(real_lr)) + max(0, 1 + D(fake_lr))
  second   sr = S(fake_lr), with G frozen
           S   minimises  alpha |sr - hr|^2 - beta D'(sr)
           D'  minimises  max(0, 1 - D'(hr)) + max(0, 1 + D'(sr))

with alpha 1 and beta 0.05. In the comparison of Luo et al. (`BulatConfig.paper()`) both
stages are one joint step, with LSGAN and weights of 1, a buffer of 16 earlier fakes for
D, and |sr - hr| alone for S. The paper's G takes a vector that one layer spreads over a
map of the crop's fixed size; a photograph has another size, so here each LR pixel has
its own z (`Degrader.noise_channels`).

Two slips of the comparison's code are tests here: D' back-propagated D's loss, and a
total-variation term replaced the generator's loss instead of being added to it.
"""

import dataclasses
from typing import ClassVar

import tensorflow as tf

from pdm_tf.core.checks import require_one_of
from pdm_tf.core.geometry import GRIDS
from pdm_tf.losses import mse_loss
from pdm_tf.methods.adversaries import Terms
from pdm_tf.methods.base import Batch, BatchShard, Role, StepResult, TrainStep
from pdm_tf.methods.degrade_first import DegradeFirst, DegradeFirstConfig
from pdm_tf.methods.pairs import Pair
from pdm_tf.methods.stages import TRAINING
from pdm_tf.ops.filtering import low_pass
from pdm_tf.ops.quantise import quantise_8bit


@dataclasses.dataclass(frozen=True)
class BulatConfig(DegradeFirstConfig):
    """Settings of `Bulat`: those of `DegradeFirst`.

    Attributes:
      training: also "joint": both stages in every step.
      grid: where LR pixels lie in the HR image. The discriminator cannot see it, so the
        colour loss decides: "half_pixel" compares with the means of s x s pixels
        (paper), "pixel0" with those of the window around HR pixel s*i.
    """

    trainings: ClassVar[tuple[str, ...]] = (*TRAINING, "joint")

    grid: str = "half_pixel"
    adversarial_weight: float = 0.05
    adversarial_loss: str = "hinge"
    adversarial_beta_1: float = 0.0
    pixel: str = "l2"
    perceptual_weight: float = 0.0
    gan_weight: float = 0.05
    gan_loss: str = "hinge"

    @classmethod
    def paper(cls) -> "BulatConfig":
        """Returns the setting of the comparison by Luo et al. 2022."""
        return cls(
            training="joint",
            parts="comparison",
            adversarial_weight=1.0,
            adversarial_loss="lsgan",
            adversarial_beta_1=0.9,
            fakes="raw",
            buffer_size=16,
            pixel="l1",
            gan_weight=0.0,
            hr_fakes="raw",
        )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_of(self, grid=GRIDS)

    @property
    def is_joint(self) -> bool:
        """Whether every step is of both stages."""
        return self.training == "joint"


class Bulat(DegradeFirst):
    """`DegradeFirst` with noise, and colours compared with the pooled photograph's."""

    name = "bulat"
    config_class = BulatConfig

    @classmethod
    def degrader_role(cls, settings: BulatConfig) -> Role:
        """A degrader that reduces photographs itself, with one channel of noise."""
        paper = {"reduction": "conv", "noise_channels": 1, "num_blocks": 8}
        return Role("degradation", "degrader", {"grid": settings.grid}, paper=paper)

    @classmethod
    def discriminator_role(cls, settings: BulatConfig) -> Role:
        """With spectral normalisation as ours is, or that of the comparison."""
        paper = {}
        if settings.parts == "comparison":
            strides = (1, 2, 2, 1, 1)
            paper = {"kernel_size": 4, "strides": strides, "normalization": "instance"}
        return Role("discriminator", "patchgan", sees="lr", paper=paper)

    def train_step_for(self, step: int) -> TrainStep:
        """Returns the joint step, or that of the stage."""
        if self.config.is_joint:
            return self._joint_step
        return super().train_step_for(step)

    def first_losses(self, fake_lr: tf.Tensor, hr: tf.Tensor, crop: tf.Tensor) -> Terms:
        """The squared error against the pooled photograph."""
        del crop
        pooled = pool(hr, self._scale, self.grid)
        return {"loss/colour": (self.config.colour_weight, mse_loss(fake_lr, pooled))}

    def _joint_step(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> StepResult:
        first, fake_lr, hr = self._learn_degradation(batch, step, shard)
        lr = tf.stop_gradient(quantise_8bit(fake_lr))
        second = self._sr_part.learn(Pair(lr, hr), self.optimizers)
        return StepResult(
            {**first.scalars, **second.scalars},
            {**first.gradients, **second.gradients},
        )


def pool(hr: tf.Tensor, scale: int, grid: str) -> tf.Tensor:
    """Means of the HR pixels around each LR pixel.

    Args:
      hr: [B, H, W, 3] float32, H and W divisible by `scale`.
      scale: downsampling factor.
      grid: "half_pixel": of the scale x scale pixels in whose middle the LR pixel lies;
        "pixel0": of the window around HR pixel scale * i, one larger if the scale is
        even.

    Returns:
      [B, H / scale, W / scale, 3].
    """
    if grid == "half_pixel":
        return tf.nn.avg_pool2d(hr, scale, scale, "VALID")
    return low_pass(hr, 2 * (scale // 2) + 1)[:, ::scale, ::scale]
