"""CycleSR (Chen et al. 2020, AAAI): translate clean LR images, and learn SR from them.

"Unsupervised image super-resolution with an indirect supervised path"
(arXiv:1910.02593). A CycleGAN learns what makes clean LR images look real; the SR
network learns to undo it, from what it makes of reductions of HR photographs. With
x = real_lr, z = hr and y = its bicubic reduction, unpaired with x, G = `degradation`
(clean to real) and F = `translator` (real to clean):

  stage one   G and F  minimise  w_gan ((D(G(y)) - 1)^2 + (C(F(x)) - 1)^2)
                                 + w_cycle (|F(G(y)) - y| + |G(F(x)) - x|)
                                 + w_idt (|G(x) - x| + |F(y) - y|)
              D        minimises w_gan ((D(x) - 1)^2 + D(G(y))^2) / 2
              C        minimises w_gan ((C(y) - 1)^2 + C(F(x))^2) / 2
  stage two   all of it, and
              SR       minimises p(SR(G(y)), z)                  without reaching G
              G        also      v p(SR(G(y)), z)                with SR as it is

p: mean squared or absolute difference; D = `discriminator`, C = `clean_discriminator`.
The SR network sees G(y) rounded to 8 bits. Its one pass serves both losses: on the way
back its gradient is multiplied by v where it leaves the SR network. "sr" ships alone;
"degradation" is G after a bicubic reduction, and takes HR photographs.

`paper()` is the setting of the comparison in Luo et al. 2022 (arXiv:2203.04962).
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.core.checks import require_not_below, require_one_of
from pdm_tf.losses import l1_loss, mse_loss
from pdm_tf.methods.base import (
    FULL_BATCH,
    Batch,
    BatchShard,
    NotNeeded,
    Role,
    Scalars,
    StepResult,
    TrainStep,
)
from pdm_tf.methods.cycle_method import CycleMethod
from pdm_tf.methods.cycle_parts import (
    CycleConfig,
    Terms,
    cycle_loss,
    gradients_of,
    identity_loss,
    scalars_of,
    weighted_sum,
)
from pdm_tf.methods.stages import TwoStageConfig
from pdm_tf.methods.steps import patch_rows
from pdm_tf.ops.quantise import quantise_8bit

PIXEL_LOSSES: Mapping[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "mse": mse_loss,
    "l1": l1_loss,
}
# `parts` -> settings of both discriminators that are not PatchGAN's own.
_PATCHGAN: Mapping[str, Mapping[str, Any]] = {
    "original": {},
    "comparison": {"kernel_size": 4, "strides": (1, 2, 2, 1, 1)},
}
# What is learned in stage one already.
_FIRST = ("translator", "degradation", "discriminator", "clean_discriminator")


@dataclasses.dataclass(frozen=True)
class CycleSRConfig(CycleConfig, TwoStageConfig):
    """Settings of `CycleSR`; `paper()` gives the comparison's.

    Attributes:
      pixel_loss: p, "mse" or "l1".
      feedback_weight: v, of the SR network's loss to the degradation; 0: it does not
        reach it. The papers' 1000 is for "mse".
    """

    first_steps: int = 6_000
    pixel_loss: str = "mse"
    feedback_weight: float = 1000.0

    def __post_init__(self) -> None:
        CycleConfig.__post_init__(self)
        TwoStageConfig.__post_init__(self)
        require_one_of(self, pixel_loss=tuple(PIXEL_LOSSES))
        require_not_below(self, feedback_weight=0)

    @classmethod
    def paper(cls) -> "CycleSRConfig":
        """Returns the comparison's setting, with the buffers that it meant to use."""
        return cls(
            first_steps=200_000,
            buffer_size=16,
            fakes="raw",
            second_rate=4.0,
            parts="comparison",
        )


