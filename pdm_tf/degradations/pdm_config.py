"""Settings of the degradation model."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.degradations.jpeg_module import JPEGModuleConfig
from pdm_tf.degradations.kernel_config import KernelModuleConfig
from pdm_tf.degradations.noise_module import NoiseModuleConfig
from pdm_tf.models.network import require_choice
from pdm_tf.ops.blur import BORDERS, GRIDS


@dataclasses.dataclass(frozen=True)
class PDMConfig:
    """Settings of `PDM`.

    Attributes:
      scale: downsampling factor.
      kernel: settings of netK.
      noise: settings of netN, or None to model blur alone.
      grid: sampling grid, "pixel0" or "half_pixel" (see ops.blur).
      border: "valid" (HR comes with a margin of K//2) or "reflect".
      jpeg: settings of the JPEG stage, or None for none.
    """

    scale: int = 4
    kernel: KernelModuleConfig = KernelModuleConfig()
    noise: NoiseModuleConfig | None = NoiseModuleConfig()
    grid: str = "pixel0"
    border: str = "valid"
    jpeg: JPEGModuleConfig | None = None

    def __post_init__(self) -> None:
        # A config that went through JSON or Keras arrives as nested dicts. What was
        # saved before there was a choice did as the paper does.
        if isinstance(self.kernel, dict):
            kernel = {"smoothing_px": 0.0, **self.kernel}
            object.__setattr__(self, "kernel", KernelModuleConfig(**kernel))
        if isinstance(self.noise, dict):
            noise = {"zero_mean": False, "output_scale": 1.0, **self.noise}
            object.__setattr__(self, "noise", NoiseModuleConfig(**noise))
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
        """LR pixels after which JPEG's grid of blocks repeats; 0 without JPEG.

        A crop of a JPEG file begins anywhere on the grid, while `PDM` begins it at the
        image's first pixel. Who makes crops lets `PDM` make as many pixels more, in
        both directions, and cuts at random: see `methods.steps.cut_at_phase`.
        """
        return self.jpeg.period if self.jpeg else 0

    def build(self, dtype: str = "float32", name: str | None = None) -> Any:
        """The `PDM`, with its variables."""
        from pdm_tf.degradations.pdm import PDM

        network = PDM(self, dtype=dtype, name=name)
        size = 8 * self.scale + 2 * self.margin
        if self.border == "reflect":
            size = max(size, self.scale * self.kernel.kernel_size)
        hr = np.zeros([2, size, size, 3], np.float32)
        lr_size = (size - 2 * self.margin) // self.scale
        network(hr, *network.draw_latents(2, lr_size, lr_size, tf.constant([0, 0])))
        return network
