"""What `bsrgan` and `bsrgan_plus` have in common: blur, noise, JPEG and their settings.

Zhang et al. 2021 (arXiv:2103.14006), sections 3.1 to 3.4, with the ranges of the
published code. Everything is drawn for a whole batch, and carried out on one image
[H, W, 3], float32. Resizing and noise clip it to [0, 1], as the published code does.

Where the paper and the code differ, the paper is the default: noise with a full
covariance of the colours has the drawn level, not always the highest
(`covariance_level`). Noise of a camera's processing is left out, as everywhere in
public: the model that it needs was never released.
"""

import dataclasses
import math
from typing import Literal, NamedTuple

import tensorflow as tf

from pdm_tf.core.checks import (
    require_interval,
    require_not_below,
    require_one_of,
    require_probabilities,
    require_probability,
)
from pdm_tf.degradations.draws import Draws
from pdm_tf.ops.blur_kernels import bell_kernels
from pdm_tf.ops.filtering import filter_image
from pdm_tf.ops.image_noise import gaussian_noise
from pdm_tf.ops.jpeg_file import jpeg_file
from pdm_tf.ops.resample import KINDS, resample

# Kinds of resizing with equal odds.
_KINDS = tuple(KINDS.index(kind) for kind in ("bilinear", "bicubic", "area"))
MATLAB = KINDS.index("matlab_bicubic")
# JPEG with halved chroma repeats its grid of blocks after this many pixels.
JPEG_PERIOD = 16
# Narrower Gaussians are a single tap; 0 could not be divided by.
_LEAST_SIGMA_PX = 0.01
# Kinds of noise: independent in R, G and B; the same in them; with a covariance.
COLOUR, GREY, COVARIANCE = range(3)


@dataclasses.dataclass(frozen=True)
class BlindConfig:
    """Settings of blur, noise and JPEG; the defaults are the published values.

    Pairs of numbers are intervals.

    Attributes:
      blur_probability: of each blur; the published chains always blur.
      anisotropic_probability: of a Gaussian with two variances and an angle; else it is
        round.
      kernel_sizes: odd sides of kernels in pixels, both ends in it.
      variance_max_px2: both variances of an anisotropic Gaussian are uniform from 0 to
        this, in squared pixels; none: 4 + scale.
      sigma_max_px: the standard deviation of a round one is uniform from 0 to this;
        none: 2 + scale / 5.
      noise_probability: of each Gaussian noise; the published chains always add it.
      noise_kinds: probabilities of noise that is independent in R, G and B, of noise
        that is the same in them, and of noise with a random covariance.
      noise_255: whole standard deviations in levels of 8 bit, both ends in it.
      covariance_level: of noise with a random covariance: "drawn", as in the paper, or
        "highest", the upper end of `noise_255`, as in the code.
      quality: of JPEG, both ends in it.
      final_jpeg: whether the LR image ends as JPEG.

    Raises:
      ValueError: an interval is empty or impossible, or probabilities do not sum to 1.
    """

    blur_probability: float = 1.0
    anisotropic_probability: float = 0.5
    kernel_sizes: tuple[int, ...] = (7, 25)
    variance_max_px2: float | None = None
    sigma_max_px: float | None = None
    noise_probability: float = 1.0
    noise_kinds: tuple[float, ...] = (0.4, 0.4, 0.2)
    noise_255: tuple[int, ...] = (2, 25)
    covariance_level: Literal["drawn", "highest"] = "drawn"
    quality: tuple[int, ...] = (30, 95)
    final_jpeg: bool = True

    def __post_init__(self) -> None:
        fields = [field.name for field in dataclasses.fields(self)]
        odds = [name for name in fields if name.endswith("_probability")]
        require_probability(self, *odds)
        require_interval(self, "kernel_sizes", 1)
        if any(size % 2 == 0 for size in self.kernel_sizes):
            raise ValueError(
                f"`kernel_sizes` of {type(self).__name__} must be odd. "
                f"Received: {self.kernel_sizes}."
            )
        widths = ("variance_max_px2", "sigma_max_px")
        given = [name for name in widths if getattr(self, name) is not None]
        require_not_below(self, ValueError, **dict.fromkeys(given, 0))
        require_probabilities(self, "noise_kinds", 3)
        require_interval(self, "noise_255", 0)
        require_one_of(self, ValueError, covariance_level=("drawn", "highest"))
        require_interval(self, "quality", 1, 100)


class Blur(NamedTuple):
    """The Gaussian that blurs an image.

    Attributes:
      sigmas_px: [B, 2] float32, standard deviations along its two axes.
      theta_rad: [B] float32, angle of the first axis, from right towards below.
      size: [B] int32, odd side of the kernel; 1: no blur.
    """

    sigmas_px: tf.Tensor
    theta_rad: tf.Tensor
    size: tf.Tensor


class Noise(NamedTuple):
    """Gaussian noise of an image, white over its pixels.

    Attributes:
      kind: [B] int32: `COLOUR`, `GREY` or `COVARIANCE`.
      level_255: [B] int32, its standard deviation; 0: no noise.
      covariance: [B, 3, 3] float32 of R, G and B at a level of 1, for that kind.
      seed: [B, 2] int32 of the field, whose size is known when it is added.
    """

    kind: tf.Tensor
    level_255: tf.Tensor
    covariance: tf.Tensor
    seed: tf.Tensor


