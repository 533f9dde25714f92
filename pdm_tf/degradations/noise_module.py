"""netN: noise that depends on the image.

Luo et al. 2022 (arXiv:2203.04962), section 3.2, Eqs. 8 and 10: n = netN(z_n, y_clean)
with a latent of f_n channels per LR pixel. 3x3 windows correlate neighbouring pixels.
The module sees y_clean through stop_gradient, so the noise path never trains the
kernel.

Noise has zero mean, so by default the module is odd in z_n: half the difference of its
outputs for z_n and -z_n. Whatever the weights, it then cannot change the picture's
colour or redraw it, which a discriminator that looks for the wrong thing would
otherwise teach it (`zero_mean`).

It starts as noise of about 0.02, 5 levels of 255: where noise begins at nothing, the
kernels shrink first, because aliasing looks a little like noise. (The release passes
0.001 as the mean of a normal initialiser instead of its standard deviation, which
starts with enormous noise; `NoiseModuleConfig.paper()` starts near zero.)
"""

import dataclasses
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.degradations.trunk import ResidualTrunk, pointwise_or_conv
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
      output_scale: factor on the last layer's result. Adam moves weights by
        steps of one size; where noise is small because weights are, a few dozen steps
        double it, and its strength swings instead of settling.
      zero_mean: whether the noise of any given image is symmetric about zero over the
        latents, exactly, for twice the computation; False as in the paper.
    """

    form: ClassVar[str] = "network"
    level_channels: ClassVar[int] = 0  # no latent that belongs to an image

    latent_channels: int = 3
    filters: int = 64
    num_blocks: int = 4
    conv_size: int = 3
    channels: int = 3
    latent: str = "normal"
    use_image: bool = True
    normalization: str = "none"
    initial_std: float = 0.4
    output_scale: float = 0.03
    zero_mean: bool = True

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
        if self.latent == "zero" and self.zero_mean:
            raise ValueError(
                "NoiseModuleConfig makes noise of zero mean from a latent and its "
                'opposite. Received: latent="zero" with zero_mean=true. Noise of the '
                "image alone needs zero_mean=false."
            )
        if self.channels not in (1, 3) or self.conv_size % 2 == 0:
            raise ValueError(
                "`channels` of NoiseModuleConfig must be 1 or 3 and `conv_size` odd. "
                f"Received: {self.channels} and {self.conv_size}."
            )
        if self.initial_std <= 0 or self.output_scale <= 0:
            raise ValueError(
                "`initial_std` and `output_scale` of NoiseModuleConfig must be "
                "positive: from zero weights no gradient reaches the trunk. "
                f"Received: {self.initial_std} and {self.output_scale}."
            )

    @classmethod
    def paper(cls) -> "NoiseModuleConfig":
        """The paper's module, without the mistake in the release's initial values."""
        return cls(
            num_blocks=16,
            normalization="batch",
            initial_std=0.0005,
            output_scale=1.0,
            zero_mean=False,
        )

    @property
    def radius(self) -> int:
        """LR pixels that the noise of a pixel depends on, to each side."""
        return self.conv_size // 2 * (1 + 2 * self.num_blocks)

    def make(self, **kwargs: Any) -> "NoiseModule":
        """The `NoiseModule`, without variables."""
        return NoiseModule(self, **kwargs)

    def build(self, dtype: str = "float32", name: str | None = None) -> "NoiseModule":
        """The network, with its variables."""
        network = self.make(dtype=dtype, name=name)
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

    z_n is None for latent="zero". There is no z_l, a latent for a whole image.
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
            use_bias=not config.zero_mean,  # it would cancel
            dtype="float32",
            name="to_noise",
            kernel_initializer=keras.initializers.RandomNormal(
                stddev=config.initial_std
            ),
        )

    def call(
        self,
        z_n: tf.Tensor | None,
        clean_lr: tf.Tensor,
        z_l: None = None,
        training: bool = False,
    ) -> tf.Tensor:
        del z_l
        clean_lr = tf.stop_gradient(clean_lr)
        if not self.config.zero_mean:
            return self._noise(z_n, clean_lr, training)
        if not training:  # one after the other: half the memory
            opposite = self._noise(-z_n, clean_lr, training)
            return (self._noise(z_n, clean_lr, training) - opposite) / 2
        # Both in one batch, so that batch normalisation treats them alike.
        both = tf.concat([z_n, -z_n], 0), tf.concat([clean_lr, clean_lr], 0)
        noise, opposite = tf.split(self._noise(*both, training), 2)
        return (noise - opposite) / 2

    def _noise(
        self, z_n: tf.Tensor | None, clean_lr: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """Computes the network's output for a latent and an image."""
        inputs = []
        if self.config.use_image:
            inputs.append(clean_lr)
        if self.config.latent == "normal":
            inputs.append(z_n)
        inputs = tf.concat([to_compute(self, x) for x in inputs], axis=-1)
        features = self.trunk(inputs, training=training)
        noise = self.to_noise(tf.cast(features, tf.float32))
        return noise * self.config.output_scale

    def latent_shape(self, batch: int, height: int, width: int) -> list[int] | None:
        """Shape of z_n for LR images of `height` x `width`; None: it takes none."""
        if self.config.latent == "zero":
            return None
        return [batch, height, width, self.config.latent_channels]
