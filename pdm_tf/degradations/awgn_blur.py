"""The general degradation model: y = (x conv k) downsampled by s, plus white noise.

Its first form in this field is Eq. 1 of Zhang et al. 2019 (arXiv:1903.12529); blind
super-resolution since then draws k from anisotropic Gaussians and the noise level from
an interval. Here both standard deviations of the Gaussian, its angle, and the noise's
standard deviation are uniform in their intervals, one draw for each image. With
`sigma_min_px == sigma_max_px` the blur is fixed and round; with `noise_max_255=0` there
is no noise.
"""

import dataclasses
import math

import tensorflow as tf

from pdm_tf.degradations.base import Degradation, Degraded, Latents
from pdm_tf.degradations.draws import folded
from pdm_tf.ops.blur import GRIDS, blur_downsample, grid_geometry
from pdm_tf.ops.blur_kernels import gaussian_kernels


@dataclasses.dataclass(frozen=True)
class AwgnBlurConfig:
    """Settings of `AwgnBlurDegradation`.

    Attributes:
      kernel_size: K, odd.
      sigma_min_px, sigma_max_px: interval of the Gaussian's two standard deviations,
        HR pixels.
      noise_min_255, noise_max_255: interval of the noise's standard deviation, in
        levels of 8 bit; the noise of R, G and B is independent.
      grid: sampling grid, see ops.blur.

    Raises:
      ValueError: an empty or negative interval, or an even kernel.
    """

    kernel_size: int = 21
    sigma_min_px: float = 0.6
    sigma_max_px: float = 4.0
    noise_min_255: float = 0.0
    noise_max_255: float = 15.0
    grid: str = "pixel0"

    def __post_init__(self) -> None:
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ValueError(
                "`kernel_size` of AwgnBlurConfig must be odd and positive. "
                f"Received: {self.kernel_size}."
            )
        if not 0 < self.sigma_min_px <= self.sigma_max_px:
            raise ValueError(
                "`sigma_min_px` of AwgnBlurConfig must be positive and not above "
                f"`sigma_max_px`. Received: {self.sigma_min_px} and "
                f"{self.sigma_max_px}."
            )
        if not 0 <= self.noise_min_255 <= self.noise_max_255:
            raise ValueError(
                "`noise_min_255` of AwgnBlurConfig must be 0 or more and not above "
                f"`noise_max_255`. Received: {self.noise_min_255} and "
                f"{self.noise_max_255}."
            )
        if self.grid not in GRIDS:
            raise ValueError(
                f"`grid` of AwgnBlurConfig must be one of {', '.join(GRIDS)}. "
                f"Received: {self.grid!r}."
            )


class AwgnBlurDegradation(Degradation):
    """hr with a margin of K//2 -> Degraded; latents are (kernel, noise)."""

    config_class = AwgnBlurConfig

    def __init__(self, scale: int, config: AwgnBlurConfig | None = None) -> None:
        self.scale = scale
        self.config = config or AwgnBlurConfig()
        self.margin, self.grid = self.config.kernel_size // 2, self.config.grid
        _, self._centre_px = grid_geometry(scale, self.config.grid)

    def draw(self, batch: int, height: int, width: int, seed: tf.Tensor) -> Latents:
        """(kernel [B, 1, 1, K*K], noise [B, height, width, 3] in units of [0, 1])."""
        config = self.config

        def uniform(stream: int, low: float, high: float, *shape: int) -> tf.Tensor:
            unit = tf.random.stateless_uniform([batch, *shape], folded(seed, stream))
            return low + (high - low) * unit

        sigmas_px = uniform(0, config.sigma_min_px, config.sigma_max_px, 2)
        theta_rad = uniform(1, 0.0, math.pi, 1)
        kernel = gaussian_kernels(
            sigmas_px, theta_rad, config.kernel_size, self._centre_px
        )
        std = uniform(2, config.noise_min_255, config.noise_max_255, 1, 1, 1) / 255.0
        white = tf.random.stateless_normal([batch, height, width, 3], folded(seed, 3))
        return kernel, std * white

    def apply(
        self, hr: tf.Tensor, *latents: tf.Tensor | None, training: bool = False
    ) -> Degraded:
        """Blurs, keeps every scale-th pixel, adds the noise."""
        del training
        kernel, noise = latents
        clean_lr = blur_downsample(
            tf.cast(hr, tf.float32),
            kernel,
            self.scale,
            grid=self.config.grid,
            border="valid",
        )
        return Degraded(clean_lr + noise, clean_lr, kernel, noise)
