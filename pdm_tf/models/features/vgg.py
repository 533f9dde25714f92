"""VGG16 and VGG19 (Simonyan & Zisserman 2014, arXiv:1409.1556), convolutions only.

Configurations D and E without BatchNorm. Taps: `conv<block>_<i>` before and
`relu<block>_<i>` after the ReLU, `pool<block>`. ESRGAN's perceptual loss taps conv5_4
of VGG19 (pre-ReLU); Real-ESRGAN's five are conv1_2, conv2_2, conv3_4, conv4_4, conv5_4;
LPIPS on VGG16 taps relu1_2, relu2_2, relu3_3, relu4_3, relu5_3.
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

# Convolutions per block.
_BLOCKS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_WIDTHS = (1, 2, 4, 8, 8)


@dataclasses.dataclass(frozen=True)
class VGGConfig:
    """Settings of `VGG`.

    Attributes:
      depth: 16 or 19, the layers of the original including its three dense ones.
      filters: channels of the first block, 64 in the paper; the others have 2, 4, 8
        and 8 times as many.
    """

    depth: int = 19
    filters: int = 64

    def __post_init__(self) -> None:
        require_positive(self, "filters")
        if self.depth not in _BLOCKS:
            raise ValueError(
                f"`depth` of VGGConfig must be one of {sorted(_BLOCKS)}. "
                f"Received: {self.depth}."
            )

    @property
    def blocks(self) -> tuple[int, ...]:
        """Convolutions per block."""
        return _BLOCKS[self.depth]

    @property
    def min_size(self) -> int:
        """Smallest side of an image: four poolings before the last block."""
        return 16

    def build(self, dtype: str = "float32", name: str | None = None) -> "VGG":
        """The network, with its variables."""
        network = VGG(self, dtype=dtype, name=name)
        network(np.zeros([1, 16, 16, 3], np.float32))
        return network


@keras.saving.register_keras_serializable("pdm_tf")
class VGG(FeatureNet):
    """image [B, H, W, 3] in [0, 1] -> {tap: [B, h, w, C]}, see `FeatureNet`.

    `convs` are in the order of torchvision's `features`.
    """

    config_class = VGGConfig

    def __init__(self, config: VGGConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.convs = [
            feature_conv(
                config.filters * width,
                3,
                dtype=self.layer_dtype,
                name=f"conv{block}_{i}",
            )
            for block, (count, width) in enumerate(
                zip(config.blocks, _WIDTHS, strict=True), 1
            )
            for i in range(1, count + 1)
        ]

    def stages(self) -> list[Stage]:
        chain: list[Stage] = []
        convs = iter(self.convs)
        for block, count in enumerate(self.config.blocks, 1):
            for i in range(1, count + 1):
                chain.append((f"conv{block}_{i}", next(convs)))
                chain.append((f"relu{block}_{i}", tf.nn.relu))
            if block < len(self.config.blocks):  # nothing follows the last block
                chain.append((f"pool{block}", functools.partial(max_pool, size=2)))
        return chain
