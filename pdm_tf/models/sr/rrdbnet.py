"""RRDBNet, the generator of ESRGAN (Wang et al. 2018, arXiv:1809.00219).

Residual-in-residual dense blocks on the LR grid, then nearest-neighbour upsampling with
a convolution after each doubling. 23 blocks of 64 channels, growth 32, are the SR
network of the paper's second table. Works on [0, 1] without mean shift, like the
published weights.

Real-ESRGAN (Wang et al. 2021, arXiv:2107.10833) makes x2 and x1 of the x4 network: it
first moves 2x2 or 4x4 pixels into channels (`unshuffle`), so that all the work is done
on a coarser grid. Sides that do not divide are mirrored at the bottom and right, as its
own program does, and the result is cut.
"""

import dataclasses
import math
from fractions import Fraction
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
from pdm_tf.models.sr.edsr import upsampling_stages

RESIDUAL_SCALE = 0.2

# LR pixels. A pixel's dependence on others d pixels away falls fast: cutting a
# photograph changed pixels at a distance of 8 and more by at most one 8-bit level (0.11
# levels before rounding), at 12 by 0.0013, at 16 by no more than float32 rounds anyway.
# That is the worst of: initial weights, residual branches 5 and 8 times as strong, and
# 220 steps of supervised training. Three times 8, because long training may make
# networks look further; blending of the tiles covers the rest.
MEASURED_OVERLAP = 24
# Shallower networks are cut exactly; 23 blocks see 349 LR pixels.
_LARGEST_EXACT = 64


@dataclasses.dataclass(frozen=True)
class RRDBNetConfig(SRConfig):
    """Settings of `RRDBNet`.

    Attributes:
      scale: 1, 2, 3, 4 or 8.
      filters: channels between blocks.
      growth: channels that each convolution of a dense block adds.
      num_blocks: residual-in-residual blocks, of three dense blocks each.
      unshuffle: side of the squares of LR pixels that become one position with as many
        times the channels; the network then upsamples by scale * unshuffle.
    """

    scale: int = 4
    filters: int = 64
    growth: int = 32
    num_blocks: int = 23
    unshuffle: int = 1

    def __post_init__(self) -> None:
        require_positive(self, "filters", "growth", "num_blocks", "unshuffle")
        upsampling_stages(self.scale)
        if self.scale * self.unshuffle not in (1, 2, 3, 4, 8):
            raise ValueError(
                "`scale` times `unshuffle` of RRDBNetConfig must be 1, 2, 3, 4 or 8. "
                f"Received: scale={self.scale}, unshuffle={self.unshuffle}."
            )

    @property
    def stages(self) -> tuple[int, ...]:
        """Factors of the upsampling stages, from the unshuffled grid."""
        return upsampling_stages(self.scale * self.unshuffle)

    @property
    def receptive_radius(self) -> int:
        """How far an output pixel sees to each side, in LR pixels, rounded up."""
        radius, grid = Fraction(1 + 3 * 5 * self.num_blocks + 1), 1
        for factor in self.stages:
            grid *= factor
            radius += Fraction(1, grid)
        radius += Fraction(2, grid)
        # The pixel at one end of a square sees what the one at the other end sees.
        return math.ceil(self.unshuffle * radius + self.unshuffle - 1)

    @property
    def overlap(self) -> int:
        """The receptive radius of up to four blocks, else the measured overlap."""
        radius = self.receptive_radius
        return radius if radius <= _LARGEST_EXACT else MEASURED_OVERLAP

    @property
    def multiple(self) -> int:
        """The side of the squares that become one position."""
        return self.unshuffle

    @property
    def block_names(self) -> tuple[str, ...]:
        """The dense blocks."""
        return tuple(f"block_{i}_{j}" for i in range(self.num_blocks) for j in range(3))

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
class RRDBNet(SRNetwork):
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
        self.stages = config.stages
        self.upsamplers = [
            conv(filters, 3, dtype=dtype, name=f"upsample_{i}")
            for i in range(len(self.stages))
        ]
        self.refine = conv(filters, 3, dtype=dtype, name="refine")
        self.tail = conv(3, 3, dtype="float32", name="tail")

    def call(self, lr: tf.Tensor, training: bool = False) -> tf.Tensor:
        del training  # no layer of RRDBNet behaves differently
        height, width = tf.shape(lr)[1], tf.shape(lr)[2]
        if self.config.unshuffle > 1:
            lr = unshuffled(lr, self.config.unshuffle)
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
        sr = self.tail(tf.cast(x, tf.float32))
        if self.config.unshuffle > 1:
            # With sizes, not by `:`: that becomes numbers which float16 cannot hold.
            sides = [height * self.config.scale, width * self.config.scale]
            sr = tf.slice(sr, [0, 0, 0, 0], [tf.shape(sr)[0], *sides, 3])
        return sr


def unshuffled(image: tf.Tensor, side: int) -> tf.Tensor:
    """[B, h, w, C] -> [B, ceil(h/side), ceil(w/side), side*side*C].

    Pixel (i, j) of a square goes to channels (i*side + j)*C + c. What is missing at the
    bottom and right mirrors the image about its last row and column, as far as it goes.
    """
    for axis in (1, 2):
        length = tf.shape(image)[axis]
        # For positive numbers only: ONNX rounds negative quotients towards zero.
        index = tf.range((length + side - 1) // side * side)
        mirrored = tf.maximum(length - 1 - tf.abs(length - 1 - index), 0)
        image = tf.gather(image, mirrored, axis=axis)
    return tf.nn.space_to_depth(image, side)
