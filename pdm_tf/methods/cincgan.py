"""CinCGAN (Yuan et al. 2018, arXiv:1809.00437): clean LR images, then enlarge them.

A translator G1 makes clean LR images of real ones, inside a cycle of its own, and an SR
network enlarges them, inside a second cycle around both. With x = real_lr, z = hr and
y = its bicubic reduction, unpaired with x:

  inner losses (section 3.1), of G1 = `translator` and G2 = `degradation`
    w_gan (D1(G1(x)) - 1)^2 + w_cycle |G2(G1(x)) - x| + w_idt |G1(y) - y|
      + w_tv TV(G1(x))
  D1 = `clean_discriminator`   w_gan ((D1(y) - 1)^2 + D1(G1(x))^2) / 2

  outer losses (section 3.2), of G1, SR = `sr` and G3 = `hr_degradation`
    v_gan (D2(SR(G1(x))) - 1)^2 + v_cycle |G3(SR(G1(x))) - x| + v_idt |SR(y) - z|
      + v_tv TV(SR(G1(x)))
  D2 = `hr_discriminator`      v_gan ((D2(z) - 1)^2 + D2(SR(G1(x)))^2) / 2

Stage one is the inner losses alone. In stage two G1 follows the sum of both, while the
paper updates it twice; all gradients are of one point. What ships as "sr" is SR(G1(.)),
one network; "degradation" is G2 after a bicubic reduction, and takes HR photographs.

`paper()` is the setting of the comparison in Luo et al. 2022 (arXiv:2203.04962).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.bundles.chain import chained
from pdm_tf.core.checks import require_not_below
from pdm_tf.losses import l1_loss, total_variation_loss
from pdm_tf.methods.base import (
    FULL_BATCH,
    Batch,
    BatchShard,
    NotNeeded,
    Role,
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
from pdm_tf.methods.pairs import Pair
from pdm_tf.methods.stages import TwoStageConfig
from pdm_tf.methods.steps import crop_margin, patch_rows

# What is learned in stage one, and what only in stage two.
_INNER = ("translator", "degradation", "clean_discriminator")
_OUTER = ("sr", "hr_degradation", "hr_discriminator")

_PAPER_GENERATOR = {
    "num_blocks": 6,
    "head": (7, 3, 3),
    "tail": (3, 3, 7),
    "activation": "leaky_relu",
    "head_activation": True,
}
_COMPARISON_GENERATOR = {"num_blocks": 8, "head": (3,), "tail": (3,)}
# `parts` -> name of a part -> settings of it that are not its network's own.
_PARTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "original": {
        "translator": _PAPER_GENERATOR,
        "degradation": _PAPER_GENERATOR,
        "clean_discriminator": {"kernel_size": 4, "strides": (1, 1, 1, 1, 1)},
        "hr_degradation": _PAPER_GENERATOR,
        "hr_discriminator": {"kernel_size": 4, "strides": (2, 2, 2, 1, 1)},
    },
    "comparison": {
        "translator": _COMPARISON_GENERATOR,
        "degradation": _COMPARISON_GENERATOR,
        "clean_discriminator": {"kernel_size": 4, "strides": (1, 2, 2, 1, 1)},
        "hr_degradation": {**_COMPARISON_GENERATOR, "reduction": "conv"},
        "hr_discriminator": {"kernel_size": 4, "strides": (1, 2, 2, 1, 1)},
    },
}


@dataclasses.dataclass(frozen=True)
class CinCGANConfig(CycleConfig, TwoStageConfig):
    """Settings of `CinCGAN`; `paper()` gives the comparison's.

    Attributes:
      tv_weight: of the total variation of G1(x).
      hr_adversarial_weight, hr_cycle_weight: v of the outer losses.
      hr_identity_weight, hr_tv_weight: likewise.
      identity_in_second: whether the inner identity loss goes on in stage two.
    """

    first_steps: int = 400_000
    tv_weight: float = 0.5
    hr_adversarial_weight: float = 1.0
    hr_cycle_weight: float = 10.0
    hr_identity_weight: float = 5.0
    hr_tv_weight: float = 2.0
    identity_in_second: bool = True
    second_rate: float = 0.5

    def __post_init__(self) -> None:
        CycleConfig.__post_init__(self)
        TwoStageConfig.__post_init__(self)
        require_not_below(
            self,
            tv_weight=0,
            hr_adversarial_weight=0,
            hr_cycle_weight=0,
            hr_identity_weight=0,
            hr_tv_weight=0,
        )

    @classmethod
    def paper(cls) -> "CinCGANConfig":
        """Returns the comparison's setting, with the SR network's identity loss.

        The comparison left that loss out by mistake; nothing else there ties SR images
        to photographs.
        """
        return cls(
            first_steps=100_000,
            hr_adversarial_weight=0.5,
            identity_in_second=False,
            second_rate=1.0,
            buffer_size=16,
            fakes="raw",
            parts="comparison",
        )


class CinCGAN(CycleMethod):
    """Trains `translator` and `degradation` in a cycle, then `sr` around it.

    Made with G1 = `translator`, G2 = `degradation` (which reduces by bicubic) and D1 =
    `clean_discriminator`; and, unless training=first, with `sr`, G3 = `hr_degradation`
    and D2 = `hr_discriminator`.
    """

    name = "cincgan"
    config_class = CinCGANConfig

    def __init__(self, config: CinCGANConfig, **parts: Any) -> None:
        """Makes it of the arguments of `CycleMethod`, and chains what ships as "sr"."""
        super().__init__(config, **parts)
        # Made once: whoever follows its weights follows those of its stages.
        self._chain = None
        if "sr" in self.networks:
            stages = [self.networks["translator"], self.networks["sr"]]
            self._chain = chained(stages, name="chain")

    @classmethod
    def roles(cls, settings: CinCGANConfig) -> Mapping[str, Role | NotNeeded]:
        """Names the networks of both cycles, or of the inner one alone."""
        on_lr = {"reduction": "bicubic", "noise_channels": 0}
        parts = _PARTS[settings.parts]
        around = parts["hr_degradation"]
        if settings.grid == "pixel0":  # there every scale-th pixel is in its place
            around = {**around, "reduction": "conv"}
        roles: dict[str, Role | NotNeeded] = {
            "translator": Role(
                "sr", "translator", {"scale": 1}, paper=parts["translator"]
            ),
            "degradation": Role(
                "degradation", "degrader", on_lr, paper=parts["degradation"]
            ),
            "clean_discriminator": Role(
                "discriminator",
                "patchgan",
                sees="lr",
                paper=parts["clean_discriminator"],
            ),
            "sr": Role("sr", "edsr"),
            "hr_degradation": Role(
                "degradation",
                "degrader",
                {"noise_channels": 0},
                paper=around,
            ),
            "hr_discriminator": Role(
                "discriminator", "patchgan", paper=parts["hr_discriminator"]
            ),
        }
        if not settings.has_first:
            for name in _INNER:
                roles[name] = roles[name]._replace(goes_on="training=second")
        if not settings.has_second:
            roles |= dict.fromkeys(_OUTER, NotNeeded("training=first"))
        return roles

    def train_step_for(self, step: int) -> TrainStep:
        """Returns the step of stage one or of stage two."""
        return self._first_step if self._config.stage(step) == 1 else self._second_step

    def rate_factors_for(self, step: int) -> Mapping[str, float]:
        """Names the learning rates of stage two."""
        return self._config.rate_factors(step, self.optimizers)

    def deployable(self) -> Mapping[str, keras.Model]:
        """Names what ships: SR(G1(.)) and G2; of stage one what stage two needs."""
        if self._chain is None:
            return {name: self.networks[name] for name in _INNER}
        return {"sr": self._chain, "degradation": self.networks["degradation"]}

    def previews(self, batch: Batch, step: int) -> Mapping[str, np.ndarray]:
        """Draws rows of real lr, clean lr, sr; and of hr, clean lr, fake lr."""
        del step
        few = {name: images[:4] for name, images in batch.items()}
        pair = self._pairs.pair(few, tf.constant(0, tf.int64), FULL_BATCH)
        cleaned = self.networks["translator"](few["real_lr"])
        columns = {"real lr": few["real_lr"], "translated": cleaned}
        if "sr" in self.networks:
            columns["sr"] = self.networks["sr"](cleaned)
        fake = self.networks["degradation"].translate(pair.lr)
        degraded = {"clean lr": pair.lr, "fake lr": fake, "hr": pair.hr}
        return {
            "patches": patch_rows(columns, self._scale),
            "degraded": patch_rows(degraded, self._scale),
        }

    def _first_step(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> StepResult:
        clean_lr = self._pairs.pair(batch, step, shard).lr
        with tf.GradientTape(persistent=True) as tape:
            cleaned = self.networks["translator"](batch["real_lr"], training=True)
            inner, d_clean = self._inner(batch["real_lr"], cleaned, clean_lr)
            losses = {
                ("translator", "degradation"): weighted_sum(inner),
                ("clean_discriminator",): self._config.adversarial_weight * d_clean,
            }
        return StepResult(
            {**scalars_of(inner), "loss/d_clean": d_clean},
            gradients_of(tape, losses, self.networks, self.optimizers),
        )

    def _second_step(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> StepResult:
        config, pair = self._config, self._pairs.pair(batch, step, shard)
        identity = config.identity_in_second
        with tf.GradientTape(persistent=True) as tape:
            cleaned = self.networks["translator"](batch["real_lr"], training=True)
            inner, d_clean = self._inner(batch["real_lr"], cleaned, pair.lr, identity)
            outer, d_hr = self._outer(batch["real_lr"], cleaned, pair)
            generators = ("translator", "degradation", "sr", "hr_degradation")
            losses = {
                generators: weighted_sum({**inner, **outer}),
                ("clean_discriminator",): config.adversarial_weight * d_clean,
                ("hr_discriminator",): config.hr_adversarial_weight * d_hr,
            }
        return StepResult(
            {**scalars_of(inner, outer), "loss/d_clean": d_clean, "loss/d_hr": d_hr},
            gradients_of(tape, losses, self.networks, self.optimizers),
        )

    def _inner(
        self,
        real_lr: tf.Tensor,
        cleaned: tf.Tensor,
        clean_lr: tf.Tensor,
        identity: bool = True,
    ) -> tuple[Terms, tf.Tensor]:
        """Returns the losses of the cycle between LR images, and D1's own."""
        config, translator = self._config, self.networks["translator"]
        back = self.networks["degradation"].translate
        verdict = self._adversaries["clean_discriminator"].judge(clean_lr, cleaned)
        terms = {
            "loss/g_adv": (config.adversarial_weight, verdict.generator),
            "loss/cycle": (config.cycle_weight, cycle_loss(back, cleaned, real_lr)),
            "loss/tv": (config.tv_weight, total_variation_loss(cleaned, power=2)),
        }
        if identity:
            same = identity_loss(translator, clean_lr)
            terms["loss/identity"] = (config.identity_weight, same)
        return terms, verdict.discriminator

    def _outer(
        self, real_lr: tf.Tensor, cleaned: tf.Tensor, pair: Pair
    ) -> tuple[Terms, tf.Tensor]:
        """Returns the losses of the cycle around the SR network, and D2's own."""
        config, enlarge = self._config, self.networks["sr"]
        sr = enlarge(cleaned, training=True)
        verdict = self._adversaries["hr_discriminator"].judge(pair.hr, sr)
        # G3 takes a margin off, so that nothing is made up beyond the edges.
        degrader = self.networks["hr_degradation"]
        again = degrader.apply(sr, training=True).lr
        inside = crop_margin(real_lr, degrader.margin // self._scale)
        same = l1_loss(enlarge(pair.lr, training=True), pair.hr)
        terms = {
            "loss/sr_adv": (config.hr_adversarial_weight, verdict.generator),
            "loss/sr_cycle": (config.hr_cycle_weight, l1_loss(again, inside)),
            "loss/sr_tv": (config.hr_tv_weight, total_variation_loss(sr, power=2)),
            "loss/sr_l1": (config.hr_identity_weight, same),
        }
        return terms, verdict.discriminator
