"""Maeda (Maeda 2020, CVPR): correct real LR images, learn SR from pseudo-pairs.

"Unpaired image super-resolution using pseudo-supervision" (arXiv:2002.11397). A
translator makes clean LR images of real ones. The SR network never sees the bicubic
reduction of a photograph, but what the translator makes of its degraded copy: images
as it will get them in use, with the photograph to compare with. For z = hr, y its
bicubic reduction, x = real_lr (unpaired) and noise n, with

  F = `translator` (real to clean), judged by C = `clean_discriminator`
  G = `degradation` (clean to real), judged by D = `discriminator`
  U = `sr`, judged by E = `hr_discriminator`

  y* = F(G(y, n)), the pseudo-clean image; <.>: no gradient

  F and G  minimise  w_gan ((D(G(y, n)) - 1)^2 + (C(F(x)) - 1)^2)
                     + w_cycle |y* - y|                   on the clean side alone
                     + w_idt |F(y) - y|
                     + w_geo |F(x) - mean_T T^-1(F(T(x)))|
                     + w_hr (E(U(F(x))) - 1)^2
  U        minimises |U(<y*>) - z|
  D        minimises w_gan ((D(x) - 1)^2 + D(G(y, n))^2) / 2
  C        minimises w_gan ((C(y) - 1)^2 + C(F(x))^2) / 2
  E        minimises w_hr ((E(U(y*)) - 1)^2 + E(U(F(x)))^2) / 2

T: the eight flips and quarter turns, which an image of photographs must not depend on
(geometric-ensemble consistency). All gradients are of one point.

`paper()` is the setting of the comparison in Luo et al. 2022 (arXiv:2203.04962): the
second half of both cycles, |G(F(x), n) - x| and |G(x, n) - x|, no T; E's real images
are photographs; and one loss for all three generators (`joint`), so that |U(y*) - z|
trains F and G too, and E's verdict U.

"sr" ships as one network, U after F. "degradation" is G after a bicubic reduction.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.bundles.chain import chained
from pdm_tf.core.checks import require_not_below, require_one_of
from pdm_tf.core.geometry import D4_COUNT, d4_parts
from pdm_tf.losses import l1_loss
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
    Translation,
    gradients_of,
    identity_loss,
    scalars_of,
    weighted_sum,
)
from pdm_tf.methods.pairs import Pair
from pdm_tf.methods.steps import patch_rows, step_seed

HR_REALS = ("pseudo", "photographs")
# What differs between the layers of the paper's own networks and the comparison's.
_PATCHGAN: Mapping[str, Mapping[str, Any]] = {
    "original": {},
    "comparison": {"kernel_size": 4, "strides": (2, 2, 2, 1, 1)},
}
_BLOCKS = {"original": 8, "comparison": 16}
# Discriminator -> how the losses of its game are logged: the generators', its own.
_LOGGED = {
    "discriminator": ("loss/g_adv", "loss/d_lr"),
    "clean_discriminator": ("loss/clean_adv", "loss/d_clean"),
    "hr_discriminator": ("loss/sr_adv", "loss/d_hr"),
}
_SYMMETRIES = range(1, D4_COUNT)  # 0 leaves an image as it is


@dataclasses.dataclass(frozen=True)
class MaedaConfig(CycleConfig):
    """Settings of `Maeda`; `paper()` gives the comparison's.

    Attributes:
      real_cycle_weight: of |G(F(x), n) - x|; 0: the cycle is closed on the clean side.
      real_identity_weight: of |G(x, n) - x|.
      geometric_weight: of the distance between F(x) and its mean over the eight
        symmetries of the square; 0 saves seven more passes of F.
      hr_adversarial_weight: of both losses of the HR discriminator.
      hr_reals: what that discriminator takes for real: "pseudo", the SR network's
        results of pseudo-pairs, or "photographs".
      joint: whether all generators minimise one sum of losses. Else the SR network
        learns from the pixels of pseudo-pairs alone, and they train nothing else.
    """

    cycle_weight: float = 1.0
    identity_weight: float = 2.0
    buffer_size: int = 0
    real_cycle_weight: float = 0.0
    real_identity_weight: float = 0.0
    geometric_weight: float = 1.0
    hr_adversarial_weight: float = 0.1
    hr_reals: str = "pseudo"
    joint: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_of(self, hr_reals=HR_REALS)
        require_not_below(
            self,
            real_cycle_weight=0,
            real_identity_weight=0,
            geometric_weight=0,
            hr_adversarial_weight=0,
        )

    @classmethod
    def paper(cls) -> "MaedaConfig":
        """Returns the comparison's setting."""
        return cls(
            identity_weight=1.0,
            real_cycle_weight=1.0,
            real_identity_weight=1.0,
            geometric_weight=0.0,
            hr_reals="photographs",
            joint=True,
            fakes="raw",
            adversarial_beta_1=0.9,
            parts="comparison",
        )