def draw_blur(draws: Draws, config: BlindConfig, scale: tf.Tensor) -> Blur:
    """Draws one blur for each image.

    Args:
      draws: of the batch.
      config: the settings.
      scale: [B] float32, the factor that is still to be shrunk by.
    """
    variance_max, sigma_max = config.variance_max_px2, config.sigma_max_px
    variance_max = 4.0 + scale if variance_max is None else variance_max
    sigma_max = 2.0 + scale / 5.0 if sigma_max is None else sigma_max
    anisotropic = draws.chance(config.anisotropic_probability)
    sigma = draws.uniform(0.0, sigma_max)
    sigmas = [
        tf.where(anisotropic, tf.sqrt(draws.uniform(0.0, variance_max)), sigma)
        for _ in range(2)
    ]
    theta_rad = draws.uniform(0.0, math.pi)
    halves = draws.integers(*(size // 2 for size in config.kernel_sizes))
    happens = draws.chance(config.blur_probability)
    size = tf.where(happens, 2 * halves + 1, 1)
    sigmas_px = tf.maximum(tf.stack(sigmas, axis=1), _LEAST_SIGMA_PX)
    return Blur(sigmas_px, theta_rad, size)


def draw_noise(draws: Draws, config: BlindConfig, probability: float) -> Noise:
    """Draws kind and level of one Gaussian noise for each image."""
    kind = draws.choice(config.noise_kinds)
    level = draws.integers(*config.noise_255)
    if config.covariance_level == "highest":
        level = tf.where(kind == COVARIANCE, config.noise_255[1], level)
    level = tf.where(draws.chance(probability), level, 0)
    covariance = random_covariance(
        draws.uniform(0.0, 1.0, 3), draws.uniform(0.0, 1.0, 3, 3)
    )
    return Noise(kind, level, covariance, draws.seeds())


def draw_quality(draws: Draws, config: BlindConfig) -> tf.Tensor:
    """[B] int32 JPEG qualities."""
    return draws.integers(*config.quality)


def draw_kind(draws: Draws) -> tf.Tensor:
    """[B] int32 kinds of resizing: bilinear, bicubic or area."""
    return tf.gather(tf.constant(_KINDS), draws.integers(0, len(_KINDS) - 1))


def blur(image: tf.Tensor, drawn: Blur, side: int) -> tf.Tensor:
    """Blurs; at its edges the image is mirrored without repeating the edge pixel.

    Args:
      image: [H, W, 3].
      drawn: of this image.
      side: the largest size that can be drawn.
    """

    def blurred() -> tf.Tensor:
        kernel = bell_kernels(
            drawn.sigmas_px[None],
            drawn.theta_rad[None, None],
            side,
            used_side=drawn.size[None, None],
        )
        return filter_image(image, tf.reshape(kernel, [side, side]))

    return tf.cond(drawn.size == 1, lambda: image, blurred)


def resize(image: tf.Tensor, size: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
    """To [height, width], clipped, since bicubic overshoots."""
    return tf.clip_by_value(resample(image, size[0], size[1], kind), 0.0, 1.0)


def resize_by(image: tf.Tensor, factor: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
    """By a factor: sides are rounded down, to 1 at least."""
    sides = tf.cast(tf.shape(image)[:2], tf.float32)
    return resize(image, tf.maximum(tf.cast(sides * factor, tf.int32), 1), kind)


def add_noise(image: tf.Tensor, drawn: Noise) -> tf.Tensor:
    """Adds Gaussian noise."""
    return tf.cond(
        drawn.level_255 == 0,
        lambda: image,
        lambda: tf.clip_by_value(image + _noise_field(image, drawn), 0.0, 1.0),
    )


def add_speckle(image: tf.Tensor, drawn: Noise) -> tf.Tensor:
    """Adds Gaussian noise times the image."""
    return tf.cond(
        drawn.level_255 == 0,
        lambda: image,
        lambda: tf.clip_by_value(image + image * _noise_field(image, drawn), 0.0, 1.0),
    )


def final(image: tf.Tensor, quality: tf.Tensor, config: BlindConfig) -> tf.Tensor:
    """The last step: JPEG, unless that is switched off."""
    return jpeg_file(image, quality) if config.final_jpeg else image


def _noise_field(image: tf.Tensor, drawn: Noise) -> tf.Tensor:
    """[H, W, 3 or 1]."""
    white = gaussian_noise(image, drawn.seed, drawn.kind == GREY)
    mixed = tf.cond(
        drawn.kind == COVARIANCE,
        lambda: tf.matmul(white, _root(drawn.covariance)),
        lambda: white,
    )
    return tf.cast(drawn.level_255, tf.float32) / 255.0 * mixed


def random_covariance(weights: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
    """Covariances of R, G and B: |U' D U|, entry by entry.

    The absolute values are the published code's: noise of the colours never goes in
    opposite directions. For 3 x 3 they leave a matrix positive semidefinite, and they
    make the signs of singular vectors, which are a library's choice, immaterial.

    Args:
      weights: [B, 3], the diagonal of D.
      uniform: [B, 3, 3], whose left singular vectors are U.

    Returns:
      [B, 3, 3].
    """
    _, left, _ = tf.linalg.svd(uniform)
    product = tf.matmul(left, weights[:, :, None] * left, transpose_a=True)
    return tf.abs(product)


def _root(covariance: tf.Tensor) -> tf.Tensor:
    """[3, 3] symmetric root."""
    values, vectors = tf.linalg.eigh(covariance)
    roots = tf.sqrt(tf.maximum(values, 0.0))
    return tf.matmul(vectors * roots, vectors, transpose_b=True)
