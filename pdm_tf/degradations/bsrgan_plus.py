"""The extended BSRGAN degradation: twice blur, resize, four noises, mostly in order.

`degradation_bsrgan_plus` of the code that was published with BSRGAN (Zhang et al. 2021,
arXiv:2103.14006), which the paper does not describe: BSRGAN's steps with Real-ESRGAN's
(arXiv:2107.10833) random resizing, sharpening of the HR image and signal-dependent
noise.

1. The HR image is sharpened, also as what SR should make of the result.
2. Eleven steps, shuffled for a tenth of the images only: blur, resize, noise, Poisson
   noise, speckle, JPEG, and the first five again.
3. To the final size, and JPEG.
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from pdm_tf.core.checks import require_interval, require_probabilities
from pdm_tf.degradations.base import Degraded, Latents, SharpeningDegradation
from pdm_tf.degradations.bsrgan_parts import (
    JPEG_PERIOD,
    BlindConfig,
    Blur,
    Noise,
    add_noise,
    add_speckle,
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
from pdm_tf.ops.filtering import usm_sharpened
from pdm_tf.ops.image_noise import poisson_noise
from pdm_tf.ops.jpeg_file import jpeg_file
from pdm_tf.ops.quantise import quantise_8bit

STEPS = (
    "blur",
    "resize",
    "noise",
    "poisson",
    "speckle",
    "jpeg",
    "second blur",
    "second resize",
    "second noise",
    "second poisson",
    "second speckle",
)


@dataclasses.dataclass(frozen=True)
class BsrganPlusConfig(BlindConfig):
    """Settings of `BsrganPlusDegradation`, in addition to those of `BlindConfig`.

    Attributes:
      sharpen: whether HR images are sharpened first, and the target with them.
      shuffle_probability: of a random order of the steps.
      resize_modes: probabilities of up, down and no resizing.
      resize: factor of resizing: uniform from the first divided by the scale to 1 where
        it shrinks, and from 1 to the second where it enlarges.
      poisson_probability: of each Poisson noise.
      photons_log10: decimal logarithm of its photons for white.
      grey_probability: of Poisson noise that is the same in R, G and B.
      speckle_probability: of each speckle, Gaussian noise times the image.
      jpeg_probability: of JPEG in the middle of the chain.

    Raises:
      ValueError: as there.
    """

    sharpen: bool = True
    shuffle_probability: float = 0.1
    resize_modes: tuple[float, ...] = (0.2, 0.7, 0.1)
    resize: tuple[float, ...] = (0.5, 2.0)
    poisson_probability: float = 0.1
    photons_log10: tuple[float, ...] = (2.0, 4.0)
    grey_probability: float = 0.5
    speckle_probability: float = 0.1
    jpeg_probability: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_probabilities(self, "resize_modes", 3)
        require_interval(self, "resize", 0.01)
        if not self.resize[0] <= 1 <= self.resize[1]:
            raise ValueError(
                f"`resize` of BsrganPlusConfig must hold 1. Received: {self.resize}."
            )
        require_interval(self, "photons_log10", 0, 6)


class Poisson(NamedTuple):
    """Poisson noise of an image.

    Attributes:
      happens: [B] bool.
      photons_log10: [B] float32, decimal logarithm of the photons for white.
      is_grey: [B] bool.
      seed: [B, 2] int32 of the field.
    """

    happens: tf.Tensor
    photons_log10: tf.Tensor
    is_grey: tf.Tensor
    seed: tf.Tensor


class Round(NamedTuple):
    """What is random about one round of steps; every field is [B, ...].

    Attributes:
      blur: the blur.
      factor: [B] float32 of the resize; 1: none.
      kind: [B] int32 of the resize.
      noise: the Gaussian noise.
      poisson: the Poisson noise.
      speckle: Gaussian noise, which is multiplied by the image.
    """

    blur: Blur
    factor: tf.Tensor
    kind: tf.Tensor
    noise: Noise
    poisson: Poisson
    speckle: Noise


class BsrganPlusDraws(NamedTuple):
    """All that is random about a batch; every field is [B, ...].

    Attributes:
      order: [B, 11] int32, numbers of `STEPS`.
      first, second: the rounds.
      compressed: [B] bool, whether there is JPEG in the middle.
      quality: [B] int32 of it.
      last_kind: [B] int32 of the resize to the final size.
      final_quality: [B] int32.
    """

    order: tf.Tensor
    first: Round
    second: Round
    compressed: tf.Tensor
    quality: tf.Tensor
    last_kind: tf.Tensor
    final_quality: tf.Tensor


class BsrganPlusDegradation(SharpeningDegradation):
    """hr -> Degraded, whole images only; the latents are a flat `BsrganPlusDraws`."""

    config_class = BsrganPlusConfig
    margin = 0
    context = None
    mb_per_megapixel = 310
    grid = "half_pixel"
    on_host = True

    def __init__(self, scale: int, config: BsrganPlusConfig | None = None) -> None:
        self.scale = scale
        self.config = config or BsrganPlusConfig()
        self.grid_period = JPEG_PERIOD if self.config.final_jpeg else 0

    def draw(
        self, batch: int | tf.Tensor, height: int, width: int, seed: tf.Tensor
    ) -> Latents:
        """The flat `BsrganPlusDraws`, which do not depend on the size."""
        del height, width
        config, draws = self.config, Draws(batch, seed)
        shuffled = draws.chance(config.shuffle_probability)
        places = draws.uniform(0.0, 1.0, len(STEPS))
        in_order = tf.range(float(len(STEPS))) + 0 * places
        drawn = BsrganPlusDraws(
            order=tf.argsort(tf.where(shuffled[:, None], places, in_order), axis=1),
            first=self._draw_round(draws),
            second=self._draw_round(draws),
            compressed=draws.chance(config.jpeg_probability),
            quality=draw_quality(draws, config),
            last_kind=draw_kind(draws),
            final_quality=draw_quality(draws, config),
        )
        return tuple(tf.nest.flatten(drawn))

    def _draw_round(self, draws: Draws) -> Round:
        config = self.config
        mode = draws.choice(config.resize_modes)
        up = draws.uniform(1.0, config.resize[1])
        down = draws.uniform(config.resize[0] / self.scale, 1.0)
        return Round(
            blur=draw_blur(draws, config, float(self.scale)),
            factor=tf.where(mode == 0, up, tf.where(mode == 1, down, 1.0)),
            kind=draw_kind(draws),
            noise=draw_noise(draws, config, config.noise_probability),
            poisson=Poisson(
                draws.chance(config.poisson_probability),
                draws.uniform(*config.photons_log10),
                draws.chance(config.grey_probability),
                draws.seeds(),
            ),
            speckle=draw_noise(draws, config, config.speckle_probability),
        )

    def apply(
        self, hr: tf.Tensor, *latents: tf.Tensor | None, training: bool = False
    ) -> Degraded:
        """Sharpens the HR images, and carries the chain out on one after the other."""
        del training
        draws = unflatten(BsrganPlusDraws, latents)
        hr, target = tf.cast(hr, tf.float32), None
        if self.config.sharpen:
            hr = target = tf.map_fn(usm_sharpened, hr)
        lr = each_image(self._degrade, hr, draws, self.scale)
        quality = draws.final_quality if self.config.final_jpeg else None
        return Degraded(lr, lr, quality=quality, target=target)

    def _degrade(self, image: tf.Tensor, draws: BsrganPlusDraws) -> tf.Tensor:
        """[H, W, 3] -> [H / scale, W / scale, 3], with the draws of one image."""
        size = tf.shape(image)[:2] // self.scale
        image = in_order(image, draws.order, self.steps(draws))
        image = resize(image, size, draws.last_kind)
        return final(image, draws.final_quality, self.config)

    def steps(self, draws: BsrganPlusDraws) -> list[Step]:
        """The steps of one image, in the order of `STEPS`."""

        def compress(image: tf.Tensor) -> tf.Tensor:
            return tf.cond(
                draws.compressed,
                lambda: jpeg_file(image, draws.quality),
                lambda: image,
            )

        side = self.config.kernel_sizes[1]
        return [*_round(draws.first, side), compress, *_round(draws.second, side)]


def _round(drawn: Round, side: int) -> list[Step]:
    """Five steps of one image."""
    return [
        lambda image: blur(image, drawn.blur, side),
        lambda image: tf.cond(
            drawn.factor == 1.0,
            lambda: image,
            lambda: resize_by(image, drawn.factor, drawn.kind),
        ),
        lambda image: add_noise(image, drawn.noise),
        lambda image: _add_poisson(image, drawn.poisson),
        lambda image: add_speckle(image, drawn.speckle),
    ]


def _add_poisson(image: tf.Tensor, drawn: Poisson) -> tf.Tensor:
    """Adds the noise of photons to the image in 8 bits."""

    def noisy() -> tf.Tensor:
        levels = quantise_8bit(image)
        # A power of one number: of many at once, the last bit may depend on how many.
        photons = 10.0**drawn.photons_log10
        noise = poisson_noise(levels, drawn.seed, drawn.is_grey, photons)
        return tf.clip_by_value(levels + noise, 0.0, 1.0)

    return tf.cond(drawn.happens, noisy, lambda: image)
