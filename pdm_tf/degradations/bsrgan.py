"""BSRGAN's degradation: blur, shrinking, noise and JPEG in a random order.

Zhang et al. 2021, "Designing a Practical Degradation Model for Deep Blind Image
Super-Resolution" (arXiv:2103.14006), with the ranges of the published code:

1. Where 4 divides the scale, a quarter of the images is first shrunk by 2, and the
   rest of the chain by half the scale.
2. Six steps in an order drawn for each image: two blurs, two parts of shrinking, noise,
   JPEG. The first part goes to a random size, or blurs by a Gaussian and keeps every
   scale-th pixel; the second, always after it, to the final size.
3. JPEG once more.

Pixels of the result lie in the middle of the HR pixels that they cover. The Gaussian of
the first part is moved by (scale - 1) / 2 for it.
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from pdm_tf.degradations.base import Degradation, Degraded, Latents
from pdm_tf.degradations.bsrgan_parts import (
    JPEG_PERIOD,
    MATLAB,
    BlindConfig,
    Blur,
    Noise,
    add_noise,
    blur,
    draw_blur,
    draw_kind,
    draw_noise,
    draw_quality,
    final,
    resize,
    resize_by,
)
from pdm_tf.degradations.chain_steps import Step, each_image, in_order, unflatten
from pdm_tf.degradations.draws import Draws
from pdm_tf.ops.blur_kernels import gaussian_kernels
from pdm_tf.ops.filtering import filter_image
from pdm_tf.ops.jpeg_file import jpeg_file

# The steps by their numbers in the drawn order.
STEPS = ("blur", "second blur", "first shrink", "second shrink", "noise", "jpeg")
_FIRST, _SECOND = STEPS.index("first shrink"), STEPS.index("second shrink")
# Side of the Gaussian that goes before keeping every scale-th pixel.
_GAUSSIAN_SIDE = 25


@dataclasses.dataclass(frozen=True)
class BsrganConfig(BlindConfig):
    """Settings of `BsrganDegradation`, in addition to those of `BlindConfig`.

    Attributes:
      halving_probability: of shrinking by 2 before everything else, where 4 divides the
        scale.
      resize_probability: of a first part of shrinking that goes to a random size; else
        it is a Gaussian and every scale-th pixel.
      jpeg_probability: of JPEG in the middle of the chain.

    Raises:
      ValueError: as there.
    """

    halving_probability: float = 0.25
    resize_probability: float = 0.75
    jpeg_probability: float = 0.9


class BsrganDraws(NamedTuple):
    """All that is random about a batch; every field is [B, ...].

    Attributes:
      order: [B, 6] int32, numbers of `STEPS`.
      scale: [B] int32, what is left to shrink by after halving.
      halving_kind: [B] int32, index of `KINDS`.
      first_blur, second_blur: the blurs.
      resized: [B] bool, whether the first part goes to a random size.
      shrink: [B] float32, the factor from there.
      shrink_kind: [B] int32.
      sigma_px: [B] float32 of the first part's Gaussian where it does not.
      last_kind: [B] int32 of the second part.
      noise: the noise.
      compressed: [B] bool, whether there is JPEG in the middle.
      quality: [B] int32 of it.
      final_quality: [B] int32.
    """

    order: tf.Tensor
    scale: tf.Tensor
    halving_kind: tf.Tensor
    first_blur: Blur
    second_blur: Blur
    resized: tf.Tensor
    shrink: tf.Tensor
    shrink_kind: tf.Tensor
    sigma_px: tf.Tensor
    last_kind: tf.Tensor
    noise: Noise
    compressed: tf.Tensor
    quality: tf.Tensor
    final_quality: tf.Tensor


class BsrganDegradation(Degradation):
    """hr -> Degraded, whole images only; the latents are a flat `BsrganDraws`."""

    config_class = BsrganConfig
    margin = 0
    context = None
    mb_per_megapixel = 160
    grid = "half_pixel"
    on_host = True

    def __init__(self, scale: int, config: BsrganConfig | None = None) -> None:
        self.scale = scale
        self.config = config or BsrganConfig()
        self.grid_period = JPEG_PERIOD if self.config.final_jpeg else 0

    def draw(
        self, batch: int | tf.Tensor, height: int, width: int, seed: tf.Tensor
    ) -> Latents:
        """The flat `BsrganDraws`, which do not depend on the size."""
        del height, width
        config, draws = self.config, Draws(batch, seed)
        can_halve = self.scale % 4 == 0
        halved = draws.chance(config.halving_probability if can_halve else 0.0)
        scale = tf.where(halved, self.scale // 2, self.scale)
        factor = tf.cast(scale, tf.float32)
        matlab = draws.chance(0.5)
        drawn = BsrganDraws(
            order=_order(draws),
            scale=scale,
            halving_kind=tf.where(matlab, MATLAB, draw_kind(draws)),
            first_blur=draw_blur(draws, config, factor),
            second_blur=draw_blur(draws, config, factor),
            resized=draws.chance(config.resize_probability),
            shrink=draws.uniform(1.0, 2.0 * factor),
            shrink_kind=draw_kind(draws),
            sigma_px=draws.uniform(0.1, 0.6 * factor),
            last_kind=draw_kind(draws),
            noise=draw_noise(draws, config, config.noise_probability),
            compressed=draws.chance(config.jpeg_probability),
            quality=draw_quality(draws, config),
            final_quality=draw_quality(draws, config),
        )
        return tuple(tf.nest.flatten(drawn))

    def apply(
        self, hr: tf.Tensor, *latents: tf.Tensor | None, training: bool = False
    ) -> Degraded:
        """Carries the chain out, one image after the other."""
        del training
        draws = unflatten(BsrganDraws, latents)
        lr = each_image(self._degrade, hr, draws, self.scale)
        quality = draws.final_quality if self.config.final_jpeg else None
        return Degraded(lr, lr, quality=quality)

    def _degrade(self, image: tf.Tensor, draws: BsrganDraws) -> tf.Tensor:
        """[H, W, 3] -> [H / scale, W / scale, 3], with the draws of one image."""
        size = tf.shape(image)[:2]
        image = tf.cond(
            draws.scale < self.scale,
            lambda: resize(image, size // 2, draws.halving_kind),
            lambda: image,
        )
        image = in_order(image, draws.order, self.steps(draws, size // self.scale))
        return final(image, draws.final_quality, self.config)

    def steps(self, draws: BsrganDraws, size: tf.Tensor) -> list[Step]:
        """The steps of one image, in the order of `STEPS`; `size` is the final one."""
        side = self.config.kernel_sizes[1]
        return [
            lambda image: blur(image, draws.first_blur, side),
            lambda image: blur(image, draws.second_blur, side),
            lambda image: self._shrink(image, draws),
            lambda image: resize(image, size, draws.last_kind),
            lambda image: add_noise(image, draws.noise),
            lambda image: tf.cond(
                draws.compressed,
                lambda: jpeg_file(image, draws.quality),
                lambda: image,
            ),
        ]

    def _shrink(self, image: tf.Tensor, draws: BsrganDraws) -> tf.Tensor:
        """The first part of shrinking."""

        def decimated() -> tf.Tensor:
            return tf.cond(
                draws.scale < self.scale,
                lambda: decimate(image, draws.sigma_px, self.scale // 2),
                lambda: decimate(image, draws.sigma_px, self.scale),
            )

        return tf.cond(
            draws.resized,
            lambda: resize_by(image, 1.0 / draws.shrink, draws.shrink_kind),
            decimated,
        )


def decimate(image: tf.Tensor, sigma_px: tf.Tensor, scale: int) -> tf.Tensor:
    """Blurs by a Gaussian and keeps every scale-th pixel.

    Args:
      image: [H, W, 3].
      sigma_px: scalar standard deviation of the Gaussian of 25 x 25 taps. Its centre
        lies (scale - 1) / 2 behind the pixel that is kept: in the middle of those that
        it stands for.
      scale: of which the sides are multiples.

    Returns:
      [H / scale, W / scale, 3] in [0, 1].
    """
    sigmas_px, theta_rad = tf.fill([1, 2], sigma_px), tf.zeros([1, 1])
    centre_px = (scale - 1) / 2
    kernel = gaussian_kernels(sigmas_px, theta_rad, _GAUSSIAN_SIDE, centre_px)
    kernel = tf.reshape(kernel, [_GAUSSIAN_SIDE, _GAUSSIAN_SIDE])
    blurred = filter_image(image, kernel)[::scale, ::scale]
    return tf.clip_by_value(blurred, 0.0, 1.0)


def _order(draws: Draws) -> tf.Tensor:
    """[B, 6] int32: the steps shuffled, the parts of shrinking in their order."""
    places = tf.unstack(draws.uniform(0.0, 1.0, len(STEPS)), axis=1)
    pair = places[_FIRST], places[_SECOND]
    places[_FIRST], places[_SECOND] = tf.minimum(*pair), tf.maximum(*pair)
    return tf.argsort(tf.stack(places, axis=1), axis=1, stable=True)
