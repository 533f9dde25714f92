"""U-Net discriminator with spectral normalisation (Real-ESRGAN).

Wang et al. 2021 (arXiv:2107.10833), after Schoenfeld et al. 2020 (arXiv:2002.12655): an
encoder of three strided convolutions, a decoder that enlarges bilinearly and adds the
encoder's activations, one logit per pixel. Layout of BasicSR's UNetDiscriminatorSN: the
first and the last convolution have biases and no spectral normalisation, all others the
other way round; LeakyReLU 0.2; activations are added, not concatenated.

Where a side is not divisible by 8 the decoder takes the encoder's size, so any image of
8 x 8 pixels or more will do; for other sizes this is doubling, as in the original.
"""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.models.layers import PaddedConv2D
from pdm_tf.models.network import Network, require_positive, to_compute

_DEPTH = 3


@dataclasses.dataclass(frozen=True)
class UNetDiscriminatorConfig:
    """Settings of `UNetDiscriminator`.

    Attributes:
      filters: channels at full size, 64 as published; doubled by each of the three
        strided convolutions.
      spectral: whether the inner convolutions are spectrally normalised.
      skip: whether the decoder adds the encoder's activations.
    """

    filters: int = 64
    spectral: bool = True
    skip: bool = True

    def __post_init__(self) -> None:
        require_positive(self, "filters")

    def build(
        self, dtype: str = "float32", name: str | None = None
    ) -> "UNetDiscriminator":
        """The network, with its variables."""
        network = UNetDiscriminator(self, dtype=dtype, name=name)
        network(np.zeros([1, 16, 16, 3], np.float32))
        return network


@keras.saving.register_keras_serializable("pdm_tf")
class UNetDiscriminator(Network):
    """image [B, H, W, 3] in [0, 1] -> raw logits [B, H, W, 1] float32."""

    config_class = UNetDiscriminatorConfig
    role = "discriminator"

    def __init__(self, config: UNetDiscriminatorConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        f = config.filters
        self.first = PaddedConv2D(f, 3, dtype=self.layer_dtype, name="first")
        self.encoder = [
            self._inner(f * 2**i, 4, 2, f"encoder_{i}") for i in range(1, _DEPTH + 1)
        ]
        self.decoder = [
            self._inner(f * 2**i, 3, 1, f"decoder_{i}") for i in reversed(range(_DEPTH))
        ]
        self.after = [self._inner(f, 3, 1, f"after_{i}") for i in (1, 2)]
        # The last map is float32: it feeds the loss.
        self.last = PaddedConv2D(1, 3, dtype="float32", name="last")

    def _inner(
        self, filters: int, kernel_size: int, strides: int, name: str
    ) -> PaddedConv2D:
        return PaddedConv2D(
            filters,
            kernel_size,
            strides,
            spectral=self.config.spectral,
            use_bias=False,
            dtype=self.layer_dtype,
            name=name,
        )

    def call(self, image: tf.Tensor, training: bool = False) -> tf.Tensor:
        def apply(layer: PaddedConv2D, x: tf.Tensor) -> tf.Tensor:
            return tf.nn.leaky_relu(layer(x, training=training), 0.2)

        x = apply(self.first, to_compute(self, image))
        skips = []
        for layer in self.encoder:
            skips.append(x)
            x = apply(layer, x)
        for layer, skip in zip(self.decoder, reversed(skips), strict=True):
            x = apply(layer, _enlarged(x, skip))
            if self.config.skip:
                x += skip
        for layer in self.after:
            x = apply(layer, x)
        return self.last(tf.cast(x, tf.float32), training=training)


def _enlarged(x: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Bilinear, half-pixel centres (PyTorch's align_corners=False)."""
    size = tf.shape(like)[1:3]
    static = like.shape[1:3]
    if static.is_fully_defined():
        size = static
    channels = x.shape[-1]
    enlarged = tf.cast(tf.image.resize(x, size, "bilinear"), x.dtype)
    return tf.ensure_shape(enlarged, [x.shape[0], *static, channels])
