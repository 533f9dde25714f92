"""netK: from a normal latent to a distribution over blur kernels.

Luo et al. 2022 (arXiv:2203.04962), section 3.1, Eqs. 4 to 6. A latent z_k of f_k
channels runs through a residual trunk and a softmax over K*K taps, so kernels are
non-negative and sum to one. Spatially invariant: one latent and one kernel per image.
Spatially variant: one per LR pixel (the release defines it on the HR grid, which its
own blur cannot take when scale > 1); windows of 3x3 make neighbours correlated.

Initial value. The release wants a delta but adds only 1 to the centre's logit, which
after the softmax over 441 taps is a box blur (0.0061 in the centre, 0.0023 elsewhere).
Here the mean kernel at the start is set exactly: "delta" with `initial_centre` of the
mass in the middle tap, "gaussian" of `initial_sigma_px`, or the release's "box".
"""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.models.degradation.trunk import ResidualTrunk, pointwise_or_conv
from pdm_tf.models.network import Network, require_choice, require_positive


@dataclasses.dataclass(frozen=True)
class KernelModuleConfig:
    """Settings of `KernelModule`.

    Attributes:
      kernel_size: K, odd.
      latent_channels: f_k.
      latent: "normal", or "zero" for one deterministic kernel (the paper's ablation).
      filters: n_f, width of the trunk.
      num_blocks: n_b, residual blocks.
      spatial: whether each LR pixel has its own kernel.
      conv_size: window of the trunk when `spatial` (1: independent pixels).
      normalization: "batch" (paper), "layer" or "none".
      initial: "delta", "gaussian" or "box" (release).
      initial_centre: mass of the middle tap for "delta", in (1/K^2, 1).
      initial_sigma_px: width for "gaussian", HR pixels.
      initial_std: standard deviation of the last layer's weights; 0 starts all latents
        at one kernel.
    """

    kernel_size: int = 21
    latent_channels: int = 64
    latent: str = "normal"
    filters: int = 64
    num_blocks: int = 16
    spatial: bool = False
    conv_size: int = 3
    normalization: str = "batch"
    initial: str = "delta"
    initial_centre: float = 0.5
    initial_sigma_px: float = 1.0
    initial_std: float = 0.001

    def __post_init__(self) -> None:
        require_positive(
            self, "kernel_size", "latent_channels", "filters", "num_blocks", "conv_size"
        )
        require_choice(self, "latent", ("normal", "zero"))
        require_choice(self, "normalization", ("batch", "layer", "none"))
        require_choice(self, "initial", ("delta", "gaussian", "box"))
        if self.kernel_size % 2 == 0 or self.conv_size % 2 == 0:
            raise ValueError(
                "`kernel_size` and `conv_size` of KernelModuleConfig must be odd. "
                f"Received: {self.kernel_size} and {self.conv_size}."
            )
        if not 1.0 / self.kernel_size**2 < self.initial_centre < 1.0:
            raise ValueError(
                "`initial_centre` of KernelModuleConfig must lie between 1/K^2 and 1. "
                f"Received: {self.initial_centre}."
            )
        if self.initial_sigma_px <= 0 or self.initial_std < 0:
            raise ValueError(
                "`initial_sigma_px` of KernelModuleConfig must be positive and "
                "`initial_std` not negative. "
                f"Received: {self.initial_sigma_px} and {self.initial_std}."
            )

    @property
    def num_taps(self) -> int:
        """K * K."""
        return self.kernel_size**2

    def build(self, dtype: str = "float32", name: str | None = None) -> "KernelModule":
        """The network, with its variables."""
        network = KernelModule(self, dtype=dtype, name=name)
        network(np.zeros([2, 1, 1, self.latent_channels], np.float32))
        return network


def initial_logits(config: KernelModuleConfig, centroid_px: float = 0.0) -> np.ndarray:
    """[K*K] logits whose softmax is the kernel to start from.

    Args:
      config: the module's settings.
      centroid_px: centre of the "gaussian" start, HR pixels right of and below the
        middle tap.
    """
    side = config.kernel_size
    if config.initial == "gaussian":
        offsets = np.arange(side) - side // 2 - centroid_px
        squares = offsets[:, None] ** 2 + offsets[None, :] ** 2
        return (-squares / (2.0 * config.initial_sigma_px**2)).ravel()
    logits = np.zeros(config.num_taps)
    if config.initial == "box":
        logits[config.num_taps // 2] = 1.0
    else:
        p = config.initial_centre
        logits[config.num_taps // 2] = math.log(p / (1.0 - p) * (config.num_taps - 1))
    return logits


@keras.saving.register_keras_serializable("pdm_tf")
class KernelModule(Network):
    """z_k [B, h, w, f_k] -> kernel [B, h, w, K*K] float32, summing to 1 (Eq. 4).

    The spatially invariant form expects h = w = 1. Always computes in float32: it is a
    thousandth of a training step, and softmax wants the precision.
    """

    config_class = KernelModuleConfig

    def __init__(
        self, config: KernelModuleConfig, centre_px: float = 0.0, **kwargs: Any
    ) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(config, **kwargs)
        self.trunk = ResidualTrunk(
            config.filters,
            config.num_blocks,
            config.conv_size if config.spatial else 1,
            config.normalization,
            dtype="float32",
            name="trunk",
        )
        start = initial_logits(config, centre_px).astype(np.float32)
        self.to_logits = pointwise_or_conv(
            config.num_taps,
            1,
            dtype="float32",
            name="to_logits",
            kernel_initializer=keras.initializers.RandomNormal(
                stddev=config.initial_std
            )
            if config.initial_std
            else "zeros",
            bias_initializer=keras.initializers.Constant(start),
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.trunk.build(input_shape)
        self.to_logits.build((*input_shape[:-1], self.config.filters))
        super().build(input_shape)

    def call(self, z_k: tf.Tensor, training: bool = False) -> tf.Tensor:
        logits = self.to_logits(self.trunk(z_k, training=training))
        return tf.nn.softmax(logits, axis=-1)

    def latent_shape(self, batch: int, height: int, width: int) -> list[int]:
        """Shape of z_k for `batch` LR images of `height` x `width`."""
        if self.config.spatial:
            return [batch, height, width, self.config.latent_channels]
        return [batch, 1, 1, self.config.latent_channels]
