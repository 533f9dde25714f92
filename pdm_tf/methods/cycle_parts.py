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
from collections.abc import Callable

import tensorflow as tf

from pdm_tf.core.checks import require_not_below, require_one_of
from pdm_tf.core.geometry import GRIDS
from pdm_tf.degradations import BicubicDegradation
from pdm_tf.losses import l1_loss
from pdm_tf.methods.adversaries import (
    FAKES,
    PARTS,
    Adversary,
    Terms,
    Verdict,
    as_seen,
    gradients_of,
    scalars_of,
    weighted_sum,
)
from pdm_tf.methods.pairs import PairMaker

__all__ = [
    "FAKES",
    "PARTS",
    "Adversary",
    "CycleConfig",
    "Terms",
    "Translation",
    "Verdict",
    "as_seen",
    "clean_pairs",
    "cycle_loss",
    "gradients_of",
    "identity_loss",
    "scalars_of",
    "weighted_sum",
]

Translation = Callable[[tf.Tensor], tf.Tensor]


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