class CycleSR(CycleMethod):
    """Trains `degradation` and `translator` in two cycles, then `sr` beside them.

    Made with F = `translator`, G = `degradation` (which reduces by bicubic), D =
    `discriminator`, C = `clean_discriminator`, and, unless training=first, with `sr`.
    """

    name = "cyclesr"
    config_class = CycleSRConfig

    @classmethod
    def roles(cls, settings: CycleSRConfig) -> Mapping[str, Role | NotNeeded]:
        """Names the networks of both cycles, and the SR network."""
        on_lr = {"reduction": "bicubic", "noise_channels": 0}
        judge = Role(
            "discriminator", "patchgan", sees="lr", paper=_PATCHGAN[settings.parts]
        )
        roles: dict[str, Role | NotNeeded] = {
            "translator": Role("sr", "translator", {"scale": 1}),
            "degradation": Role("degradation", "degrader", on_lr),
            "discriminator": judge,
            "clean_discriminator": judge,
            "sr": Role("sr", "edsr"),
        }
        if not settings.has_first:
            for name in _FIRST:
                roles[name] = roles[name]._replace(goes_on="training=second")
        if not settings.has_second:
            roles["sr"] = NotNeeded("training=first")
        return roles

    def train_step_for(self, step: int) -> TrainStep:
        """Returns the step of stage one or of stage two."""
        return self._first_step if self._config.stage(step) == 1 else self._second_step

    def rate_factors_for(self, step: int) -> Mapping[str, float]:
        """Names the learning rates of stage two."""
        return self._config.rate_factors(step, self.optimizers)

    def deployable(self) -> Mapping[str, keras.Model]:
        """Names what ships: the SR network and G; of stage one all, to go on from."""
        names = ("sr", "degradation") if self._config.has_second else _FIRST
        return {name: self.networks[name] for name in names}

    def previews(self, batch: Batch, step: int) -> Mapping[str, np.ndarray]:
        """Draws rows of hr, clean lr, fake lr, sr; and of real lr and what F makes."""
        del step
        few = {name: images[:4] for name, images in batch.items()}
        pair = self._pairs.pair(few, tf.constant(0, tf.int64), FULL_BATCH)
        fake = self.networks["degradation"].translate(pair.lr)
        columns = {"clean lr": pair.lr, "fake lr": fake}
        translated = self.networks["translator"](few["real_lr"])
        real = {"real lr": few["real_lr"], "translated": translated}
        if "sr" in self.networks:
            columns["sr"] = self.networks["sr"](fake)
            real["sr"] = self.networks["sr"](few["real_lr"])
        columns["hr"] = pair.hr
        return {
            "patches": patch_rows(columns, self._scale),
            "translated": patch_rows(real, self._scale),
        }

    def _first_step(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> StepResult:
        clean_lr = self._pairs.pair(batch, step, shard).lr
        with tf.GradientTape(persistent=True) as tape:
            fake_lr = self.networks["degradation"].translate(clean_lr, training=True)
            terms, judged = self._cycles(batch["real_lr"], clean_lr, fake_lr)
            losses = {("translator", "degradation"): weighted_sum(terms)}
            losses |= self._of_discriminators(judged)
        return StepResult(
            {**scalars_of(terms), **judged},
            gradients_of(tape, losses, self.networks, self.optimizers),
        )

    def _second_step(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> StepResult:
        config, sr_net = self._config, self.networks["sr"]
        pair = self._pairs.pair(batch, step, shard)
        with tf.GradientTape(persistent=True) as tape:
            fake_lr = self.networks["degradation"].translate(pair.lr, training=True)
            terms, judged = self._cycles(batch["real_lr"], pair.lr, fake_lr)
            seen = _with_gradient_times(quantise_8bit(fake_lr), config.feedback_weight)
            pixel = PIXEL_LOSSES[config.pixel_loss](
                sr_net(seen, training=True), pair.hr
            )
            generators = ("translator", "degradation", "sr")
            losses = {generators: weighted_sum(terms) + pixel}
            losses |= self._of_discriminators(judged)
        return StepResult(
            {**scalars_of(terms), **judged, f"loss/sr_{config.pixel_loss}": pixel},
            gradients_of(tape, losses, self.networks, self.optimizers),
        )

    def _cycles(
        self, real_lr: tf.Tensor, clean_lr: tf.Tensor, fake_lr: tf.Tensor
    ) -> tuple[Terms, Scalars]:
        """Returns the losses of both cycles, and the discriminators' own."""
        config, to_clean = self._config, self.networks["translator"]
        to_real = self.networks["degradation"].translate
        cleaned = to_clean(real_lr, training=True)
        real = self._adversaries["discriminator"].judge(real_lr, fake_lr)
        clean = self._adversaries["clean_discriminator"].judge(clean_lr, cleaned)
        cycle, identity = config.cycle_weight, config.identity_weight
        terms = {
            "loss/g_adv": (config.adversarial_weight, real.generator),
            "loss/clean_adv": (config.adversarial_weight, clean.generator),
            "loss/cycle": (cycle, cycle_loss(to_clean, fake_lr, clean_lr)),
            "loss/real_cycle": (cycle, cycle_loss(to_real, cleaned, real_lr)),
            "loss/identity": (identity, identity_loss(to_real, real_lr)),
            "loss/clean_identity": (identity, identity_loss(to_clean, clean_lr)),
        }
        judged = {"loss/d_lr": real.discriminator, "loss/d_clean": clean.discriminator}
        return terms, judged

    def _of_discriminators(self, judged: Scalars) -> dict[tuple[str, ...], tf.Tensor]:
        weight = self._config.adversarial_weight
        return {
            ("discriminator",): weight * judged["loss/d_lr"],
            ("clean_discriminator",): weight * judged["loss/d_clean"],
        }


def _with_gradient_times(image: tf.Tensor, factor: float) -> tf.Tensor:
    """Returns the image; its gradient is multiplied by the factor on the way back."""

    @tf.custom_gradient
    def passed(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return tf.identity(x), lambda upstream: factor * upstream

    return passed(image)
