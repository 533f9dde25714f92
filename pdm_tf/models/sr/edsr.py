"""EDSR (Lim et al. 2017, arXiv:1707.02921), baseline and large.

Residual blocks without BatchNorm on the LR grid, then sub-pixel upsampling. The
baseline (16 blocks of 64 channels) is the SR network of the paper's unpaired table, the
large one has 32 blocks of 256 channels and residual scale 0.1.

Different from the original on purpose:
- The mean shift is a constant. The original keeps it in 1x1 convolutions that the PDM
  release trains by accident, at a learning rate meant for other units.
- Images are [0, 1] outside; inside they are on the original's 0..255 range, so that
  published weights fit.
- With mixed precision the last convolution is float32: rounding its output to 8 bits of
  mantissa would be as large as one grey level.
"""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.models.layers import conv
from pdm_tf.models.network import (
    SRConfig,
    SRNetwork,
    require_positive,
    to_compute,
)

# Mean RGB of DIV2K, [0, 1].
DIV2K_MEAN = (0.4488, 0.4371, 0.4040)


@dataclasses.dataclass(frozen=True)
class EDSRConfig(SRConfig):
    """Settings of `EDSR`; the defaults are EDSR-baseline.

    Attributes:
      scale: 1, 2, 3, 4 or 8.
      filters: channels of the body.
      num_blocks: residual blocks.
      residual_scale: factor on each block's branch.
      rgb_range: inner value of white.
      rgb_mean: subtracted before the network and added after it, [0, 1]: the mean of
        DIV2K, as in the published weights. The PDM release trains it as well.
    """

    scale: int = 4
    filters: int = 64
    num_blocks: int = 16
    residual_scale: float = 1.0
    rgb_range: float = 255.0
    rgb_mean: tuple[float, ...] = DIV2K_MEAN

    def __post_init__(self) -> None:
        require_positive(self, "filters", "num_blocks")
        if len(self.rgb_mean) != 3:
            raise ValueError(
                "`rgb_mean` of EDSRConfig must be three numbers. "
                f"Received: {self.rgb_mean}."
            )
        upsampling_stages(self.scale)

    @property
    def receptive_radius(self) -> int:
        """How far an output pixel sees to each side, in LR pixels, rounded up."""
        on_lr_grid = 1 + 2 * self.num_blocks + 1
        return on_lr_grid + convolution_radius(upsampling_stages(self.scale), after=1)

    @property
    def block_names(self) -> tuple[str, ...]:
        """The residual blocks."""
        return tuple(f"block_{i}" for i in range(self.num_blocks))

    def build(self, dtype: str = "float32", name: str | None = None) -> "EDSR":
        """The network, with its variables."""
        network = EDSR(self, dtype=dtype, name=name)
        network(np.zeros([1, 8, 8, 3], np.float32))
        return network


def upsampling_stages(scale: int) -> tuple[int, ...]:
    """Factors of the sub-pixel stages: 4 -> (2, 2), 3 -> (3,), 1 -> ().

    Raises:
      ValueError: `scale` is not 1, 2, 3, 4 or 8.
    """
    stages = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
    if scale not in stages:
        raise ValueError(
            f"`scale` must be one of {sorted(stages)}. Received: scale={scale}."
        )
    return stages[scale]


def convolution_radius(stages: tuple[int, ...], after: int) -> int:
    """Computes the part of the receptive radius that an upsampler adds.

    Args:
      stages: factors of the stages, see `upsampling_stages`; one 3x3 convolution each,
        counted on the coarse side, where it sees furthest.
      after: 3x3 convolutions on the finest grid after the last stage.

    Returns:
      LR pixels, rounded up.
    """
    radius, grid = 0.0, 1
    for factor in stages:
        radius += 1 / grid
        grid *= factor
    return math.ceil(radius + after / grid)


@keras.saving.register_keras_serializable("pdm_tf")
class ResidualBlock(keras.layers.Layer):
    """x + residual_scale * conv(relu(conv(x)))."""

    def __init__(
        self, filters: int, residual_scale: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.residual_scale = residual_scale
        dtype = self.dtype_policy.name
        self.first = conv(filters, 3, dtype=dtype, name="first", activation="relu")
        self.second = conv(filters, 3, dtype=dtype, name="second")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.first.build(input_shape)
        self.second.build((*input_shape[:-1], self.filters))
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[B, h, w, filters] -> same shape."""
        branch = self.second(self.first(x))
        if self.residual_scale != 1.0:
            branch *= self.residual_scale
        return x + branch

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "residual_scale": self.residual_scale,
        }


@keras.saving.register_keras_serializable("pdm_tf")
class EDSR(SRNetwork):
    """lr [B, h, w, 3] float32 in [0, 1] -> sr [B, h*s, w*s, 3] float32, not clipped."""

    config_class = EDSRConfig

    def __init__(self, config: EDSRConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        dtype = self.layer_dtype
        self.head = conv(config.filters, 3, dtype=dtype, name="head")
        self.blocks = [
            ResidualBlock(config.filters, config.residual_scale, dtype=dtype, name=name)
            for name in config.block_names
        ]
        self.body_end = conv(config.filters, 3, dtype=dtype, name="body_end")
        self.stages = upsampling_stages(config.scale)
        self.upsamplers = [
            conv(config.filters * factor**2, 3, dtype=dtype, name=f"upsample_{i}")
            for i, factor in enumerate(self.stages)
        ]
        self.tail = conv(3, 3, dtype="float32", name="tail")

    def call(self, lr: tf.Tensor, training: bool = False) -> tf.Tensor:
        del training  # no layer of EDSR behaves differently
        # A NumPy constant, so that exporters fold it.
        mean = np.array(self.config.rgb_mean, np.float32) * self.config.rgb_range
        centred = tf.cast(lr, tf.float32) * self.config.rgb_range - mean
        head = self.head(to_compute(self, centred))
        x = head
        for block in self.blocks:
            x = block(x)
        x = self.body_end(x) + head
        for upsampler, factor in zip(self.upsamplers, self.stages, strict=True):
            x = tf.nn.depth_to_space(upsampler(x), factor)
        sr = self.tail(tf.cast(x, tf.float32))
        return (sr + mean) / self.config.rgb_range
