"""Losses: plain functions of tensors that know no network.

Between two images of one scene: `l1_loss`, `mse_loss`,
`perceptual_loss`. Of one image: `total_variation_loss`. On the output of a
degradation model: `noise_energy_loss`, `centroid_loss`. On its distribution:
`anchor_loss`. Between real and generated images: the GAN losses. D is the
discriminator's raw logit, s the sigmoid; E means over all logits of a call. Every
discriminator loss is the mean of its real and its fake half.

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

The perceptual loss is that of Johnson et al. 2016 (arXiv:1603.08155), with the changes
of ESRGAN (Wang et al. 2018, arXiv:1809.00219): activations before the ReLU, and L1. The
PDM release compares conv5_4 of VGG19; Real-ESRGAN (Wang et al. 2021, arXiv:2107.10833)
and BSRGAN compare five taps with the weights .1, .1, 1, 1, 1. Taps are those of
`models.features.VGG`, which does the normalisation. The release gives (HR, SR) to a
function that detaches its second argument, so its perceptual term never reached the SR
network (B1 of the list of mistakes). Here the target is detached, and named so.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pdm_tf.ops.blur import kernel_centroid


def l1_loss(sr: tf.Tensor, hr: tf.Tensor) -> tf.Tensor:
    """Mean absolute difference.

    Args:
      sr: [B, H, W, C] float32.
      hr: same shape.

    Returns:
      Scalar float32 in the images' unit.

    Raises:
      ValueError: the static shapes differ (broadcasting would hide it).
    """
    if not sr.shape.is_compatible_with(hr.shape):
        raise ValueError(
            "`sr` and `hr` must have one shape. "
            f"Received: {tuple(sr.shape)} and {tuple(hr.shape)}."
        )
    return tf.reduce_mean(tf.abs(tf.cast(sr, tf.float32) - tf.cast(hr, tf.float32)))


def mse_loss(image: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """Mean squared difference.

    Args:
      image: [B, H, W, C] float32.
      target: same shape.

    Returns:
      Scalar float32 in the square of the images' unit.

    Raises:
      ValueError: the static shapes differ (broadcasting would hide it).
    """
    if not image.shape.is_compatible_with(target.shape):
        raise ValueError(
            "`image` and `target` must have one shape. "
            f"Received: {tuple(image.shape)} and {tuple(target.shape)}."
        )
    difference = tf.cast(image, tf.float32) - tf.cast(target, tf.float32)
    return tf.reduce_mean(tf.square(difference))


def total_variation_loss(image: tf.Tensor, power: int = 1) -> tf.Tensor:
    """Mean difference of neighbours, down and right, to a power.

    CinCGAN (Yuan et al. 2018, arXiv:1809.00437, Eqs. 5 and 11) has the squares, so that
    noise costs more than edges.

    Args:
      image: [B, H, W, C] float32.
      power: 1 for absolute, 2 for squared differences.

    Returns:
      Scalar float32: the mean over vertical ones plus that over horizontal ones.
    """
    image = tf.cast(image, tf.float32)
    down, right = image[:, 1:] - image[:, :-1], image[:, :, 1:] - image[:, :, :-1]
    size = tf.abs if power == 1 else tf.square
    return tf.reduce_mean(size(down)) + tf.reduce_mean(size(right))


# Name of a setting -> tap -> weight.
PERCEPTUAL_TAPS: Mapping[str, Mapping[str, float]] = {
    "conv5_4": {"conv5_4": 1.0},
    "five_taps": {
        "conv1_2": 0.1,
        "conv2_2": 0.1,
        "conv3_4": 1.0,
        "conv4_4": 1.0,
        "conv5_4": 1.0,
    },
}


def perceptual_loss(
    sr_features: Mapping[str, tf.Tensor],
    hr_features: Mapping[str, tf.Tensor],
    weights: Mapping[str, float],
) -> tf.Tensor:
    """sum over taps of weight * mean|sr - hr|; no gradient through `hr_features`.

    Args:
      sr_features: tap -> [B, h, w, C] activations of the result.
      hr_features: those of the target.
      weights: tap -> weight; every tap must be in both.

    Returns:
      Scalar float32.

    Raises:
      ValueError: a tap is missing or the shapes of a pair differ.
    """
    total = tf.constant(0.0)
    for tap, weight in weights.items():
        if tap not in sr_features or tap not in hr_features:
            raise ValueError(
                f"Features of tap {tap} are needed of both images. Received: "
                f"{', '.join(sr_features)} and {', '.join(hr_features)}."
            )
        sr, hr = sr_features[tap], tf.stop_gradient(hr_features[tap])
        if not sr.shape.is_compatible_with(hr.shape):
            raise ValueError(
                "Features must have one shape. Received: "
                f"{tap}, {tuple(sr.shape)} and {tuple(hr.shape)}."
            )
        distance = tf.abs(tf.cast(sr, tf.float32) - tf.cast(hr, tf.float32))
        total += weight * tf.reduce_mean(distance)
    return total


def noise_energy_loss(noise: tf.Tensor) -> tf.Tensor:
    """mean(noise^2) over all elements: l_reg, Eq. 12 of Luo et al. 2022.

    The paper weighs it with lambda = 100 so that the noise module leaves the image's
    content to the kernel module.
    """
    return tf.reduce_mean(tf.square(tf.cast(noise, tf.float32)))


def centroid_loss(kernel: tf.Tensor, target_px: float = 0.0) -> tf.Tensor:
    """Mean squared distance of the kernels' centres of mass from the target.

    Unpaired training cannot see a translation: a kernel and its shifted copy give LR
    crops that are equally real, and the SR network then learns to undo the shift.
    Not in the paper.

    Args:
      kernel: [B, h, w, K*K], sums to 1 over the last axis.
      target_px: wanted centre, in HR pixels down and right of the middle tap (see
        `ops.blur.grid_geometry`).

    Returns:
      Scalar float32 in squared HR pixels.
    """
    offset = kernel_centroid(kernel) - target_px
    return tf.reduce_mean(tf.reduce_sum(tf.square(offset), axis=-1))


def anchor_loss(
    mean: tf.Tensor,
    covariance: tf.Tensor,
    *,
    target_mean: np.ndarray,
    target_covariance: np.ndarray,
    mean_error: np.ndarray,
    photographs: float,
) -> tf.Tensor:
    """How much less likely a normal distribution is than the measured one, in nats.

    With d = mean - target_mean, Q = mean_error, and the Cholesky factor c of the
    covariance in coordinates u where the target is I and Q diag(e),

        d^T Q^-1 d / 2 + sum_i w_i log(c_ii)^2 + sum_i>j (w_i w_j)^(1/2) c_ij^2 / 2.

    Near the target the last two are n / 4 |log S|^2, the loss in likelihood when n
    samples of N(0, I) are said to be of N(0, S); w_i = 1 / (n e_i^2) is n where a
    photograph tells its coordinate exactly (e_i = 1 / n) and less where it does not. So
    it is stiff where many photographs say the same and soft where they say nothing. A
    variance on its way to 0 meets a wall, and a growing one a slope.

    Args:
      mean: [D], covariance: [D, D] positive definite, of the distribution.
      target_mean: [D], target_covariance: [D, D] positive definite, as measured.
      mean_error: [D, D] covariance of the error of `target_mean`, positive definite.
      photographs: n, how many they were measured from.

    Returns:
      Scalar float32, 0 at the target.
    """
    root = np.linalg.inv(np.linalg.cholesky(np.asarray(target_covariance)))
    shares, axes = np.linalg.eigh(root @ np.asarray(mean_error) @ root.T)
    to_u = tf.constant(axes.T @ root, tf.float32)
    stiffness = 1.0 / (photographs * np.square(shares))
    offset = tf.linalg.matvec(to_u, mean - np.asarray(target_mean, np.float32))
    of_mean = tf.reduce_sum(tf.square(offset) / shares.astype(np.float32)) / 2.0
    factor = tf.linalg.cholesky(
        tf.matmul(tf.matmul(to_u, covariance), to_u, transpose_b=True)
    )
    diagonal = tf.math.log(tf.linalg.diag_part(factor))
    of_sizes = tf.reduce_sum(stiffness.astype(np.float32) * tf.square(diagonal))
    pairs = np.tril(np.sqrt(np.outer(stiffness, stiffness)), -1).astype(np.float32)
    of_turns = tf.reduce_sum(pairs * tf.square(factor)) / 2.0
    return of_mean + of_sizes + of_turns


class GANLoss(NamedTuple):
    """A pair of losses; both take the real logits first, then the fake ones.

    Attributes:
      generator: scalar float32; the caller stops gradients through real logits.
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
    """Subtracts the other side's mean from each side."""
    real, fake = tf.cast(real_logits, tf.float32), tf.cast(fake_logits, tf.float32)
    return real - tf.reduce_mean(fake), fake - tf.reduce_mean(real)
