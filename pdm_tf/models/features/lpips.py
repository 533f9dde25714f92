"""LPIPS version 0.1: a learned perceptual distance between two images.

Zhang, Isola, Efros, Shechtman, Wang 2018, "The unreasonable effectiveness of deep
features as a perceptual metric" (arXiv:1801.03924), Eq. 1:

    d(x, x0) = sum_l 1/(H_l W_l) sum_hw sum_c w_lc (y_l - y0_l)^2

with y_l the activations of tap l, scaled to unit length over the channels of each
pixel, and w_l >= 0 one weight per channel (a 1x1 convolution without bias).

Version 0.1 shifts and scales images of [-1, 1] by (-.030, -.088, -.188) and (.458,
.448, .450); on [0, 1] that is exactly ImageNet's normalisation, which the feature
networks do. Images are RGB: the PDM release gives BGR to LPIPS and gets other numbers.
"""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.models.features.alexnet import AlexNetConfig
from pdm_tf.models.features.squeezenet import SqueezeNetConfig
from pdm_tf.models.features.vgg import VGGConfig
from pdm_tf.models.network import Network, require_choice

# net -> (its config from the width, its taps); names as in the authors' package.
_NETS = {
    "alex": (AlexNetConfig, tuple(f"relu{i}" for i in range(1, 6))),
    "vgg": (
        lambda filters: VGGConfig(depth=16, filters=filters),
        ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"),
    ),
    "squeeze": (
        SqueezeNetConfig,
        ("relu1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9"),
    ),
}
_EPSILON = 1e-10


@dataclasses.dataclass(frozen=True)
class LPIPSConfig:
    """Settings of `LPIPS`.

    Attributes:
      net: "alex" (the usual one for reporting), "vgg" (VGG16) or "squeeze".
      filters: channels of the first convolution of that network, 64 as published.
    """

    net: str = "alex"
    filters: int = 64

    def __post_init__(self) -> None:
        require_choice(self, "net", tuple(_NETS))
        _ = self.backbone  # raises what the network's own config raises

    @property
    def backbone(self) -> AlexNetConfig | VGGConfig | SqueezeNetConfig:
        """Config of the network that gives the features."""
        return _NETS[self.net][0](filters=self.filters)

    @property
    def taps(self) -> tuple[str, ...]:
        """Stages of the backbone that are compared, one head each."""
        return _NETS[self.net][1]

    @property
    def min_size(self) -> int:
        """Smallest side of an image."""
        return self.backbone.min_size

    def build(self, dtype: str = "float32", name: str | None = None) -> "LPIPS":
        """The network, with its variables."""
        network = LPIPS(self, dtype=dtype, name=name)
        image = np.zeros([1, 32, 32, 3], np.float32)
        network(image, image)
        return network


@keras.saving.register_keras_serializable("pdm_tf")
class LPIPS(Network):
    """Two images [B, H, W, 3] float32 RGB in [0, 1] -> distance [B] float32, >= 0.

    Attributes:
      backbone: the feature network.
      heads: one bias-free 1x1 convolution to one channel per tap of the config, in its
        order, kernels [1, 1, C, 1] (the authors' `lin0`, `lin1`, ...).
    """

    config_class = LPIPSConfig
    role = "lpips"

    def __init__(self, config: LPIPSConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.backbone = config.backbone.build(self.layer_dtype, name="backbone")
        self.heads = [
            keras.layers.Conv2D(
                1,
                1,
                use_bias=False,
                # Untrained: the plain sum over channels, as in the package's own.
                kernel_initializer="ones",
                kernel_constraint=keras.constraints.NonNeg(),
                dtype="float32",
                name=f"head_{i}",
            )
            for i in range(len(config.taps))
        ]

    def call(
        self, image: tf.Tensor, reference: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Eq. 1; symmetric in its two images."""
        del training  # the dropout of the heads' training is not part of the metric
        features = self.backbone(image, taps=self.config.taps)
        others = self.backbone(reference, taps=self.config.taps)
        distance = 0.0
        for tap, head in zip(self.config.taps, self.heads, strict=True):
            difference = unit_length(features[tap]) - unit_length(others[tap])
            distance += tf.reduce_mean(head(difference * difference), axis=[1, 2, 3])
        return distance


def unit_length(features: tf.Tensor) -> tf.Tensor:
    """[B, h, w, C], each pixel divided by its length over the channels.

    As in the authors' package, 1e-10 is added to the length.
    """
    squares = tf.reduce_sum(features * features, axis=-1, keepdims=True)
    return features / (tf.sqrt(squares) + _EPSILON)
