"""SqueezeNet 1.1 as torchvision has it, without its classifier.

Iandola et al. 2016 (arXiv:1602.07360), version 1.1 of the authors' repository: a 3x3
first convolution of stride 2 without padding, and poolings whose last window may hang
over the border. Taps: `conv1`, `relu1`, `fire2` to `fire9` (after their ReLU), `pool1`,
`pool3`, `pool5`. LPIPS taps relu1, fire3, fire5, fire6, fire7, fire8, fire9.
"""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.models.features.feature_net import (
    FeatureNet,
    Stage,
    feature_conv,
    max_pool_ceil,
)
from pdm_tf.models.network import require_positive

# Each expand convolution of fire2 to fire9, in units of the first convolution.
_WIDTHS = (1, 1, 2, 2, 3, 3, 4, 4)
_POOL_AFTER = ("relu1", "fire3", "fire5")


@dataclasses.dataclass(frozen=True)
class SqueezeNetConfig:
    """Settings of `SqueezeNet`.

    Attributes:
      filters: channels of the first convolution, 64 in version 1.1, and of fire2's two
        expand convolutions each; squeeze convolutions have a quarter of theirs.
    """

    filters: int = 64

    def __post_init__(self) -> None:
        require_positive(self, "filters")
        if self.filters % 4:
            raise ValueError(
                "`filters` of SqueezeNetConfig must be divisible by 4. "
                f"Received: {self.filters}."
            )

    @property
    def min_size(self) -> int:
        """Smallest side: 8 rows after the first convolution, for three poolings."""
        return 17

    def build(self, dtype: str = "float32", name: str | None = None) -> "SqueezeNet":
        """The network, with its variables."""
        network = SqueezeNet(self, dtype=dtype, name=name)
        network(np.zeros([1, 17, 17, 3], np.float32))
        return network


@keras.saving.register_keras_serializable("pdm_tf")
class Fire(keras.layers.Layer):
    """Squeeze by 1x1, then expand by 1x1 and by 3x3, side by side; ReLU after each.

    Args:
      filters: of each of the two expand convolutions.
    """

    def __init__(self, filters: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        dtype = self.dtype_policy.name
        self.squeeze = feature_conv(filters // 4, 1, dtype=dtype, name="squeeze")
        self.expand1x1 = feature_conv(filters, 1, dtype=dtype, name="expand1x1")
        self.expand3x3 = feature_conv(filters, 3, dtype=dtype, name="expand3x3")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.squeeze.build(input_shape)
        inner = (*input_shape[:-1], self.filters // 4)
        self.expand1x1.build(inner)
        self.expand3x3.build(inner)
        super().build(input_shape)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[B, h, w, C] -> [B, h, w, 2 * filters], 1x1's channels first."""
        x = tf.nn.relu(self.squeeze(x))
        return tf.nn.relu(tf.concat([self.expand1x1(x), self.expand3x3(x)], -1))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters}


@keras.saving.register_keras_serializable("pdm_tf")
class SqueezeNet(FeatureNet):
    """image [B, H, W, 3] in [0, 1] -> {tap: [B, h, w, C]}, see `FeatureNet`."""

    config_class = SqueezeNetConfig

    def __init__(self, config: SqueezeNetConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        dtype = self.layer_dtype
        self.conv1 = feature_conv(
            config.filters, 3, strides=2, same=False, dtype=dtype, name="conv1"
        )
        self.fires = [
            Fire(config.filters * width, dtype=dtype, name=f"fire{i}")
            for i, width in enumerate(_WIDTHS, 2)
        ]

    def stages(self) -> list[Stage]:
        chain: list[Stage] = []
        layers = [("conv1", self.conv1), ("relu1", tf.nn.relu)]
        layers += [(fire.name, fire) for fire in self.fires]
        for name, layer in layers:
            chain.append((name, layer))
            if name in _POOL_AFTER:
                chain.append((f"pool{name[-1]}", max_pool_ceil))
        return chain
