"""netN: noise that depends on the image.

Luo et al. 2022 (arXiv:2203.04962), section 3.2, Eqs. 8 and 10: n = netN(z_n, y_clean)
with a latent of f_n channels per LR pixel. 3x3 windows correlate neighbouring pixels.
The module sees y_clean through stop_gradient, so the noise path never trains the
kernel.

The release passes 0.001 as the mean of a normal initialiser instead of its standard
deviation, which starts with enormous noise; here the last layer starts at N(0, 0.001).
"""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.models.degradation.trunk import ResidualTrunk, pointwise_or_conv
from pdm_tf.models.network import Network, require_choice, require_positive, to_compute


@dataclasses.dataclass(frozen=True)
class NoiseModuleConfig:
    """Settings of `NoiseModule`.

    Attributes:
      latent_channels: f_n, per LR pixel.
      filters: width of the trunk.
      num_blocks: residual blocks.
      conv_size: window of the trunk: 3 correlates neighbours, 1 does not.
      channels: 3 for colour noise, 1 for the same value in R, G and B.
      latent: "normal", or "zero" for noise of the image alone, netN(y), without z_n.
      use_image: whether the module sees y_clean (Eq. 10) or the latent alone (Eq. 7).
      normalization: "batch" (paper), "layer" or "none".
      initial_std: standard deviation of the last layer's weights.
    """

    latent_channels: int = 3
    filters: int = 64
    num_blocks: int = 16
    conv_size: int = 3
    channels: int = 3
    latent: str = "normal"
    use_image: bool = True
    normalization: str = "batch"
    initial_std: float = 0.0005

    def __post_init__(self) -> None:
        require_positive(self, "latent_channels", "filters", "num_blocks", "conv_size")
        require_choice(self, "normalization", ("batch", "layer", "none"))
        require_choice(self, "latent", ("normal", "zero"))
        if self.latent == "zero" and not self.use_image:
            raise ValueError(
                "NoiseModuleConfig needs a latent or the image to make noise from. "
                'Received: latent="zero", use_image=false. A constant is no noise; '
                "--nonoise leaves the module out."
            )
        if self.channels not in (1, 3) or self.conv_size % 2 == 0:
            raise ValueError(
                "`channels` of NoiseModuleConfig must be 1 or 3 and `conv_size` odd. "
                f"Received: {self.channels} and {self.conv_size}."
            )
        if self.initial_std <= 0:
            raise ValueError(
                "`initial_std` of NoiseModuleConfig must be positive: from zero "
                f"weights no gradient reaches the trunk. Received: {self.initial_std}."
            )

    def build(self, dtype: str = "float32", name: str | None = None) -> "NoiseModule":
        """The network, with its variables."""
        network = NoiseModule(self, dtype=dtype, name=name)
        network(
            np.zeros([1, 8, 8, self.latent_channels], np.float32)
            if self.latent == "normal"
            else None,
            np.zeros([1, 8, 8, 3], np.float32),
        )
        return network


@keras.saving.register_keras_serializable("pdm_tf")
class NoiseModule(Network):
    """(z_n [B, h, w, f_n], clean_lr [B, h, w, 3]) -> noise [B, h, w, channels].

    z_n is None for latent="zero".
    """

    config_class = NoiseModuleConfig

    def __init__(self, config: NoiseModuleConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.trunk = ResidualTrunk(
            config.filters,
            config.num_blocks,
            config.conv_size,
            config.normalization,
            dtype=self.layer_dtype,
            name="trunk",
        )
        self.to_noise = pointwise_or_conv(
            config.channels,
            1,
            dtype="float32",
            name="to_noise",
            kernel_initializer=keras.initializers.RandomNormal(
                stddev=config.initial_std
            ),
        )

    def call(
        self, z_n: tf.Tensor | None, clean_lr: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        inputs = []
        if self.config.use_image:
            inputs.append(tf.stop_gradient(clean_lr))
        if self.config.latent == "normal":
            inputs.append(z_n)
        inputs = tf.concat([to_compute(self, x) for x in inputs], axis=-1)
        features = self.trunk(inputs, training=training)
        return self.to_noise(tf.cast(features, tf.float32))

    def latent_shape(self, batch: int, height: int, width: int) -> list[int] | None:
        """Shape of z_n for LR images of `height` x `width`; None: it takes none."""
        if self.config.latent == "zero":
            return None
        return [batch, height, width, self.config.latent_channels]
