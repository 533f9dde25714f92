"""The trunk of networks that turn one kind of image into another of the same scene.

Head convolutions, residual blocks without normalisation and a last 3x3 one, whose sum
with the head's result goes through the tail convolutions. Translators between LR images
(`models/sr/translator.py`) and learned degraders (`degradations/degrader.py`) put it
around a skip connection of the image itself.

The compared methods differ in a few numbers: CinCGAN (Yuan et al. 2018,
arXiv:1809.00437) has windows of 7, 3 and 3 pixels before and of 3, 3 and 7 after six
blocks; DSGAN (Fritsche et al. 2019, arXiv:1911.07850) eight blocks with PReLU; the
comparison of Luo et al. 2022 (arXiv:2203.04962) EDSR's blocks throughout.
"""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from pdm_tf.models.layers import conv
from pdm_tf.models.network import require_choice, require_positive

ACTIVATIONS = ("relu", "leaky_relu", "prelu")


@dataclasses.dataclass(frozen=True)
class TrunkConfig:
    """Settings of `TranslationTrunk`, which a network's settings inherit.

    Attributes:
      filters: channels of everything between head and tail.
      num_blocks: residual blocks, 0 or more.
      head: sides of the windows of the convolutions before the blocks, all odd.
      tail: of those after the blocks; the last one makes the image.
      activation: "relu", "leaky_relu" (slope 0.2) or "prelu" (a learned slope for each
        channel).
      head_activation: whether the last head convolution is followed by it too; EDSR
        does without.
    """

    filters: int = 64
    num_blocks: int = 8
    head: tuple[int, ...] = (3,)
    tail: tuple[int, ...] = (3,)
    activation: str = "relu"
    head_activation: bool = False

    def __post_init__(self) -> None:
        require_positive(self, "filters")
        require_choice(self, "activation", ACTIVATIONS)
        name = type(self).__name__
        if self.num_blocks < 0:
            raise ValueError(
                f"`num_blocks` of {name} must be at least 0. "
                f"Received: {self.num_blocks}."
            )
        for setting in ("head", "tail"):
            sides = getattr(self, setting)
            if not sides or any(side < 1 or side % 2 == 0 for side in sides):
                raise ValueError(
                    f"`{setting}` of {name} must be one odd side of a window or more. "
                    f"Received: {sides}."
                )

    @property
    def trunk_radius(self) -> int:
        """How far the trunk sees to each side, in pixels of its output."""
        windows = [*self.head, *[3, 3] * self.num_blocks, 3, *self.tail]
        return sum(side // 2 for side in windows)

    @property
    def block_names(self) -> tuple[str, ...]:
        """The residual blocks."""
        return tuple(f"block_{i}" for i in range(self.num_blocks))


@keras.saving.register_keras_serializable("pdm_tf")
class TranslationBlock(keras.layers.Layer):
    """x + conv(activation(conv(x))), all 3x3."""

    def __init__(self, filters: int, activation: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters, self.activation = filters, activation
        dtype = self.dtype_policy.name
        self.first = conv(filters, 3, dtype=dtype, name="first")
        self.activate = _activation(activation, dtype, "activate")
        self.second = conv(filters, 3, dtype=dtype, name="second")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        inner = (*input_shape[:-1], self.filters)
        self.first.build(input_shape)
        self.activate.build(inner)
        self.second.build(inner)
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[B, h, w, filters] -> same shape."""
        return x + self.second(self.activate(self.first(x)))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "activation": self.activation,
        }


class TranslationTrunk(keras.layers.Layer):
    """image [B, h, w, C] in the compute type -> [B, h', w', 3] float32.

    Args:
      config: settings.
      stride: of the first convolution, whose window is then 2 * stride + 1 pixels and
        takes `stride` pixels off each side; 0: it has none, its window is that of the
        settings, and zeros are put around the image.
      noise_channels: of a second input, of the output's size, that is added after a
        convolution of its own: the same as more channels of the image.
      zero_tail: whether the last convolution starts at zero, so that a network with a
        skip connection starts as the skip.
    """

    def __init__(
        self,
        config: TrunkConfig,
        *,
        stride: int = 0,
        noise_channels: int = 0,
        zero_tail: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        dtype, width = self.dtype_policy.name, config.filters
        first, *further = config.head
        reducing = {"strides": stride, "padding": "valid"} if stride else {}
        side = 2 * stride + 1 if stride else first
        self.heads = [conv(width, side, dtype=dtype, name="head_0", **reducing)]
        self.noise_head = None
        if noise_channels:
            self.noise_head = conv(
                width, 3, dtype=dtype, name="noise_head", use_bias=False
            )
        self.heads += [
            conv(width, side, dtype=dtype, name=f"head_{i + 1}")
            for i, side in enumerate(further)
        ]
        activated = len(config.head) if config.head_activation else len(further)
        self.head_activations = [
            _activation(config.activation, dtype, f"head_activation_{i}")
            for i in range(activated)
        ]
        self.blocks = [
            TranslationBlock(width, config.activation, dtype=dtype, name=name)
            for name in config.block_names
        ]
        self.body_end = conv(width, 3, dtype=dtype, name="body_end")
        *before, last = config.tail
        self.tails = [
            conv(width, side, dtype=dtype, name=f"tail_{i}")
            for i, side in enumerate(before)
        ]
        self.tail_activations = [
            _activation(config.activation, dtype, f"tail_activation_{i}")
            for i in range(len(before))
        ]
        start = {"kernel_initializer": "zeros"} if zero_tail else {}
        # float32: rounding its output to 8 bits of mantissa would show.
        self.image = conv(3, last, dtype="float32", name="image", **start)

    def call(self, x: tf.Tensor, noise: tf.Tensor | None = None) -> tf.Tensor:
        for i, head in enumerate(self.heads):
            x = head(x)
            if i == 0 and self.noise_head is not None:
                x += self.noise_head(tf.cast(noise, x.dtype))
            if i < len(self.head_activations):
                x = self.head_activations[i](x)
        head_end = x
        for block in self.blocks:
            x = block(x)
        x = self.body_end(x) + head_end
        for tail, activate in zip(self.tails, self.tail_activations, strict=True):
            x = activate(tail(x))
        return self.image(tf.cast(x, tf.float32))


def _activation(name: str, dtype: str, layer_name: str) -> keras.layers.Layer:
    if name == "prelu":
        return keras.layers.PReLU(
            alpha_initializer=keras.initializers.Constant(0.25),
            shared_axes=[1, 2],
            dtype=dtype,
            name=layer_name,
        )
    if name == "leaky_relu":
        return keras.layers.LeakyReLU(0.2, dtype=dtype, name=layer_name)
    return keras.layers.ReLU(dtype=dtype, name=layer_name)