class Maeda(CycleMethod):
    """Trains `translator` and `degradation`, and `sr` on what they make together.

    Made with F = `translator`, G = `degradation` (which reduces by bicubic), U = `sr`,
    D = `discriminator`, C = `clean_discriminator`, and E = `hr_discriminator` unless
    its weight is 0.
    """

    name = "maeda"
    config_class = MaedaConfig

    def __init__(self, config: MaedaConfig, **parts: Any) -> None:
        """Makes it of the arguments of `CycleMethod`, and chains what ships as "sr"."""
        super().__init__(config, **parts)
        chain = chained([self.networks["translator"], self.networks["sr"]])
        self._shipped = {"sr": chain, "degradation": self.networks["degradation"]}
        lr, hr = config.adversarial_weight, config.hr_adversarial_weight
        self._weights = dict(zip(_LOGGED, (lr, lr, hr), strict=True))

    @classmethod
    def roles(cls, settings: MaedaConfig) -> Mapping[str, Role | NotNeeded]:
        """Names the three generators and their discriminators."""
        judges = _PATCHGAN[settings.parts]
        judge = Role("discriminator", "patchgan", sees="lr", paper=judges)
        noisy = {"noise_channels": 1, "num_blocks": _BLOCKS[settings.parts]}
        return {
            "translator": Role("sr", "translator", {"scale": 1}),
            "degradation": Role(
                "degradation", "degrader", {"reduction": "bicubic"}, paper=noisy
            ),
            "sr": Role("sr", "edsr"),
            "discriminator": judge,
            "clean_discriminator": judge,
            "hr_discriminator": Role("discriminator", "patchgan", paper=judges)
            if settings.hr_adversarial_weight
            else NotNeeded("hr_adversarial_weight=0"),
        }

    def train_step_for(self, step: int) -> TrainStep:
        """Returns the one step of its one phase."""
        del step
        return self._train_step

    def deployable(self) -> Mapping[str, keras.Model]:
        """Names U after F, and G."""
        return self._shipped

    def previews(self, batch: Batch, step: int) -> Mapping[str, np.ndarray]:
        """Draws rows from hr to the SR of its pseudo-pair, and from real lr to its."""
        del step
        few = {name: images[:4] for name, images in batch.items()}
        index, to_clean = tf.constant(0, tf.int64), self.networks["translator"]
        pair = self._pairs.pair(few, index, FULL_BATCH)
        fake = self._degraded(pair.lr, "noise", index, FULL_BATCH)
        pseudo, cleaned = to_clean(fake), to_clean(few["real_lr"])
        sr = self.networks["sr"]
        made = {
            "clean lr": pair.lr,
            "fake lr": fake,
            "pseudo-clean": pseudo,
            "sr": sr(pseudo),
            "hr": pair.hr,
        }
        real = {"real lr": few["real_lr"], "cleaned": cleaned, "sr": sr(cleaned)}
        return {
            "patches": patch_rows(made, self._scale),
            "real": patch_rows(real, self._scale),
        }

    def _train_step(
        self, batch: Batch, step: tf.Tensor, shard: BatchShard
    ) -> StepResult:
        config, networks = self._config, self.networks
        pair, real_lr = self._pairs.pair(batch, step, shard), batch["real_lr"]
        with tf.GradientTape(persistent=True) as tape:
            fake_lr = self._degraded(pair.lr, "noise", step, shard)
            pseudo_clean = networks["translator"](fake_lr, training=True)
            cleaned = networks["translator"](real_lr, training=True)
            terms = {
                "loss/cycle": (config.cycle_weight, l1_loss(pseudo_clean, pair.lr)),
                **self._clean_terms(pair.lr, real_lr, cleaned),
                **self._real_terms(real_lr, cleaned, step, shard),
            }
            if not config.joint:
                pseudo_clean = tf.stop_gradient(pseudo_clean)
            pseudo_sr = networks["sr"](pseudo_clean, training=True)
            pixel = {"loss/sr_l1": (1.0, l1_loss(pseudo_sr, pair.hr))}
            adversarial, judged = self._games(
                pair, fake_lr, real_lr, cleaned, pseudo_sr
            )
            terms |= adversarial
            if config.joint:
                generators = ("translator", "degradation", "sr")
                losses = {generators: weighted_sum({**terms, **pixel})}
            else:
                losses = {
                    ("translator", "degradation"): weighted_sum(terms),
                    ("sr",): weighted_sum(pixel),
                }
            losses |= {(name,): weighted_sum(own) for name, own in judged.items()}
        return StepResult(
            scalars_of(terms, pixel, *judged.values()),
            gradients_of(tape, losses, networks, self.optimizers),
        )

    def _clean_terms(
        self, clean_lr: tf.Tensor, real_lr: tf.Tensor, cleaned: tf.Tensor
    ) -> Terms:
        """Returns the losses of F alone."""
        config, to_clean = self._config, self.networks["translator"]
        identity = identity_loss(lambda y: to_clean(y, training=True), clean_lr)
        terms = {"loss/clean_identity": (config.identity_weight, identity)}
        if config.geometric_weight:
            ensemble = geometric_ensemble(to_clean, real_lr, cleaned)
            distance = l1_loss(cleaned, ensemble)
            terms["loss/geometric"] = (config.geometric_weight, distance)
        return terms

    def _real_terms(
        self,
        real_lr: tf.Tensor,
        cleaned: tf.Tensor,
        step: tf.Tensor,
        shard: BatchShard,
    ) -> Terms:
        """Returns the other halves of cycle and identity, which the paper lacks."""
        config, terms = self._config, {}
        if config.real_cycle_weight:
            again = self._degraded(cleaned, "noise of real cycle", step, shard)
            terms["loss/real_cycle"] = (
                config.real_cycle_weight,
                l1_loss(again, real_lr),
            )
        if config.real_identity_weight:
            same = self._degraded(real_lr, "noise of real identity", step, shard)
            terms["loss/identity"] = (
                config.real_identity_weight,
                l1_loss(same, real_lr),
            )
        return terms

    def _games(
        self,
        pair: Pair,
        fake_lr: tf.Tensor,
        real_lr: tf.Tensor,
        cleaned: tf.Tensor,
        pseudo_sr: tf.Tensor,
    ) -> tuple[Terms, Mapping[str, Terms]]:
        """Returns what generators minimise against D, C and E, and what those do."""
        games = {
            "discriminator": (real_lr, fake_lr),
            "clean_discriminator": (pair.lr, cleaned),
        }
        if "hr_discriminator" in self.networks:
            photographs = self._config.hr_reals == "photographs"
            sr = self.networks["sr"](cleaned, training=True)
            games["hr_discriminator"] = (pair.hr if photographs else pseudo_sr, sr)
        terms, judged = {}, {}
        for name, (real, fake) in games.items():
            verdict = self._adversaries[name].judge(real, fake)
            weight, (ours, its) = self._weights[name], _LOGGED[name]
            terms[ours] = (weight, verdict.generator)
            judged[name] = {its: (weight, verdict.discriminator)}
        return terms, judged

    def _degraded(
        self, lr: tf.Tensor, stream: str, step: tf.Tensor, shard: BatchShard
    ) -> tf.Tensor:
        """Returns G(lr, n); the stream of random numbers names the n."""
        degradation = self.networks["degradation"]
        batch, height, width, _ = lr.shape
        seed = step_seed(self._seed, stream, step)
        noise = degradation.draw(batch * shard.count, height, width, seed)
        return degradation.translate(lr, *map(shard.of, noise), training=True)


