"""The probabilistic degradation model: kernel, noise and JPEG module around blur.

Luo et al. 2022 (arXiv:2203.04962), section 3.3, Eq. 11:
y_clean = (x conv netK(z_k)) downsampled by s; y = y_clean + netN(z_n, y_clean). With a
JPEG module, which is ours, y is stored as JPEG and read again.
Latents come in as tensors, so that the caller controls the randomness.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.degradations.base import Degradation, Degraded, KernelFacts
from pdm_tf.degradations.draws import folded
from pdm_tf.degradations.jpeg_module import JPEGModule, JPEGModuleConfig
from pdm_tf.degradations.kernel_module import KernelModuleConfig
from pdm_tf.degradations.noise_module import NoiseModuleConfig
from pdm_tf.degradations.parametric_noise import ParametricNoiseConfig
from pdm_tf.models.network import Network, require_choice
from pdm_tf.ops.blur import (
    BORDERS,
    GRIDS,
    blur_downsample,
    blur_mixture,
    grid_geometry,
    hr_footprint,
)

NOISE_FORMS = {form.form: form for form in (NoiseModuleConfig, ParametricNoiseConfig)}
_SAMPLE_MAP = 17  # LR pixels; a map of one would be all border to 3x3 windows
_SAMPLES_AT_ONCE = 32


class PDMLatents(NamedTuple):
    """The latents from which a PDM's images are made.

    Attributes:
      kernel: z_k [B, 1, 1, f_k] or [B, h, w, f_k].
      noise: z_n [B, h, w, f_n], or None without a noise module.
      quality: z_q [B, f_q], or None without a JPEG module.
      level: z_l [B, 2], or None without a parametric noise module.
    """

    kernel: tf.Tensor | None
    noise: tf.Tensor | None
    quality: tf.Tensor | None = None
    level: tf.Tensor | None = None


@dataclasses.dataclass(frozen=True)
class PDMConfig:
    """Settings of `PDM`.

    Attributes:
      scale: downsampling factor.
      kernel: settings of netK.
      noise: settings of netN or of parametric noise, or None to model blur alone.
      grid: sampling grid, "pixel0" or "half_pixel" (see ops.blur).
      border: "valid" (HR comes with a margin of K//2) or "reflect".
      jpeg: settings of the JPEG stage, or None for none.
    """

    scale: int = 4
    kernel: KernelModuleConfig = KernelModuleConfig()
    noise: NoiseModuleConfig | ParametricNoiseConfig | None = NoiseModuleConfig()
    grid: str = "pixel0"
    border: str = "valid"
    jpeg: JPEGModuleConfig | None = None

    def __post_init__(self) -> None:
        # A config that went through JSON or Keras arrives as nested dicts. Configs
        # saved before a setting existed behave as the paper does.
        if isinstance(self.kernel, dict):
            kernel = {"smoothing_px": 0.0, **self.kernel}
            object.__setattr__(self, "kernel", KernelModuleConfig(**kernel))
        if isinstance(self.noise, dict):
            object.__setattr__(self, "noise", _noise_config(self.noise))
        if isinstance(self.jpeg, dict):
            object.__setattr__(self, "jpeg", JPEGModuleConfig(**self.jpeg))
        require_choice(self, "grid", GRIDS)
        require_choice(self, "border", BORDERS)
        if self.scale < 1:
            raise ValueError(
                f"`scale` of PDMConfig must be at least 1. Received: {self.scale}."
            )
        if self.kernel.use_image and self.kernel.kernel_size < self.scale:
            raise UserError(
                "`kernel_size` must be at least `scale` with use_image=true: netK sees "
                "the HR pixels under each LR pixel, which must lie in the blur's "
                f"window. Received: {self.kernel.kernel_size} and {self.scale}."
            )

    @property
    def margin(self) -> int:
        """HR pixels that the blur eats on each side (0 when it mirrors)."""
        return self.kernel.kernel_size // 2 if self.border == "valid" else 0

    @property
    def grid_period(self) -> int:
        """LR pixels after which JPEG's grid of blocks repeats; 0 without JPEG."""
        return self.jpeg.period if self.jpeg else 0

    @property
    def context(self) -> int:
        """LR pixels that the convolutions of a `PDM` see to each side.

        The noise module sees the blurred image, hence what the kernel module saw.
        """
        noise = 0 if self.noise is None else self.noise.radius
        # JPEG needs whole blocks, and one beyond for the triangle upsampling of chroma.
        # Windows begin at multiples of 16, where blocks of either size do.
        blocks = 16 if self.jpeg is not None and self.jpeg.subsampling == "420" else 0
        return blocks + noise + self.kernel.radius

    def build(self, dtype: str = "float32", name: str | None = None) -> "PDM":
        """The `PDM`, with its variables."""
        network = PDM(self, dtype=dtype, name=name)
        size = 8 * self.scale + 2 * self.margin
        if self.border == "reflect":
            size = max(size, self.scale * self.kernel.kernel_size)
        hr = np.zeros([2, size, size, 3], np.float32)
        lr_size = (size - 2 * self.margin) // self.scale
        network(hr, *network.draw(2, lr_size, lr_size, tf.constant([0, 0])))
        return network


@keras.saving.register_keras_serializable("pdm_tf")
class PDM(Network, Degradation):
    """(hr [B, H, W, 3], z_k, z_n, z_q, z_l) -> Degraded; see `PDMLatents`."""

    config_class = PDMConfig
    role = "degradation"

    def __init__(self, config: PDMConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        # Where a centred kernel's mass lies, HR pixels off the middle tap.
        _, self.centre_px = grid_geometry(config.scale, config.grid)
        self.kernel_module = config.kernel.make(
            self.centre_px, 3 * config.scale**2, name="kernel_module"
        )
        self.noise_module = None
        if config.noise is not None:
            self.noise_module = config.noise.make(
                dtype=self.layer_dtype, name="noise_module"
            )
        self.jpeg_module = None
        if config.jpeg is not None:
            self.jpeg_module = JPEGModule(config.jpeg, name="jpeg_module")

    def call(
        self,
        hr: tf.Tensor,
        z_k: tf.Tensor | None,
        z_n: tf.Tensor | None = None,
        z_q: tf.Tensor | None = None,
        z_l: tf.Tensor | None = None,
        training: bool = False,
        border: str | None = None,
    ) -> Degraded:
        clean_lr, kernel = self._blurred(hr, z_k, training, border)
        lr, noise, quality = clean_lr, None, None
        if self.noise_module is not None:
            noise = self.noise_module(z_n, clean_lr, z_l, training=training)
            lr = clean_lr + noise
        if self.jpeg_module is not None:
            lr, quality = self.jpeg_module(z_q, lr, training=training)
        return Degraded(lr, clean_lr, kernel, noise, quality)

    def _blurred(
        self, hr: tf.Tensor, z_k: tf.Tensor | None, training: bool, border: str | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes y_clean, and the kernels that made it."""
        config = self.config
        geometry = {"grid": config.grid, "border": border or config.border}
        margin = self.margin if border == "valid" else self.crop_margin
        image = self._seen_by_kernels(hr, margin)
        made = self.kernel_module(z_k, image, training=training)
        hr = tf.cast(hr, tf.float32)
        if not config.kernel.basis:
            return blur_downsample(hr, made, config.scale, **geometry), made
        # In a graph the kernels are not made unless somebody asks for them.
        return blur_mixture(hr, *made, config.scale, **geometry), _mixed(made)

    @property
    def margin(self) -> int:
        """HR pixels that `apply` takes off each side: half a kernel."""
        return self.config.kernel.kernel_size // 2

    @property
    def kernel_facts(self) -> KernelFacts:
        """Of the kernels that the kernel module makes."""
        kernel = self.config.kernel
        return KernelFacts(kernel.kernel_size, self.centre_px, kernel.latent == "zero")

    @property
    def untold(self) -> Mapping[str, str]:
        """Nothing, but the noise of one that has no noise module."""
        return {} if self.noise_module else {"noise": "it has learned blur alone"}

    @property
    def grid(self) -> str:
        """Where LR pixels lie in the HR image, see `core.geometry`."""
        return self.config.grid

    @property
    def crop_margin(self) -> int:
        """HR pixels of context around training crops: 0 with border="reflect"."""
        return self.config.margin

    @property
    def context(self) -> int:
        """LR pixels that its convolutions see to each side."""
        return self.config.context

    @property
    def grid_period(self) -> int:
        """LR pixels after which JPEG's grid of blocks repeats; 0 without JPEG."""
        return self.config.grid_period

    def apply(
        self, hr: tf.Tensor, *latents: tf.Tensor | None, training: bool = False
    ) -> Degraded:
        """Calls the network on `hr` with its margin, whatever the border in training.

        With border="reflect" the network itself mirrors what it is given. Windows of a
        photograph are mirrored at the photograph's edges alone, before this call.
        """
        hr = tf.cast(hr, tf.float32)
        return self(hr, *latents, training=training, border="valid")

    def draw(
        self, batch: int | tf.Tensor, height: int, width: int, seed: tf.Tensor
    ) -> PDMLatents:
        """Draws all latents, a pure function of the seed, each N(0, I).

        Args:
          batch: number of images.
          height: LR height.
          width: LR width.
          seed: [2] integers.

        Returns:
          z_k, z_n, z_q, z_l: zero where the config says so, None where there is no
          module that takes it.
        """
        z_k = z_n = z_q = z_l = None
        shape = self.kernel_module.latent_shape(batch, height, width)
        if shape:
            z_k = _normal(shape, seed, 0, self.config.kernel.latent)
        if self.noise_module is not None:
            shape = self.noise_module.latent_shape(batch, height, width)
            if shape:
                z_n = _normal(shape, seed, 1)
            if channels := self.config.noise.level_channels:
                z_l = _normal([batch, channels], seed, 3)
        if self.jpeg_module is not None:
            shape = self.jpeg_module.latent_shape(batch)
            z_q = _normal(shape, seed, 2, self.config.jpeg.latent)
        return PDMLatents(z_k, z_n, z_q, z_l)

    def kernels(
        self, z_k: tf.Tensor | None, hr: tf.Tensor | None, training: bool = False
    ) -> tf.Tensor:
        """Computes the kernels for latents and, if the module looks at them, HR images.

        Args:
          z_k: as `draw` gives it.
          hr: [B, H, W, 3] with the margin; may be None unless use_image is on.
          training: whether batch normalisation uses the batch.

        Returns:
          [B, h, w, K*K] if the form is per pixel, else [B, 1, 1, K*K].
        """
        image = self._seen_by_kernels(hr, self.crop_margin)
        made = self.kernel_module(z_k, image, training=training)
        return _mixed(made) if self.config.kernel.basis else made

    def _seen_by_kernels(self, hr: tf.Tensor | None, margin: int) -> tf.Tensor | None:
        """The HR image on the LR grid, if the kernel module looks at it."""
        config = self.config
        if not config.kernel.use_image or hr is None:
            return None
        return hr_footprint(hr, config.scale, config.grid, margin)

    def sample_kernels(
        self, count: int, seed: int = 0, hr: tf.Tensor | None = None
    ) -> np.ndarray:
        """Draws from the learned distribution of kernels.

        A form with one kernel per pixel gives the one in the middle of a map, drawn for
        each sample: as many LR pixels as `hr` has, or `_SAMPLE_MAP` each way.

        Args:
          count: how many.
          seed: same seed, same kernels.
          hr: [N, H, W, 3] float with the margin, needed if netK sees the image; sample
            i takes image i modulo N.

        Returns:
          [count, K, K] float32, each non-negative and summing to 1.

        Raises:
          UserError: netK sees the image and there is none.
        """
        config = self.config
        if config.kernel.use_image and hr is None:
            raise UserError(
                "Kernels of netK(x) and netK(x, z) depend on the image: sampling them "
                "needs HR images (`hr`). Received: none, with use_image=true."
            )
        side = config.kernel.kernel_size
        height = width = _SAMPLE_MAP if config.kernel.spatial else 1
        if config.kernel.use_image:
            _, height, width = self.lr_shape(hr)
        found = []
        for first in range(0, count, _SAMPLES_AT_ONCE):
            rows = range(first, min(count, first + _SAMPLES_AT_ONCE))
            seeds = tf.constant([seed, first])
            z_k = self.draw(len(rows), height, width, seeds).kernel
            images = None
            if config.kernel.use_image:
                images = tf.stack([hr[row % len(hr)] for row in rows])
            kernels = self.kernels(z_k, images).numpy()
            middle = kernels[:, kernels.shape[1] // 2, kernels.shape[2] // 2]
            found.append(middle.reshape(-1, side, side))
        return np.concatenate(found)


def _mixed(made: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    """Weights [B, h, w, N] and basis [N, K*K] -> kernels [B, h, w, K*K]."""
    return tf.tensordot(*made, axes=1)


def _noise_config(stored: dict[str, Any]) -> NoiseModuleConfig | ParametricNoiseConfig:
    """The settings of either form, of their fields; only the parametric has levels."""
    if "log_mean" in stored:
        return ParametricNoiseConfig(**stored)
    return NoiseModuleConfig(**{"zero_mean": False, "output_scale": 1.0, **stored})


def _normal(
    shape: list[int | tf.Tensor], seed: tf.Tensor, index: int, latent: str = "normal"
) -> tf.Tensor:
    if latent == "zero":
        return tf.zeros(shape)
    return tf.random.stateless_normal(shape, folded(seed, index))
