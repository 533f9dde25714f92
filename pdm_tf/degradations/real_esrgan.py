"""Real-ESRGAN's second-order degradation (Wang et al. 2021, arXiv:2107.10833).

Twice: blur, resize, noise, JPEG (section 3.2); in the second round with other ranges
and without blur now and then; the image comes to its size at the end, where a sinc
filter (Eq. 6), which makes ringing and overshoot, is put before or after the last JPEG
(section 3.3). Ranges and probabilities are those of the released settings. The HR image
may be sharpened first (section 3.4): the LR image is made of it, and it is the target.

    kernels    six shapes, or a sinc; odd sides from an interval
    resize     up, down, or not at all; bilinear, bicubic or area
    noise      Gaussian or Poisson, of one field for all colours now and then
    JPEG       libjpeg's, chroma halved

Everything is drawn for each image, where the released code has one size of resizing,
one kind of noise, one coin flip and one field of grey noise for a whole batch, and
takes the correlation out by a pool of earlier batches. Resizing keeps LR pixels on
their places (`half_pixel`), while the released code's first one moves them by up to a
pixel, and JPEG is that of files. See docs/deviations.md.

The whole image takes part: no window of it can be computed alone, because of JPEG's
blocks at sizes of their own.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from pdm_tf.core.checks import (
    require_interval,
    require_probabilities,
    require_probability,
)
from pdm_tf.degradations.base import Degraded, Latents, SharpeningDegradation
from pdm_tf.degradations.draws import Draws
from pdm_tf.ops.blur_kernels import bell_kernels, sinc_kernels
from pdm_tf.ops.filtering import filter_image, usm_sharpened
from pdm_tf.ops.image_noise import gaussian_noise, poisson_noise
from pdm_tf.ops.jpeg_file import jpeg_file
from pdm_tf.ops.quantise import quantise_8bit
from pdm_tf.ops.resample import KINDS, resample

# PyTorch's area, see ops.resample.
_RESIZES = [KINDS.index(kind) for kind in ("area_bins", "bilinear", "bicubic")]
_PI = 3.14159265358979
# Below this side the sinc's cutoff begins at pi/3, from it on at pi/5.
_WIDE_SINC = 13


@dataclasses.dataclass(frozen=True)
class RealESRGANConfig:
    """Settings of `RealESRGANDegradation`; pairs of numbers are intervals.

    Attributes:
      sharpen: whether HR images are sharpened first, and the target with them.
      kernel_sizes: odd sides of kernels in HR pixels, both ends in it.
      kernel_shapes: probabilities of isotropic and anisotropic Gaussians, generalised
        ones (iso- and anisotropic) and plateaus (iso- and anisotropic).
      generalised_beta, plateau_beta: shape parameters, see `ops.blur_kernels`; below
        and above 1 are equally likely.
      sinc_probability: of a sinc instead of these shapes.
      sigma_px: of the first blur, pixels of its image.
      resize_modes: probabilities of up, down and no resizing.
      resize: factor of the first resizing, from its smallest to its largest; 1 is
        between.
      gaussian_probability: of Gaussian noise, Poisson noise otherwise.
      noise_255: standard deviation of Gaussian noise, in levels of 8 bit.
      poisson: factor of Poisson noise.
      grey_probability: of one field of noise for all colours.
      quality: of JPEG, both ends in it.
      blur2_probability: of the second blur.
      sigma2_px, resize2_modes, gaussian2_probability, noise2_255: as without the 2,
        of the second round.
      poisson2, grey2_probability, quality2: likewise.
      resize2: factor of the second resizing, relative to the LR image's size.
      final_sinc_probability: of the sinc at the end, whose cutoff begins at pi/3.

    Raises:
      ValueError: an interval is empty or impossible, or probabilities do not sum to 1.
    """

    sharpen: bool = True
    kernel_sizes: tuple[int, ...] = (7, 21)
    kernel_shapes: tuple[float, ...] = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03)
    generalised_beta: tuple[float, ...] = (0.5, 4.0)
    plateau_beta: tuple[float, ...] = (1.0, 2.0)
    sinc_probability: float = 0.1
    sigma_px: tuple[float, ...] = (0.2, 3.0)
    resize_modes: tuple[float, ...] = (0.2, 0.7, 0.1)
    resize: tuple[float, ...] = (0.15, 1.5)
    gaussian_probability: float = 0.5
    noise_255: tuple[float, ...] = (1.0, 30.0)
    poisson: tuple[float, ...] = (0.05, 3.0)
    grey_probability: float = 0.4
    quality: tuple[int, ...] = (30, 95)
    blur2_probability: float = 0.8
    sigma2_px: tuple[float, ...] = (0.2, 1.5)
    resize2_modes: tuple[float, ...] = (0.3, 0.4, 0.3)
    resize2: tuple[float, ...] = (0.3, 1.2)
    gaussian2_probability: float = 0.5
    noise2_255: tuple[float, ...] = (1.0, 25.0)
    poisson2: tuple[float, ...] = (0.05, 2.5)
    grey2_probability: float = 0.4
    quality2: tuple[int, ...] = (30, 95)
    final_sinc_probability: float = 0.8

    def __post_init__(self) -> None:
        require_interval(self, "kernel_sizes", 1)
        if any(size % 2 == 0 for size in self.kernel_sizes):
            self._refuse("kernel_sizes", "hold odd sides")
        for name in ("generalised_beta", "plateau_beta", "sigma_px", "sigma2_px"):
            require_interval(self, name, 1e-3)
        for name in ("resize", "resize2"):
            require_interval(self, name, 0.01)
            low, high = getattr(self, name)
            if not low <= 1 <= high:
                self._refuse(name, "hold 1")
        for name in ("noise_255", "noise2_255", "poisson", "poisson2"):
            require_interval(self, name, 0)
        for name in ("quality", "quality2"):
            require_interval(self, name, 1, 100)
        require_probabilities(self, "kernel_shapes", 6)
        require_probabilities(self, "resize_modes", 3)
        require_probabilities(self, "resize2_modes", 3)
        names = [field.name for field in dataclasses.fields(self)]
        odds = [name for name in names if name.endswith("_probability")]
        require_probability(self, *odds)

    def _refuse(self, name: str, rule: str) -> None:
        raise ValueError(
            f"`{name}` of {type(self).__name__} must {rule}. "
            f"Received: {getattr(self, name)}."
        )


class _Round(NamedTuple):
    """What is drawn for one round, [B, ...].

    Attributes:
      kernel: [B, K*K].
      factor: [B] of the resizing.
      kind: [B] int32, index into ops.resample.KINDS.
      is_gaussian: [B] bool, Poisson otherwise.
      is_grey: [B] bool.
      strength: [B] standard deviation in units of [0, 1], or factor of Poisson noise.
      seed: [B, 2] int32 of the noise.
      quality: [B] int32 of JPEG.
    """

    kernel: tf.Tensor
    factor: tf.Tensor
    kind: tf.Tensor
    is_gaussian: tf.Tensor
    is_grey: tf.Tensor
    strength: tf.Tensor
    seed: tf.Tensor
    quality: tf.Tensor


class _End(NamedTuple):
    """What is drawn for the end, [B, ...].

    Attributes:
      kernel: [B, K*K], the sinc or a single 1.
      kind: [B] int32, index into ops.resample.KINDS.
      jpeg_last: [B] bool; else it comes first.
    """

    kernel: tf.Tensor
    kind: tf.Tensor
    jpeg_last: tf.Tensor


class RealESRGANDegradation(SharpeningDegradation):
    """hr -> Degraded; `quality` in it is that of the second JPEG."""

    config_class = RealESRGANConfig
    margin = 0
    context = None
    grid_period = 16
    grid = "half_pixel"
    on_host = True

    def __init__(self, scale: int, config: RealESRGANConfig | None = None) -> None:
        self.scale = scale
        self.config = config or RealESRGANConfig()

    def draw(
        self, batch: int | tf.Tensor, height: int, width: int, seed: tf.Tensor
    ) -> Latents:
        """Draws both rounds and the end, see the classes above, in a row."""
        del height, width
        config, draws = self.config, Draws(batch, seed)
        first = _Round(
            self._kernels(draws, config.sigma_px),
            _factors(draws, config.resize_modes, config.resize),
            _resizes(draws),
            *_noise(
                draws,
                config.gaussian_probability,
                config.grey_probability,
                config.noise_255,
                config.poisson,
            ),
            draws.integers(*config.quality),
        )
        second = _Round(
            tf.where(
                draws.chance(config.blur2_probability, 1),
                self._kernels(draws, config.sigma2_px),
                self._delta(),
            ),
            _factors(draws, config.resize2_modes, config.resize2),
            _resizes(draws),
            *_noise(
                draws,
                config.gaussian2_probability,
                config.grey2_probability,
                config.noise2_255,
                config.poisson2,
            ),
            draws.integers(*config.quality2),
        )
        sinc = sinc_kernels(
            draws.uniform(_PI / 3.0, _PI, 1), config.kernel_sizes[1], self._sides(draws)
        )
        is_sinc = draws.chance(config.final_sinc_probability, 1)
        end = _End(
            tf.where(is_sinc, sinc, self._delta()), _resizes(draws), draws.chance(0.5)
        )
        return *first, *second, *end

    def apply(
        self, hr: tf.Tensor, *latents: tf.Tensor | None, training: bool = False
    ) -> Degraded:
        """Degrades one image after the other."""
        del training
        hr = tf.cast(hr, tf.float32)
        image = tf.TensorSpec([None, None, 3], tf.float32)
        degraded_one = _graph(
            self.scale, self.config.sharpen, self.config.kernel_sizes[1]
        )
        lr, target = tf.map_fn(
            lambda sample: degraded_one(*sample),
            (hr, *latents),
            fn_output_signature=(image, image),
        )
        height, width = (
            None if side is None else side // self.scale for side in hr.shape[1:3]
        )
        lr = tf.ensure_shape(lr, [hr.shape[0], height, width, 3])
        target = tf.ensure_shape(target, hr.shape) if self.config.sharpen else None
        quality = tf.cast(_split(latents)[1].quality, tf.float32)
        return Degraded(lr, lr, quality=quality, target=target)

    def _kernels(self, draws: Draws, sigma_px: tuple[float, ...]) -> tf.Tensor:
        """[B, K*K] of random shape, or a sinc."""
        config, side = self.config, self.config.kernel_sizes[1]
        used = self._sides(draws)
        shape = draws.choice(config.kernel_shapes, 1)
        sigmas = draws.uniform(*sigma_px, 2)
        is_isotropic = shape % 2 == 0
        sigmas = tf.where(is_isotropic, sigmas[:, :1], sigmas)
        theta = draws.uniform(-_PI, _PI, 1)
        is_plateau = shape >= 4
        beta = tf.where(
            is_plateau,
            _betas(draws, config.plateau_beta),
            _betas(draws, config.generalised_beta),
        )
        bells = bell_kernels(
            sigmas,
            theta,
            side,
            beta=tf.where(shape < 2, 1.0, beta),
            plateau=is_plateau,
            used_side=used,
        )
        lowest = tf.where(used < _WIDE_SINC, _PI / 3.0, _PI / 5.0)
        sincs = sinc_kernels(draws.uniform(lowest, _PI, 1), side, used)
        return tf.where(draws.chance(config.sinc_probability, 1), sincs, bells)

    def _sides(self, draws: Draws) -> tf.Tensor:
        """[B, 1] odd int32."""
        least, most = self.config.kernel_sizes
        return 2 * draws.integers(least // 2, most // 2, 1) + 1

    def _delta(self) -> tf.Tensor:
        """[1, K*K] the kernel that changes nothing."""
        taps = self.config.kernel_sizes[1] ** 2
        return tf.one_hot([taps // 2], taps)


@functools.cache
def _graph(
    scale: int, sharpen: bool, side: int
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """One graph for images of any size, in whatever graph it is called."""
    kernel = tf.TensorSpec([side**2], tf.float32)
    one_round = _Round(
        kernel,
        factor=tf.TensorSpec([], tf.float32),
        kind=tf.TensorSpec([], tf.int32),
        is_gaussian=tf.TensorSpec([], tf.bool),
        is_grey=tf.TensorSpec([], tf.bool),
        strength=tf.TensorSpec([], tf.float32),
        seed=tf.TensorSpec([2], tf.int32),
        quality=tf.TensorSpec([], tf.int32),
    )
    end = _End(kernel, one_round.kind, one_round.is_grey)
    return tf.function(
        functools.partial(_degraded_one, scale, sharpen),
        input_signature=[
            tf.TensorSpec([None, None, 3], tf.float32),
            *one_round,
            *one_round,
            *end,
        ],
        autograph=False,
    )


def _degraded_one(
    scale: int, sharpen: bool, hr: tf.Tensor, *latents: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """[H, W, 3] -> LR image and target."""
    first, second, end = _split(latents)
    if sharpen:
        hr = usm_sharpened(hr)
    size = tf.shape(hr)[:2]
    lr_size = size // scale
    image = jpeg_file(_one_round(hr, first, size), first.quality)
    image = _one_round(image, second, lr_size)

    def to_lr(image: tf.Tensor) -> tf.Tensor:
        image = resample(image, lr_size[0], lr_size[1], end.kind)
        return filter_image(image, _square(end.kernel))

    lr = tf.cond(
        end.jpeg_last,
        lambda: jpeg_file(to_lr(image), second.quality),
        lambda: to_lr(jpeg_file(image, second.quality)),
    )
    return quantise_8bit(lr), hr


def _split(latents: Latents) -> tuple[_Round, _Round, _End]:
    count = len(_Round._fields)
    first, second = latents[:count], latents[count : 2 * count]
    return _Round(*first), _Round(*second), _End(*latents[2 * count :])


def _factors(
    draws: Draws, modes: tuple[float, ...], interval: tuple[float, ...]
) -> tf.Tensor:
    """[B] above 1, below 1, or 1."""
    low, high = interval
    mode = draws.choice(modes)
    up, down = draws.uniform(1.0, high), draws.uniform(low, 1.0)
    return tf.where(mode == 0, up, tf.where(mode == 1, down, 1.0))


def _resizes(draws: Draws) -> tf.Tensor:
    return tf.gather(tf.constant(_RESIZES), draws.integers(0, 2))


def _noise(
    draws: Draws,
    gaussian_probability: float,
    grey_probability: float,
    noise_255: tuple[float, ...],
    poisson: tuple[float, ...],
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """`is_gaussian`, `is_grey`, `strength` and `seed` of a round."""
    is_gaussian = draws.chance(gaussian_probability)
    is_grey = draws.chance(grey_probability)
    std, factor = draws.uniform(*noise_255) / 255.0, draws.uniform(*poisson)
    return is_gaussian, is_grey, tf.where(is_gaussian, std, factor), draws.seeds()


def _betas(draws: Draws, interval: tuple[float, ...]) -> tf.Tensor:
    """[B, 1]: below and above 1 with equal chances, where the interval has both."""
    low, high = interval
    middle = min(max(1.0, low), high)
    below, above = draws.uniform(low, middle, 1), draws.uniform(middle, high, 1)
    return tf.where(draws.chance(0.5, 1), below, above)


def _one_round(image: tf.Tensor, draw: _Round, base: tf.Tensor) -> tf.Tensor:
    """Blur, resize to `factor` times `base` pixels, noise; in [0, 1]."""
    image = filter_image(image, _square(draw.kernel))
    size = tf.cast(tf.cast(base, tf.float32) * draw.factor, tf.int32)
    size = tf.maximum(size, 1)
    image = resample(image, size[0], size[1], draw.kind)
    noise = tf.cond(
        draw.is_gaussian,
        lambda: gaussian_noise(image, draw.seed, draw.is_grey),
        lambda: poisson_noise(image, draw.seed, draw.is_grey),
    )
    return tf.clip_by_value(image + draw.strength * noise, 0.0, 1.0)


def _square(kernel: tf.Tensor) -> tf.Tensor:
    side = round(kernel.shape[-1] ** 0.5)
    return tf.reshape(kernel, [side, side])
