"""What a method trains on its pairs: an SR network, by pixels alone or also by a GAN.

Methods differ in where pairs come from (files, a predefined degradation, one that is
being learned), and in their SR part. With sr = SR(lr), the photograph hr, and the
target t that a degradation may set, else hr:

  PixelSR   SR net  minimises  |sr - t|
  GANSR     SR net  minimises  w_p P(sr, t) + w_f |F(sr) - F(t)| + w_g G(D(hr), D(sr))
            D       minimises  w_g L(D(hr), D(sr))

P: the absolute or squared difference; F: activations of a fixed VGG19; D: a
discriminator on HR patches of any kind in `models.discriminators`; G and L: a pair of
`GAN_LOSSES`. On request frequencies are separated (Fritsche et al. 2019,
arXiv:1911.07850): P compares low-pass images, and D judges high-pass ones. D learns
what photographs look like, so its real images are never the target: Real-ESRGAN (Wang
et al. 2021, arXiv:2107.10833) has sharpened targets and unsharpened real images. All
gradients are of one point, and D's pass on sr is shared by both of its losses: it has
not changed in between, so the gradients are exactly those of two passes.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import keras
import tensorflow as tf

from pdm_tf.core.checks import require_not_below, require_one_of
from pdm_tf.core.errors import UserError
from pdm_tf.losses import (
    GAN_LOSSES,
    PERCEPTUAL_TAPS,
    l1_loss,
    mse_loss,
    perceptual_loss,
)
from pdm_tf.methods.base import NotNeeded, Role, Scalars, StepResult
from pdm_tf.methods.pairs import Pair
from pdm_tf.methods.steps import Optimizers
from pdm_tf.models.features.feature_net import FeatureNet
from pdm_tf.ops.filtering import high_pass, low_pass
from pdm_tf.ops.quantise import quantise_8bit

HR_FAKES = ("8bit", "raw")
PIXEL_LOSSES = {"l1": l1_loss, "l2": mse_loss}


class SRPart(Protocol):
    """Trains an SR network on pairs.

    Attributes:
      networks: the trained networks, built; "sr" is the one to use afterwards.
    """

    networks: Mapping[str, keras.Model]

    def learn(self, pair: Pair, optimizers: Optimizers) -> StepResult:
        """Computes losses of a step, and their gradients for `networks` alone.

        Args:
          pair: constants.
          optimizers: name of a network -> its optimiser, for `scale_loss`.
        """
        ...


class PixelSR:
    """Minimises |SR(lr) - target|: the SR part of PDM-SR and of supervised training.

    Args:
      sr: built SR network.
    """

    def __init__(self, sr: keras.Model) -> None:
        self.networks: Mapping[str, keras.Model] = {"sr": sr}

    def learn(self, pair: Pair, optimizers: Optimizers) -> StepResult:
        """Computes the mean absolute difference and its gradient."""
        sr = self.networks["sr"]
        with tf.GradientTape() as tape:
            loss = l1_loss(sr(pair.lr, training=True), pair.wanted)
            scaled = optimizers["sr"].scale_loss(loss)
        gradient = tape.gradient(scaled, sr.trainable_variables)
        return StepResult({"loss/sr_l1": loss}, {"sr": gradient})


@dataclasses.dataclass(frozen=True)
class GANSRConfig:
    """Settings of `GANSR`, which a method's settings inherit.

    Attributes:
      pixel_weight: of the pixel loss.
      perceptual_weight: of the perceptual loss; 0 does without the feature network.
      gan_weight: of both losses against the HR discriminator; 0 does without it.
      perceptual: which activations of VGG19 are compared: "conv5_4" (PDM release,
        ESRGAN, Ji et al.) or "five_taps" (Real-ESRGAN, BSRGAN).
      gan_loss: "lsgan" (PDM release, BSRGAN), "vanilla" (Real-ESRGAN), "hinge" or
        "relativistic" (ESRGAN, Ji et al.).
      hr_fakes: how the HR discriminator sees the results. "8bit": quantised like
        the real ones, gradient masked where clamped; "raw": as they are (releases).
      pixel: "l1", the mean absolute difference, or "l2", the mean squared one.
      frequency_window: side, odd, of the window whose mean is the low-pass image, which
        the pixel loss compares while the HR discriminator sees the rest (DSGAN: 9); 0:
        both see all frequencies.
    """

    # The method that has the pixel loss alone; "" if it is this one.
    pixel_method: ClassVar[str] = "supervised"

    pixel_weight: float = 1.0
    perceptual_weight: float = 0.05
    gan_weight: float = 0.05
    perceptual: str = "conv5_4"
    gan_loss: str = "lsgan"
    hr_fakes: str = "8bit"
    pixel: str = "l1"
    frequency_window: int = 0

    def __post_init__(self) -> None:
        require_one_of(
            self,
            perceptual=tuple(PERCEPTUAL_TAPS),
            gan_loss=tuple(GAN_LOSSES),
            hr_fakes=HR_FAKES,
            pixel=tuple(PIXEL_LOSSES),
        )
        require_not_below(self, pixel_weight=0, perceptual_weight=0, gan_weight=0)
        require_window(self, "frequency_window")
        no_other = self.perceptual_weight == 0 and self.gan_weight == 0
        if no_other and self.pixel_method:
            raise UserError(
                "One of `perceptual_weight` and `gan_weight` of "
                f"{type(self).__name__} must be above 0; without both it is "
                f"--method={self.pixel_method}. Received: 0 and 0."
            )


def require_window(settings: Any, name: str) -> None:
    """Raises UserError unless a setting is the side of a window, odd, or 0 for none."""
    side = getattr(settings, name)
    if side < 0 or (side and side % 2 == 0):
        raise UserError(
            f"`{name}` of {type(settings).__name__} must be odd, or 0 for none. "
            f"Received: {side}."
        )


class GANSR:
    """The SR part with pixel, perceptual and adversarial losses.

    Args:
      config: settings.
      sr: built SR network.
      discriminator: built, on HR images; None when `gan_weight` is 0.
      features: built; None when `perceptual_weight` is 0. It is no network of the
        method: nothing trains it and no checkpoint holds it.

    Raises:
      UserError: the features lack an activation that is to be compared.
    """

    def __init__(
        self,
        config: GANSRConfig,
        *,
        sr: keras.Model,
        discriminator: keras.Model | None = None,
        features: FeatureNet | None = None,
    ) -> None:
        self._config, self._features = config, features
        self._taps = PERCEPTUAL_TAPS[config.perceptual]
        offered = self._taps if features is None else features.tap_names
        missing = [tap for tap in self._taps if tap not in offered]
        if missing:
            raise UserError(
                f"--features must be a VGG19, which has {missing[0]}. "
                f"Received: {features.config}."
            )
        self.networks: Mapping[str, keras.Model] = {"sr": sr}
        if discriminator is not None:
            self.networks = {"sr": sr, "hr_discriminator": discriminator}

    @classmethod
    def roles(cls, config: GANSRConfig, method: str) -> dict[str, Role | NotNeeded]:
        """Names the parts that it needs besides the SR network.

        Args:
          config: settings.
          method: name of the method of which it is the SR part.
        """
        return {
            "hr_discriminator": Role("discriminator", "patchgan")
            if config.gan_weight
            else NotNeeded("gan_weight=0"),
            # Last: random features must not change what the others start with.
            "features": Role("features", "vgg19", frozen=method)
            if config.perceptual_weight
            else NotNeeded("perceptual_weight=0"),
        }

    @classmethod
    def made_of(cls, config: GANSRConfig, parts: Mapping[str, Any]) -> "GANSR":
        """Makes it of the parts that `roles` names and of "sr"."""
        return cls(
            config,
            sr=parts["sr"],
            discriminator=parts.get("hr_discriminator"),
            features=parts.get("features"),
        )

    def learn(self, pair: Pair, optimizers: Optimizers) -> StepResult:
        """Returns the SR network's and HR discriminator's result, at one point."""
        sr_net, target = self.networks["sr"], pair.wanted
        features = self._features_of(target)
        with tf.GradientTape(persistent=True) as tape:
            sr = sr_net(pair.lr, training=True)
            kind = self._config.pixel
            difference = PIXEL_LOSSES[kind](self._low(sr), self._low(target))
            scalars = {f"loss/sr_{kind}": difference}
            loss = self._config.pixel_weight * difference
            if features is not None:
                distance = perceptual_loss(self._features_of(sr), features, self._taps)
                scalars["loss/sr_perceptual"] = distance
                loss += self._config.perceptual_weight * distance
            losses = {"sr": loss}
            if "hr_discriminator" in self.networks:
                verdict = self._adversarial(sr, pair.hr)
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

    def _low(self, image: tf.Tensor) -> tf.Tensor:
        window = self._config.frequency_window
        return low_pass(image, window) if window else image

    def _adversarial(self, sr: tf.Tensor, hr: tf.Tensor) -> Scalars:
        discriminator = self.networks["hr_discriminator"]
        seen = quantise_8bit(sr) if self._config.hr_fakes == "8bit" else sr
        if window := self._config.frequency_window:
            seen, hr = high_pass(seen, window), high_pass(hr, window)
        fake_logits = discriminator(seen, training=True)
        real_logits = discriminator(hr, training=True)
        gan = GAN_LOSSES[self._config.gan_loss]
        return {
            "loss/sr_adv": gan.generator(real_logits, fake_logits),
            "loss/d_hr": gan.discriminator(real_logits, fake_logits),
            "stat/d_hr_real": tf.reduce_mean(real_logits),
            "stat/d_hr_fake": tf.reduce_mean(fake_logits),
        }
