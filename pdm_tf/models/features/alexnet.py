"""AlexNet as torchvision has it, convolutions only.

Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks"
(arXiv:1404.5997): one tower, 64-192-384-256-256 channels. Taps: `conv<i>` before and
`relu<i>` after the ReLU, `pool1`, `pool2`. LPIPS taps relu1 to relu5.
"""

import dataclasses
import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.models.features.feature_net import (
    FeatureNet,
    Stage,
    feature_conv,
    max_pool,
)
from pdm_tf.models.network import require_positive

_WIDTHS = (1, 3, 6, 4, 4)
_SIDES = (11, 5, 3, 3, 3)
_POOL_AFTER = (1, 2)


@dataclasses.dataclass(frozen=True)
class AlexNetConfig:
    """Settings of `AlexNet`.

    Attributes:
      filters: channels of the first convolution, 64 in the paper; the others have 3,
        6, 4 and 4 times as many.
    """

    filters: int = 64

    def __post_init__(self) -> None:
        require_positive(self, "filters")

    @property
    def min_size(self) -> int:
        """Smallest side: 7 positions of the first convolution, for two poolings."""
        return 31

    def build(self, dtype: str = "float32", name: str | None = None) -> "AlexNet":
        """The network, with its variables."""
        network = AlexNet(self, dtype=dtype, name=name)
        network(np.zeros([1, 31, 31, 3], np.float32))
        return network


@keras.saving.register_keras_serializable("pdm_tf")
class AlexNet(FeatureNet):
    """image [B, H, W, 3] in [0, 1] -> {tap: [B, h, w, C]}, see `FeatureNet`.

    `convs` are in the order of torchvision's `features`.
    """

    config_class = AlexNetConfig

    def __init__(self, config: AlexNetConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.convs = [
            feature_conv(
                config.filters * width,
                side,
                strides=4 if i == 1 else 1,
                same=i > 1,
                dtype=self.layer_dtype,
                name=f"conv{i}",
            )
            for i, (width, side) in enumerate(zip(_WIDTHS, _SIDES, strict=True), 1)
        ]

    def _first(self, x: tf.Tensor) -> tf.Tensor:
        # PyTorch's padding=2 of an 11x11 window: less than half of it, on each side.
        return self.convs[0](tf.pad(x, [[0, 0], [2, 2], [2, 2], [0, 0]]))

    def stages(self) -> list[Stage]:
        chain: list[Stage] = []
        for i, conv in enumerate([self._first, *self.convs[1:]], 1):
            chain += [(f"conv{i}", conv), (f"relu{i}", tf.nn.relu)]
            if i in _POOL_AFTER:
                chain.append((f"pool{i}", functools.partial(max_pool, size=3)))
        return chain
