"""VGG-style discriminator: one logit for the whole patch (SRGAN, ESRGAN).

Ledig et al. 2017 (arXiv:1609.04802); layout of ESRGAN's (Wang et al. 2018,
arXiv:1809.00219) as BasicSR's VGGStyleDiscriminator has it: five pairs of a 3x3
convolution and a 4x4 one with stride 2, widths f, 2f, 4f, 8f, 8f; batch normalisation
after all but the first, which alone has a bias; LeakyReLU 0.2; two dense layers, 100
and 1. Those fix the size of the patch: 128 there, any multiple of 32 here.
"""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.models.layers import PaddedConv2D, batch_norm
from pdm_tf.models.network import Network, require_positive, to_compute

_WIDTHS = (1, 2, 4, 8, 8)
_STRIDE = 2 ** len(_WIDTHS)


@dataclasses.dataclass(frozen=True)
class VGGDiscriminatorConfig:
    """Settings of `VGGDiscriminator`.

    Attributes:
      input_size: side of the patch in pixels, a multiple of 32. Training sets it.
      filters: channels of the first pair, 64 as published.
      hidden: width of the dense layer before the last.
    """

    input_size: int = 128
    filters: int = 64
    hidden: int = 100

    def __post_init__(self) -> None:
        require_positive(self, "input_size", "filters", "hidden")
        if self.input_size % _STRIDE:
            raise ValueError(
                f"`input_size` of VGGDiscriminatorConfig must be a multiple of "
                f"{_STRIDE}. Received: {self.input_size}."
            )

    def build(
        self, dtype: str = "float32", name: str | None = None
    ) -> "VGGDiscriminator":
        """The network, with its variables."""
        network = VGGDiscriminator(self, dtype=dtype, name=name)
        network(np.zeros([1, self.input_size, self.input_size, 3], np.float32))
        return network


@keras.saving.register_keras_serializable("pdm_tf")
class VGGDiscriminator(Network):
    """image [B, P, P, 3] in [0, 1] -> raw logits [B, 1, 1, 1] float32.

    P is `config.input_size`.
    """

    config_class = VGGDiscriminatorConfig
    role = "discriminator"

    def __init__(self, config: VGGDiscriminatorConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        pairs = [
            (config.filters * width, kernel_size, strides, f"{level}_{place}")
            for level, width in enumerate(_WIDTHS)
            for place, (kernel_size, strides) in enumerate(((3, 1), (4, 2)))
        ]
        self.convs = [
            PaddedConv2D(
                filters,
                kernel_size,
                strides,
                use_bias=i == 0,
                dtype=self.layer_dtype,
                name=f"conv_{name}",
            )
            for i, (filters, kernel_size, strides, name) in enumerate(pairs)
        ]
        self.norms = [
            batch_norm(dtype=self.layer_dtype, name=f"norm_{name}")
            for *_, name in pairs[1:]
        ]
        self.hidden = keras.layers.Dense(
            config.hidden, dtype=self.layer_dtype, name="hidden"
        )
        # The last layer is float32: it feeds the loss.
        self.last = keras.layers.Dense(1, dtype="float32", name="last")

    def call(self, image: tf.Tensor, training: bool = False) -> tf.Tensor:
        side = self.config.input_size
        if tuple(image.shape[1:3]) != (side, side):
            raise ValueError(
                f"This VGGDiscriminator judges images of {side}x{side} pixels. "
                f"Received: shape={tuple(image.shape)}."
            )
        x = to_compute(self, image)
        for index, layer in enumerate(self.convs):
            x = layer(x, training=training)
            if index:
                x = self.norms[index - 1](x, training=training)
            x = tf.nn.leaky_relu(x, 0.2)
        x = tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])
        x = tf.nn.leaky_relu(self.hidden(x), 0.2)
        return self.last(tf.cast(x, tf.float32))[:, tf.newaxis, tf.newaxis]
