"""RRDBNet, the generator of ESRGAN (Wang et al. 2018, arXiv:1809.00219).

Residual-in-residual dense blocks on the LR grid, then nearest-neighbour upsampling with
a convolution after each doubling. 23 blocks of 64 channels, growth 32, are the SR
network of the paper's second table. Works on [0, 1] without mean shift, like the
published weights.
"""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.models.layers import conv
from pdm_tf.models.network import Network, require_positive, to_compute
from pdm_tf.models.sr.edsr import convolution_radius, upsampling_stages

RESIDUAL_SCALE = 0.2


@dataclasses.dataclass(frozen=True)
class RRDBNetConfig:
    """Settings of `RRDBNet`.

    Attributes:
      scale: 1, 2, 3, 4 or 8.
      filters: channels between blocks.
      growth: channels that each convolution of a dense block adds.
      num_blocks: residual-in-residual blocks, of three dense blocks each.
    """

    scale: int = 4
    filters: int = 64
    growth: int = 32
    num_blocks: int = 23

    def __post_init__(self) -> None:
        require_positive(self, "filters", "growth", "num_blocks")
        upsampling_stages(self.scale)

    @property
    def receptive_radius(self) -> int:
        """How far an output pixel sees to each side, in LR pixels, rounded up."""
        on_lr_grid = 1 + 3 * 5 * self.num_blocks + 1
        return on_lr_grid + convolution_radius(upsampling_stages(self.scale), after=2)

    @property
    def block_names(self) -> list[str]:
        """Layers that may be recomputed, see `models.network.recomputed`."""
        return [f"block_{i}_{j}" for i in range(self.num_blocks) for j in range(3)]

    def build(self, dtype: str = "float32", name: str | None = None) -> "RRDBNet":
        """The network, with its variables."""
        network = RRDBNet(self, dtype=dtype, name=name)
        network(np.zeros([1, 8, 8, 3], np.float32))
        return network


def _small_he_normal() -> keras.initializers.Initializer:
    # He normal shrunk to a tenth (its variance to a hundredth), as ESRGAN does for
    # residual branches.
    return keras.initializers.VarianceScaling(
        scale=2.0 * 0.1**2, mode="fan_in", distribution="untruncated_normal"
    )


@keras.saving.register_keras_serializable("pdm_tf")
class DenseBlock(keras.layers.Layer):
    """Five convolutions, each seeing all before it; returns x + 0.2 * the last."""

    def __init__(self, filters: int, growth: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.growth = growth
        self.convs = [
            conv(
                growth if i < 4 else filters,
                3,
                dtype=self.dtype_policy.name,
                name=f"conv_{i}",
                kernel_initializer=_small_he_normal(),
            )
            for i in range(5)
        ]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        for i, layer in enumerate(self.convs):
            layer.build((*input_shape[:-1], self.filters + i * self.growth))
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[B, h, w, filters] -> same shape."""
        features = [x]
        for layer in self.convs[:-1]:
            new = tf.nn.leaky_relu(layer(tf.concat(features, axis=-1)), 0.2)
            features.append(new)
        return x + RESIDUAL_SCALE * self.convs[-1](tf.concat(features, axis=-1))

    def get_config(self) -> dict[str, Any]:
        config = {"filters": self.filters, "growth": self.growth}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("pdm_tf")
class RRDBNet(Network):
    """lr [B, h, w, 3] float32 in [0, 1] -> sr [B, h*s, w*s, 3] float32, not clipped."""

    config_class = RRDBNetConfig

    def __init__(self, config: RRDBNetConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        dtype = self.layer_dtype
        filters = config.filters
        self.head = conv(filters, 3, dtype=dtype, name="head")
        self.blocks = [
            [
                DenseBlock(filters, config.growth, dtype=dtype, name=f"block_{i}_{j}")
                for j in range(3)
            ]
            for i in range(config.num_blocks)
        ]
        self.body_end = conv(filters, 3, dtype=dtype, name="body_end")
        self.stages = upsampling_stages(config.scale)
        self.upsamplers = [
            conv(filters, 3, dtype=dtype, name=f"upsample_{i}")
            for i in range(len(self.stages))
        ]
        self.refine = conv(filters, 3, dtype=dtype, name="refine")
        self.tail = conv(3, 3, dtype="float32", name="tail")

    def call(self, lr: tf.Tensor, training: bool = False) -> tf.Tensor:
        del training  # no layer of RRDBNet behaves differently
        head = self.head(to_compute(self, lr))
        x = head
        for dense_blocks in self.blocks:
            inner = x
            for dense_block in dense_blocks:
                inner = dense_block(inner)
            x = x + RESIDUAL_SCALE * inner
        x = self.body_end(x) + head
        for upsampler, factor in zip(self.upsamplers, self.stages, strict=True):
            size = tf.shape(x)[1:3] * factor
            x = tf.image.resize(x, size, method="nearest")
            x = tf.nn.leaky_relu(upsampler(x), 0.2)
        x = tf.nn.leaky_relu(self.refine(x), 0.2)
        return self.tail(tf.cast(x, tf.float32))
