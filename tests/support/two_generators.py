"""A method with two generators, as a newcomer would add it: this file and one line.

The idea of CinCGAN (Yuan et al. 2018, arXiv:1809.00437) in its smallest form: a
translator makes clean LR images of real ones, against a discriminator that knows
bicubic LR; an SR network learns on bicubic pairs. What ships is the two in a row.

    METHODS["two_generators"] = TwoGenerators
"""

import dataclasses
from collections.abc import Mapping

import keras
import tensorflow as tf

from pdm_tf.bundles.chain import chained
from pdm_tf.degradations import DEGRADATIONS
from pdm_tf.losses import l1_loss, lsgan_discriminator_loss, lsgan_generator_loss
from pdm_tf.methods.base import (
    Batch,
    BatchShard,
    Method,
    Role,
    StepResult,
    TrainStep,
)
from pdm_tf.methods.steps import crop_margin, optimizers_for, step_seed


@dataclasses.dataclass(frozen=True)
class TwoGeneratorsConfig:
    """Settings of `TwoGenerators`.

    Attributes:
      identity_weight: of |translator(clean) - clean|.
    """

    identity_weight: float = 1.0


class TwoGenerators(Method):
    """Trains `translator` against `discriminator`, and `sr` on bicubic pairs."""

    name = "two_generators"
    config_class = TwoGeneratorsConfig

    def __init__(
        self,
        config: TwoGeneratorsConfig,
        *,
        translator: keras.Model,
        sr: keras.Model,
        discriminator: keras.Model,
        scale: int,
        lr_patch: int,
        learning_rate: float,
        clip_norm: float,
        seed: int,
    ) -> None:
        self._config, self._seed = config, seed
        self._bicubic = DEGRADATIONS["bicubic"](scale)
        margin = self._bicubic.margin
        self.patches = {"hr": lr_patch * scale + 2 * margin, "real_lr": lr_patch}
        self.networks = {
            "translator": translator,
            "sr": sr,
            "discriminator": discriminator,
        }
        self.optimizers = optimizers_for(
            self.networks,
            list(self.networks),
            learning_rate=learning_rate,
            clip_norm=clip_norm,
        )
        self._chain = chained([translator, sr], name="chain")

    @classmethod
    def roles(cls, settings: TwoGeneratorsConfig) -> Mapping[str, Role]:
        """The translator is an SR network of scale 1."""
        return {
            "translator": Role("sr", "edsr", {"scale": 1}),
            "sr": Role("sr", "edsr"),
            "discriminator": Role("discriminator", "patchgan", sees="lr"),
        }

    @classmethod
    def streams(cls, settings: TwoGeneratorsConfig) -> Mapping[str, str]:
        """Unpaired photographs."""
        return {"hr": "", "real_lr": "by two_generators"}

    def train_step_for(self, step: int) -> TrainStep:
        """Returns the one step of its one phase."""
        return self._train_step

    def deployable(self) -> Mapping[str, keras.Model]:
        """The chain is the product; the translator alone is for looking at."""
        return {"sr": self._chain, "translator": self.networks["translator"]}

    def ema_networks(self) -> Mapping[str, keras.Model]:
        """The chain, which has the variables of both generators."""
        return {"sr": self._chain}

    def _train_step(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> StepResult:
        translator, sr, judge = (
            self.networks[name] for name in ("translator", "sr", "discriminator")
        )
        seed = step_seed(self._seed, "degradation", step)
        clean = self._bicubic.synthesise(batch["hr"], seed, shard).lr
        hr = crop_margin(batch["hr"], self._bicubic.margin)
        with tf.GradientTape(persistent=True) as tape:
            fake = translator(batch["real_lr"], training=True)
            identity = l1_loss(translator(clean, training=True), clean)
            adversarial = lsgan_generator_loss(judge(fake, training=True))
            told = lsgan_discriminator_loss(
                judge(clean, training=True),
                judge(tf.stop_gradient(fake), training=True),
            )
            losses = {
                "translator": adversarial + self._config.identity_weight * identity,
                "sr": l1_loss(sr(clean, training=True), hr),
                "discriminator": told,
            }
            scaled = {
                name: self.optimizers[name].scale_loss(loss)
                for name, loss in losses.items()
            }
        gradients = {
            name: tape.gradient(loss, self.networks[name].trainable_variables)
            for name, loss in scaled.items()
        }
        del tape
        scalars = {"loss/g_adv": adversarial, "loss/identity": identity}
        scalars |= {"loss/d_lr": told, "loss/sr_l1": losses["sr"]}
        return StepResult(scalars, gradients)
