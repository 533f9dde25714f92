"""The residual trunk that the kernel and the noise module share.

conv -> norm -> ReLU, then blocks of x + conv(ReLU(norm(conv(x)))), as in the authors'
code. 1x1 convolutions are Dense layers, which do the same sums on the last axis and are
faster on the 1x1 maps of the spatially invariant kernel module.
"""

from typing import Any

import keras
import tensorflow as tf

from pdm_tf.models.layers import batch_norm, conv, fan_in_uniform


def pointwise_or_conv(
    filters: int, kernel_size: int, *, dtype: str, name: str, **kwargs: Any
) -> keras.layers.Layer:
    """A convolution on [B, h, w, C]; a Dense layer when its window is one pixel."""
    if kernel_size > 1:
        return conv(filters, kernel_size, dtype=dtype, name=name, **kwargs)
    kwargs.setdefault("kernel_initializer", fan_in_uniform())
    return keras.layers.Dense(filters, dtype=dtype, name=name, **kwargs)


def normalization_layer(
    kind: str, *, dtype: str, name: str
) -> keras.layers.Layer | None:
    """The layer for "batch", "layer" or "none" (None)."""
    if kind == "batch":
        return batch_norm(dtype=dtype, name=name)
    if kind == "layer":
        return keras.layers.LayerNormalization(epsilon=1e-5, dtype=dtype, name=name)
    return None


@keras.saving.register_keras_serializable("pdm_tf")
class ResidualTrunk(keras.layers.Layer):
    """[B, h, w, C] -> [B, h, w, filters].

    Args:
      filters: channels throughout.
      num_blocks: residual blocks.
      kernel_size: 1 (each position by itself) or larger (neighbours correlated).
      normalization: "batch", "layer" or "none".
    """

    def __init__(
        self,
        filters: int,
        num_blocks: int,
        kernel_size: int,
        normalization: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings = {
            "filters": filters,
            "num_blocks": num_blocks,
            "kernel_size": kernel_size,
            "normalization": normalization,
        }
        dtype = self.dtype_policy.name

        def layer(name: str) -> keras.layers.Layer:
            return pointwise_or_conv(filters, kernel_size, dtype=dtype, name=name)

        def norm(name: str) -> keras.layers.Layer | None:
            return normalization_layer(normalization, dtype=dtype, name=name)

        self.head, self.head_norm = layer("head"), norm("head_norm")
        self.firsts = [layer(f"first_{i}") for i in range(num_blocks)]
        self.norms = [norm(f"norm_{i}") for i in range(num_blocks)]
        self.seconds = [layer(f"second_{i}") for i in range(num_blocks)]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        inner = (*input_shape[:-1], self.settings["filters"])
        self.head.build(input_shape)
        for layer in [self.head_norm, *self.firsts, *self.norms, *self.seconds]:
            if layer is not None:
                layer.build(inner)
        super().build(input_shape)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = _normalise(self.head_norm, self.head(x), training)
        x = tf.nn.relu(x)
        for first, norm, second in zip(
            self.firsts, self.norms, self.seconds, strict=True
        ):
            x = x + second(tf.nn.relu(_normalise(norm, first(x), training)))
        return x

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.settings}


def _normalise(
    norm: keras.layers.Layer | None, x: tf.Tensor, training: bool
) -> tf.Tensor:
    if norm is None:
        return x
    if isinstance(norm, keras.layers.BatchNormalization):
        return norm(x, training=training)
    return norm(x)