def geometric_ensemble(
    translate: Translation, image: tf.Tensor, translated: tf.Tensor | None = None
) -> tf.Tensor:
    """Mean over the eight symmetries T of the square of T^-1(F(T(x))).

    Args:
      translate: F, which keeps the size and treats each image by itself.
      image: x, [B, n, n, C].
      translated: F(x), if it is there already.

    Returns:
      [B, n, n, C]; gradients go through all eight results.
    """
    turned = tf.concat([_turned(image, index) for index in _SYMMETRIES], axis=0)
    parts = tf.split(translate(turned), len(_SYMMETRIES))
    back = [
        _turned_back(part, index)
        for part, index in zip(parts, _SYMMETRIES, strict=True)
    ]
    if translated is None:
        translated = translate(image)
    return tf.add_n([translated, *back]) / D4_COUNT


def _turned(image: tf.Tensor, index: int) -> tf.Tensor:
    """[B, n, n, C] under symmetry `index`, see `core.geometry`."""
    down, right, transposed = d4_parts(index)
    image = _reversed(image, down, right)
    return tf.transpose(image, [0, 2, 1, 3]) if transposed else image


def _turned_back(image: tf.Tensor, index: int) -> tf.Tensor:
    down, right, transposed = d4_parts(index)
    image = tf.transpose(image, [0, 2, 1, 3]) if transposed else image
    return _reversed(image, down, right)


def _reversed(image: tf.Tensor, down: bool, right: bool) -> tf.Tensor:
    axes = [axis for axis, turns in ((1, down), (2, right)) if turns]
    return tf.reverse(image, axes) if axes else image
