"""What methods share that translate between two kinds of images, as CycleGAN does.

CycleGAN (Zhu et al. 2017, arXiv:1703.10593) learns G: X -> Y and F: Y -> X without
pairs. For x of X, a discriminator D that judges Y, and weights w:

  G        minimises  w_gan (D(G(x)) - 1)^2 + w_cycle |F(G(x)) - x| + w_idt |G(y) - y|
  F        minimises  w_cycle |F(G(x)) - x|, and the same three with X and Y exchanged
  D        minimises  w_gan ((D(y) - 1)^2 + D(h)^2) / 2

h: fakes G(x) of this step or of an earlier one, from a history buffer, so that D does
not forget what it has seen. Here Y or X are real LR images of unknown degradation and
the other are clean ones, bicubic reductions of HR photographs:

  translator            real_lr -> clean_lr, judged by `clean_discriminator`
  degradation           clean_lr -> real_lr, judged by `discriminator`

CinCGAN has the first half, CycleSR both, Maeda one and a half. Every loss is a function
of tensors and of the networks that it is meant for; a step sums them up for each
network, and `gradients_of` differentiates them all at one point.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import keras
import tensorflow as tf

from pdm_tf.core.checks import require_not_below, require_one_of
from pdm_tf.core.geometry import GRIDS
from pdm_tf.core.seeds import stream_seed
from pdm_tf.degradations import BicubicDegradation
from pdm_tf.losses import l1_loss, lsgan_discriminator_loss, lsgan_generator_loss
from pdm_tf.methods.base import Gradients, Scalars
from pdm_tf.methods.image_buffer import ImageBuffer
from pdm_tf.methods.pairs import PairMaker
from pdm_tf.methods.steps import Optimizers
from pdm_tf.ops.quantise import quantise_8bit_unmasked

FAKES = ("8bit_unmasked", "raw")
PARTS = ("original", "comparison")
Translation = Callable[[tf.Tensor], tf.Tensor]
# Name of a loss, as it is logged -> its weight, and the loss.
Terms = Mapping[str, tuple[float, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class CycleConfig:
    """Settings of translation, which a method's settings inherit.

    Attributes:
      adversarial_weight: of the adversarial losses between LR images, and of what their
        discriminators minimise.
      cycle_weight: of |F(G(x)) - x|.
      identity_weight: of |G(y) - y|: an image that is as it should be stays.
      buffer_size: earlier fakes that each discriminator also sees; 0: none.
      fakes: what discriminators see. "8bit_unmasked": generated and clean images
        rounded to 8 bits like the real ones, straight-through, gradient 1 everywhere;
        "raw": as they come (releases), so that their digits give them away.
      adversarial_beta_1: Adam's first decay, for all networks.
      grid: where the LR pixels of clean images lie, see `core.geometry`: "half_pixel",
        as those of bicubic pairs, or "pixel0". Nothing unpaired shows where those of
        the real images lie, and translators keep pixels in place.
      parts: whose networks the parts are where no flag says it: those of the method's
        paper ("original") or of Luo et al.'s comparison ("comparison").
    """

    adversarial_weight: float = 1.0
    cycle_weight: float = 10.0
    identity_weight: float = 5.0
    buffer_size: int = 50
    fakes: str = "8bit_unmasked"
    adversarial_beta_1: float = 0.5
    grid: str = "half_pixel"
    parts: str = "original"

    def __post_init__(self) -> None:
        require_one_of(self, fakes=FAKES, grid=GRIDS, parts=PARTS)
        require_not_below(
            self,
            adversarial_weight=0,
            cycle_weight=0,
            identity_weight=0,
            buffer_size=0,
            adversarial_beta_1=0,
        )


class Verdict(NamedTuple):
    """Both losses of a game between a generator and a discriminator.

    Attributes:
      generator: scalar; its gradient reaches whatever made the fakes, and must not be
        taken with respect to the discriminator.
      discriminator: scalar; reaches the discriminator alone.
    """

    generator: tf.Tensor
    discriminator: tf.Tensor


class Adversary:
    """A discriminator, and the buffer of the fakes that it has seen.

    Args:
      network: built discriminator.
      name: of its part in the method, from which its random numbers follow.
      shape: [height, width, 3] of the images that it judges.
      config: settings.
      seed: the run's seed.

    Attributes:
      buffer: state to checkpoint; it has no variables at size 0.
    """

    def __init__(
        self,
        network: keras.Model,
        name: str,
        shape: tuple[int, int, int],
        config: CycleConfig,
        seed: int,
    ) -> None:
        self._network, self._config = network, config
        self._seed = stream_seed(seed, f"buffer of {name}")
        self.buffer = ImageBuffer(config.buffer_size, shape)

    def judge(self, real: tf.Tensor, fake: tf.Tensor) -> Verdict:
        """Returns the LSGAN losses, with earlier fakes among those that D learns from.

        Without a buffer D's pass on the fakes is shared by both losses: D does not
        change in between.

        Args:
          real: [B, H, W, 3] images as they should be; constants to D's loss.
          fake: [B, H, W, 3] images of the generator, of this step.
        """
        network, config = self._network, self._config
        fake = as_seen(fake, config.fakes)
        real = tf.stop_gradient(as_seen(real, config.fakes))
        fake_logits = known_logits = network(fake, training=True)
        if config.buffer_size:
            known = self.buffer.exchange(fake, tf.constant(self._seed, tf.int32))
            known_logits = network(known, training=True)
        return Verdict(
            lsgan_generator_loss(fake_logits),
            lsgan_discriminator_loss(network(real, training=True), known_logits),
        )


def as_seen(image: tf.Tensor, fakes: str) -> tf.Tensor:
    """Returns an image as discriminators see it, see `CycleConfig.fakes`."""
    return quantise_8bit_unmasked(image) if fakes == "8bit_unmasked" else image


def cycle_loss(back: Translation, fake: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
    """Mean |F(G(x)) - x|.

    Args:
      back: F.
      fake: G(x), [B, h, w, 3].
      image: x, [B, h, w, 3].
    """
    return l1_loss(back(fake), image)


def identity_loss(translate: Translation, image: tf.Tensor) -> tf.Tensor:
    """Mean |G(y) - y| of images y that are what G is to make, [B, h, w, 3]."""
    return l1_loss(translate(image), image)


def weighted_sum(terms: Terms) -> tf.Tensor:
    """Returns what a generator minimises: the sum of weight * loss."""
    return tf.add_n([weight * loss for weight, loss in terms.values()])


def scalars_of(*groups: Terms) -> Scalars:
    """Returns the losses themselves, by name, to log."""
    return {name: loss for terms in groups for name, (_, loss) in terms.items()}


def gradients_of(
    tape: tf.GradientTape,
    losses: Mapping[tuple[str, ...], tf.Tensor],
    networks: Mapping[str, keras.Model],
    optimizers: Optimizers,
) -> Gradients:
    """Differentiates each loss with respect to the networks that minimise it.

    Networks that share a loss share one backward pass. What else a loss depends on,
    such as a discriminator, gets nothing of it.

    Args:
      tape: persistent; has recorded the losses.
      losses: names of networks -> the scalar that all of them minimise. A name occurs
        once.
      networks: name -> network.
      optimizers: name -> its optimiser; gradients are scaled as it wants them.
    """
    gradients: Gradients = {}
    for names, loss in losses.items():
        scales = [optimizers[name].scale_loss(tf.constant(1.0)) for name in names]
        variables = [networks[name].trainable_variables for name in names]
        # Networks in float16 have a scale each, which must be there on the way back.
        scaled = any(hasattr(optimizers[name], "dynamic_scale") for name in names)
        if scaled:
            found = [
                tape.gradient(loss, own, output_gradients=scale)
                for own, scale in zip(variables, scales, strict=True)
            ]
        else:
            found = tape.gradient(loss, variables)
        gradients |= dict(zip(names, found, strict=True))
    return gradients


def clean_pairs(
    scale: int, *, lr_patch: int, seed: int, config: CycleConfig
) -> PairMaker:
    """Makes pairs of a clean LR image and its photograph, by bicubic reduction."""
    return PairMaker(
        BicubicDegradation(scale, grid=config.grid),
        lr_patch=lr_patch,
        seed=seed,
        quantise=config.fakes == "8bit_unmasked",
    )
