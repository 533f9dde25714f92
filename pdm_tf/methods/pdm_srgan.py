"""PDM-SRGAN (Luo et al. 2022, arXiv:2203.04962): PDM-SR with a perceptual SR part.

"PDM-SRGAN if adversarial loss and perceptual loss are also adopted in the training of
the SR model" (section 3.4); the paper gives no details. This method follows the
release's settings and fixes its mistakes. With lr = quantise(fake_lr) and sr = SR(lr):

  1. to 3. as PDM-SR
  4. SR net  minimises  w_p |sr - hr| + w_f |F(sr) - F(hr)| + w_g G(D_hr(hr), D_hr(sr))
  5. D_hr    minimises  w_g L(D_hr(hr), D_hr(sr))

F: activations of a fixed VGG19; D_hr: a discriminator on HR patches of any kind in
`models.discriminators`; G and L: a pair of `GAN_LOSSES`. All gradients are of one
point, and D_hr's pass on sr is shared by 4 and 5, as D's is in PDM-SR.

Different from the release: F's gradient reaches the SR network (B1 of its mistakes),
and D_hr sees results rounded to 8 bits like the photographs that it compares them with
(`hr_fakes`), so that their digits do not give them away (B19).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from pdm_tf.core.checks import require_not_below, require_one_of
from pdm_tf.core.errors import UserError
from pdm_tf.degradations import Degradation
from pdm_tf.losses import GAN_LOSSES, PERCEPTUAL_TAPS, l1_loss, perceptual_loss
from pdm_tf.methods.base import NotNeeded, Role, Scalars, StepResult
from pdm_tf.methods.pdm_sr import PDMSR, PDMSRConfig
from pdm_tf.methods.steps import Optimizers
from pdm_tf.models.features.feature_net import FeatureNet
from pdm_tf.ops.quantise import quantise_8bit

HR_FAKES = ("8bit", "raw")


@dataclasses.dataclass(frozen=True)
class PDMSRGANConfig(PDMSRConfig):
    """Settings of `PDMSRGAN`: those of `PDMSR` and of the SR part.

    Attributes:
      pixel_weight: of the mean absolute difference.
      perceptual_weight: of the perceptual loss; 0 does without the feature network.
      gan_weight: of both losses against the HR discriminator; 0 does without it.
      perceptual: which activations of VGG19 are compared: "conv5_4" (release, ESRGAN)
        or "five_taps" (Real-ESRGAN, BSRGAN).
      gan_loss: "lsgan" (release), "vanilla" (Real-ESRGAN), "hinge" or "relativistic"
        (ESRGAN).
      hr_fakes: how the HR discriminator sees the results. "8bit": quantised like
        the real ones, gradient masked where clamped; "raw": as they are (release).
    """

    pixel_weight: float = 1.0
    perceptual_weight: float = 0.05
    gan_weight: float = 0.05
    perceptual: str = "conv5_4"
    gan_loss: str = "lsgan"
    hr_fakes: str = "8bit"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_of(
            self,
            perceptual=tuple(PERCEPTUAL_TAPS),
            gan_loss=tuple(GAN_LOSSES),
            hr_fakes=HR_FAKES,
        )
        require_not_below(self, pixel_weight=0, perceptual_weight=0, gan_weight=0)
        if self.perceptual_weight == 0 and self.gan_weight == 0:
            raise UserError(
                "One of `perceptual_weight` and `gan_weight` of PDMSRGANConfig must be "
                "above 0; without both it is --method=pdm_sr. Received: 0 and 0."
            )
        if not self.learns_sr:
            raise UserError(
                "`training` of PDMSRGANConfig must be joint, separate or sr; the "
                "degradation alone is --method=pdm_sr. "
                f"Received: {self.training!r}."
            )

    @classmethod
    def paper(cls) -> "PDMSRGANConfig":
        """Returns the released behaviour where it makes sense (equal loss weights)."""
        return dataclasses.replace(super().paper(), hr_fakes="raw")


class GANSR:
    """The SR part: pixel, perceptual and adversarial losses.

    Args:
      config: settings.
      sr: built SR network.
      discriminator: built, on HR images; None when `gan_weight` is 0.
      features: built; None when `perceptual_weight` is 0. It is no network of the
        method: nothing trains it and no checkpoint holds it.
    """

    def __init__(
        self,
        config: PDMSRGANConfig,
        *,
        sr: keras.Model,
        discriminator: keras.Model | None,
        features: FeatureNet | None,
    ) -> None:
        self._config, self._features = config, features
        self._taps = PERCEPTUAL_TAPS[config.perceptual]
        self.networks: Mapping[str, keras.Model] = {"sr": sr}
        if discriminator is not None:
            self.networks = {"sr": sr, "hr_discriminator": discriminator}

    def learn(self, lr: tf.Tensor, hr: tf.Tensor, optimizers: Optimizers) -> StepResult:
        """Returns the SR network's and HR discriminator's result, at one point."""
        sr_net, hr_features = self.networks["sr"], self._features_of(hr)
        with tf.GradientTape(persistent=True) as tape:
            sr = sr_net(lr, training=True)
            scalars = {"loss/sr_l1": l1_loss(sr, hr)}
            loss = self._config.pixel_weight * scalars["loss/sr_l1"]
            if hr_features is not None:
                distance = perceptual_loss(
                    self._features_of(sr), hr_features, self._taps
                )
                scalars["loss/sr_perceptual"] = distance
                loss += self._config.perceptual_weight * distance
            losses = {"sr": loss}
            if "hr_discriminator" in self.networks:
                verdict = self._adversarial(sr, hr)
                losses["sr"] += self._config.gan_weight * verdict["loss/sr_adv"]
                losses["hr_discriminator"] = (
                    self._config.gan_weight * verdict["loss/d_hr"]
                )
                scalars |= verdict
            scaled = {n: optimizers[n].scale_loss(loss) for n, loss in losses.items()}
        gradients = {
            name: tape.gradient(loss, self.networks[name].trainable_variables)
            for name, loss in scaled.items()
        }
        del tape
        return StepResult(scalars, gradients)

    def _features_of(self, image: tf.Tensor) -> Mapping[str, tf.Tensor] | None:
        if self._features is None:
            return None
        return self._features(image, taps=tuple(self._taps))

    def _adversarial(self, sr: tf.Tensor, hr: tf.Tensor) -> Scalars:
        discriminator = self.networks["hr_discriminator"]
        seen = quantise_8bit(sr) if self._config.hr_fakes == "8bit" else sr
        fake_logits = discriminator(seen, training=True)
        real_logits = discriminator(hr, training=True)
        gan = GAN_LOSSES[self._config.gan_loss]
        return {
            "loss/sr_adv": gan.generator(real_logits, fake_logits),
            "loss/d_hr": gan.discriminator(real_logits, fake_logits),
            "stat/d_hr_real": tf.reduce_mean(real_logits),
            "stat/d_hr_fake": tf.reduce_mean(fake_logits),
        }


class PDMSRGAN(PDMSR):
    """`PDMSR` whose SR part is a `GANSR`.

    Args:
      config: settings.
      pdm, discriminator: see `PDMSR`.
      sr: built SR network.
      hr_discriminator, features: see `GANSR`.
      settings: for the optimisers and patches, see `PDMSR`.
    """

    name = "pdm_srgan"
    config_class = PDMSRGANConfig

    def __init__(
        self,
        config: PDMSRGANConfig,
        *,
        pdm: Degradation,
        discriminator: keras.Model | None,
        sr: keras.Model,
        hr_discriminator: keras.Model | None,
        features: FeatureNet | None,
        **settings: Any,
    ) -> None:
        part = GANSR(config, sr=sr, discriminator=hr_discriminator, features=features)
        super().__init__(
            config, pdm=pdm, discriminator=discriminator, sr_part=part, **settings
        )

    @classmethod
    def roles(cls, settings: PDMSRGANConfig) -> Mapping[str, Role | NotNeeded]:
        """Names the parts of `PDMSR`, the HR discriminator, and the feature network."""
        return {
            **super().roles(settings),
            "hr_discriminator": Role("discriminator", "patchgan")
            if settings.gan_weight
            else NotNeeded("gan_weight=0"),
            # Last: random features must not change what the others start with.
            "features": Role("features", "vgg19", frozen="pdm_srgan")
            if settings.perceptual_weight
            else NotNeeded("perceptual_weight=0"),
        }

    @classmethod
    def make(
        cls,
        settings: PDMSRGANConfig,
        parts: Mapping[str, Any],
        common: Mapping[str, Any],
    ) -> "PDMSRGAN":
        """Makes the method.

        Raises:
          UserError: the features lack an activation that is to be compared.
        """
        features = parts.get("features")
        taps = PERCEPTUAL_TAPS[settings.perceptual]
        missing = [tap for tap in taps if features and tap not in features.tap_names]
        if missing:
            raise UserError(
                f"--features must be a VGG19, which has {missing[0]}. "
                f"Received: {features.config}."
            )
        names = ("pdm", "discriminator", "sr", "hr_discriminator", "features")
        return cls(
            settings,
            **{name: parts.get(name) for name in names},
            **{name: value for name, value in common.items() if name != "scale"},
        )
