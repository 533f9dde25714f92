"""GAN losses: least squares (as PDM uses them), plain, hinge, relativistic average.

D is the discriminator's raw logit, s the sigmoid; E means over all logits of a call.
Every discriminator loss is the mean of its real and its fake half.

  family       discriminator, real half / fake half             generator
  lsgan        (D(real) - 1)^2 / D(fake)^2                      (D(fake) - 1)^2
  vanilla      -log s(D(real)) / -log(1 - s(D(fake)))           -log s(D(fake))
  hinge        max(0, 1 - D(real)) / max(0, 1 + D(fake))        -D(fake)
  relativistic -log s(D(real) - E D(fake)) /                    real and fake exchanged
               -log(1 - s(D(fake) - E D(real)))

Sources: Mao et al. 2017 (arXiv:1611.04076), Eq. (2) with b = c = 1, a = 0; Goodfellow
et al. 2014 (arXiv:1406.2661), the generator in its non-saturating form; Lim and Ye 2017
(arXiv:1705.02894); Jolicoeur-Martineau 2018 (arXiv:1807.00734) as in ESRGAN, Wang et
al. 2018 (arXiv:1809.00219), Eqs. (1) and (2).

`GAN_LOSSES` is the table from which a method chooses. Means over a batch in parts or on
several devices are means over what one device sees at once: for the first three that
sums up to the whole batch, for the relativistic loss, whose E stands inside, it does
not quite.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf


class GANLoss(NamedTuple):
    """A pair of losses; both take the real logits first, then the fake ones.

    Attributes:
      generator: scalar float32; gradients through real logits are the caller's to stop.
      discriminator: scalar float32.
    """

    generator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    discriminator: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def lsgan_generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """mean((D(fake) - 1)^2).

    Args:
      fake_logits: any shape, raw discriminator output on generated images.

    Returns:
      Scalar float32, 0 when the discriminator takes every fake for real.
    """
    return tf.reduce_mean(tf.square(tf.cast(fake_logits, tf.float32) - 1.0))


def lsgan_discriminator_loss(
    real_logits: tf.Tensor, fake_logits: tf.Tensor
) -> tf.Tensor:
    """Mean of the real half, (D(real) - 1)^2, and the fake half, D(fake)^2.

    Args:
      real_logits: any shape, raw output on observed images.
      fake_logits: any shape, raw output on generated images.

    Returns:
      Scalar float32: 0 when perfect, 0.25 for a discriminator that answers 1/2.
    """
    real = tf.reduce_mean(tf.square(tf.cast(real_logits, tf.float32) - 1.0))
    fake = tf.reduce_mean(tf.square(tf.cast(fake_logits, tf.float32)))
    return 0.5 * (real + fake)


def vanilla_generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """mean(-log s(D(fake))), the non-saturating form.

    Returns:
      Scalar float32 above 0; log 2 at logits of 0.
    """
    return _taken_for_real(fake_logits)


def vanilla_discriminator_loss(
    real_logits: tf.Tensor, fake_logits: tf.Tensor
) -> tf.Tensor:
    """Binary cross entropy, mean of both halves.

    Returns:
      Scalar float32 above 0; log 2 at logits of 0.
    """
    return 0.5 * (_taken_for_real(real_logits) + _taken_for_fake(fake_logits))


def hinge_generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """mean(-D(fake)): scalar float32, of either sign."""
    return -tf.reduce_mean(tf.cast(fake_logits, tf.float32))


def hinge_discriminator_loss(
    real_logits: tf.Tensor, fake_logits: tf.Tensor
) -> tf.Tensor:
    """Mean of max(0, 1 - D(real)) and max(0, 1 + D(fake)).

    Returns:
      Scalar float32: 0 when every logit is beyond its margin, 1 at logits of 0.
    """
    real = tf.reduce_mean(tf.nn.relu(1.0 - tf.cast(real_logits, tf.float32)))
    fake = tf.reduce_mean(tf.nn.relu(1.0 + tf.cast(fake_logits, tf.float32)))
    return 0.5 * (real + fake)


def relativistic_discriminator_loss(
    real_logits: tf.Tensor, fake_logits: tf.Tensor
) -> tf.Tensor:
    """Whether a real image is more real than fakes are on average, and vice versa.

    Returns:
      Scalar float32 above 0; log 2 when real and fake logits are alike.
    """
    real, fake = _relative(real_logits, fake_logits)
    return 0.5 * (_taken_for_real(real) + _taken_for_fake(fake))


def relativistic_generator_loss(
    real_logits: tf.Tensor, fake_logits: tf.Tensor
) -> tf.Tensor:
    """The discriminator's loss with real and fake exchanged.

    Returns:
      Scalar float32 above 0; log 2 when real and fake logits are alike.
    """
    real, fake = _relative(real_logits, fake_logits)
    return 0.5 * (_taken_for_fake(real) + _taken_for_real(fake))


GAN_LOSSES: Mapping[str, GANLoss] = {
    "lsgan": GANLoss(
        lambda real, fake: lsgan_generator_loss(fake), lsgan_discriminator_loss
    ),
    "vanilla": GANLoss(
        lambda real, fake: vanilla_generator_loss(fake), vanilla_discriminator_loss
    ),
    "hinge": GANLoss(
        lambda real, fake: hinge_generator_loss(fake), hinge_discriminator_loss
    ),
    "relativistic": GANLoss(
        relativistic_generator_loss, relativistic_discriminator_loss
    ),
}


def _taken_for_real(logits: tf.Tensor) -> tf.Tensor:
    """mean(-log s(x)), without overflow."""
    return tf.reduce_mean(tf.nn.softplus(-tf.cast(logits, tf.float32)))


def _taken_for_fake(logits: tf.Tensor) -> tf.Tensor:
    """mean(-log(1 - s(x))), without overflow."""
    return tf.reduce_mean(tf.nn.softplus(tf.cast(logits, tf.float32)))


def _relative(
    real_logits: tf.Tensor, fake_logits: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Each side less the mean of the other."""
    real, fake = tf.cast(real_logits, tf.float32), tf.cast(fake_logits, tf.float32)
    return real - tf.reduce_mean(fake), fake - tf.reduce_mean(real)
