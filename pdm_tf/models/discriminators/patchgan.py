"""PatchGAN discriminator (Isola et al. 2017, arXiv:1611.07004).

A stack of convolutions that judges each patch of its receptive field by itself. The
PDM release uses 3x3 windows with instance normalisation and stride 1 everywhere in
joint training (receptive field 11 px) or stride 2 in the two middle layers
(degradation-only training, 25 px); the compared methods use 4x4 windows, Ji et al. 2020
with batch normalisation. All are settings of one class. The release emits 64 maps that
its loss averages; this one emits one.
"""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.models.layers import InstanceNorm, PaddedConv2D, batch_norm
from pdm_tf.models.network import (
    Network,
    require_choice,
    require_positive,
    to_compute,
)


@dataclasses.dataclass(frozen=True)
class PatchGANConfig:
    """Settings of `PatchGAN`.

    Attributes:
      filters: channels after the first convolution; doubled by each further one.
      max_filters: ceiling of the doubling.
      kernel_size: side of every window.
      strides: one per convolution; its length is the depth.
      normalization: "instance" (paper), "batch", "spectral" or "none". Instance
        normalisation removes each image's contrast, and with it some evidence of how
        much blur there is.
    """

    filters: int = 64
    max_filters: int = 512
    kernel_size: int = 3
    strides: tuple[int, ...] = (1, 2, 2, 1, 1)
    normalization: str = "spectral"

    def __post_init__(self) -> None:
        require_positive(self, "filters", "max_filters", "kernel_size")
        require_choice(self, "normalization", ("instance", "batch", "spectral", "none"))
        if len(self.strides) < 2 or min(self.strides) < 1:
            raise ValueError(
                "`strides` of PatchGANConfig needs at least two entries of 1 or more. "
                f"Received: {self.strides}."
            )

    @classmethod
    def paper(cls) -> "PatchGANConfig":
        """The released discriminator of joint training, but for its 64 output maps."""
        return cls(strides=(1, 1, 1, 1, 1), normalization="instance")

    def build(self, dtype: str = "float32", name: str | None = None) -> "PatchGAN":
        """The network, with its variables."""
        network = PatchGAN(self, dtype=dtype, name=name)
        network(np.zeros([1, 32, 32, 3], np.float32))
        return network


@keras.saving.register_keras_serializable("pdm_tf")
class PatchGAN(Network):
    """image [B, H, W, 3] in [0, 1] -> raw logits [B, h, w, 1] float32."""

    config_class = PatchGANConfig
    role = "discriminator"

    def __init__(self, config: PatchGANConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        depth = len(config.strides)
        widths = [
            min(config.filters * 2**i, config.max_filters) for i in range(depth - 1)
        ]
        self.convs = [
            PaddedConv2D(
                width,
                config.kernel_size,
                stride,
                spectral=config.normalization == "spectral",
                # The last map is float32: it feeds the loss.
                dtype="float32" if i == depth - 1 else self.layer_dtype,
                name=f"conv_{i}",
            )
            for i, (width, stride) in enumerate(
                zip([*widths, 1], config.strides, strict=True)
            )
        ]
        # Neither the first nor the last convolution is normalised.
        kinds = {"instance": InstanceNorm, "batch": batch_norm}
        make = kinds.get(config.normalization)
        self.norms = [
            make(dtype=self.layer_dtype, name=f"norm_{i}") if make else None
            for i in range(1, depth - 1)
        ]

    def call(self, image: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = to_compute(self, image)
        x = tf.nn.leaky_relu(self.convs[0](x, training=training), 0.2)
        for layer, norm in zip(self.convs[1:-1], self.norms, strict=True):
            x = layer(x, training=training)
            if norm is not None:
                x = norm(x, training=training)
            x = tf.nn.leaky_relu(x, 0.2)
        return self.convs[-1](tf.cast(x, tf.float32), training=training)
