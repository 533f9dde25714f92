"""netK: from a normal latent, the image, or both, to blur kernels.

Luo et al. 2022 (arXiv:2203.04962), section 3.1, Eqs. 4 to 6. A latent z_k of f_k
channels runs through a residual trunk and a softmax over K*K taps, so kernels are
non-negative and sum to one. Spatially invariant: one latent and one kernel per image.
Spatially variant: one per LR pixel (the release defines it on the HR grid, which its
own blur cannot take when scale > 1); windows of 3x3 make neighbours correlated.
Dependent on the image (table 5): netK(x) or netK(x, z_k), a kernel per LR pixel.
"""

from typing import Any

import keras
import tensorflow as tf

from pdm_tf.degradations.gaussian_logits import GaussianLogits
from pdm_tf.degradations.kernel_config import (
    KernelModuleConfig,
    initial_logits,
    smoothing_matrix,
)
from pdm_tf.degradations.trunk import ResidualTrunk, pointwise_or_conv
from pdm_tf.models.network import Network


class KernelNetwork(Network):
    """What `KernelModule` and `KernelMixture` share; computes in float32.

    Args:
      config: settings.
      centre_px: as in `initial_logits`.
      image_channels: of the image that the network sees with `use_image`.
    """

    config_class = KernelModuleConfig

    def __init__(
        self,
        config: KernelModuleConfig,
        centre_px: float = 0.0,
        image_channels: int = 3,
        **kwargs: Any,
    ) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(config, **kwargs)
        self.centre_px = centre_px
        self.image_channels = image_channels

    def get_config(self) -> dict[str, Any]:
        extras = {"centre_px": self.centre_px, "image_channels": self.image_channels}
        return {**super().get_config(), **extras}

    def latent_shape(self, batch: int, height: int, width: int) -> list[int] | None:
        """Shape of z_k for LR images of `height` x `width`; None: it takes none."""
        return self.config.latent_shape(batch, height, width)


@keras.saving.register_keras_serializable("pdm_tf")
class KernelModule(KernelNetwork):
    """(z_k, image) -> kernel [B, h, w, K*K] float32, summing to 1 (Eq. 4).

    z_k is [B, h, w, f_k] when `spatial`, else [B, 1, 1, f_k], or None where
    `config.takes_latent` says so; image, for `use_image` alone, is the HR image on the
    LR grid, [B, h, w, image_channels] (`ops.blur.hr_footprint`). Kernels are
    [B, 1, 1, K*K] unless `config.per_pixel`. Always computes in float32: softmax wants
    the precision.

    Args: as of `KernelNetwork`.
    """

    def __init__(self, config: KernelModuleConfig, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        window = config.conv_size if config.spatial else 1
        # A constant latent makes a constant of the trunk, which the last bias can be
        # alone. Trained all the same, its weights add up to steps so large that the
        # kernel is a delta before step 100, whence softmax never leads back.
        self.trunk = None
        if config.latent != "zero" or config.use_image:
            self.trunk = ResidualTrunk(
                config.filters,
                config.num_blocks,
                window,
                config.normalization,
                dtype="float32",
                name="trunk",
            )
        start = initial_logits(config, self.centre_px).astype("float32")
        self._start = self._smoothing = None
        if config.smoothing_px:  # of what is learned, not of what it starts from
            self._start = start
            smoothing = smoothing_matrix(config.kernel_size, config.smoothing_px)
            self._smoothing = smoothing.astype("float32")
            start = 0.0 * start
        self.to_logits = pointwise_or_conv(
            config.num_taps,
            1,
            dtype="float32",
            name="to_logits",
            kernel_initializer=keras.initializers.RandomNormal(
                stddev=config.initial_std
            )
            if config.initial_std
            else "zeros",
            bias_initializer=keras.initializers.Constant(start),
        )
        self.gaussians = None
        if config.initial == "gaussians":
            self.gaussians = GaussianLogits(
                config.kernel_size,
                config.initial_sigma_px,
                config.initial_diversity if config.latent == "normal" else 0.0,
                self.centre_px,
                window if config.takes_latent else 1,
                dtype="float32",
                name="gaussians",
            )

    def call(
        self,
        z_k: tf.Tensor | None,
        image: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        features = trunk_inputs(self.config, z_k, image)
        if self.trunk is not None:
            features = self.trunk(features, training=training)
        logits = self._tap_logits(features)
        if self.gaussians is not None:
            # Of netK(x) there is no latent; its Gaussian follows what the trunk sees.
            logits += self.gaussians(z_k if self.config.takes_latent else features)
        return tf.nn.softmax(logits, axis=-1)

    def _tap_logits(self, features: tf.Tensor) -> tf.Tensor:
        """[B, h, w, K*K], learned tap by tap."""
        if self._smoothing is None:
            return self.to_logits(features)
        if not self.to_logits.built:
            self.to_logits.build(features.shape)
        # Smooth weights instead of smoothed logits: the same, once for all pixels.
        weights = tf.matmul(self.to_logits.kernel, self._smoothing)
        bias = tf.linalg.matvec(self._smoothing, self.to_logits.bias)
        return tf.tensordot(features, weights, 1) + bias + self._start


def trunk_inputs(
    config: KernelModuleConfig, z_k: tf.Tensor | None, image: tf.Tensor | None
) -> tf.Tensor:
    """What the trunk sees: latent, image, or both; one latent serves all pixels."""
    if not config.use_image:
        return z_k
    if image is None:
        raise ValueError(
            "`image` must be given: use_image=true makes kernels of the HR image. "
            "Received: None."
        )
    image = tf.cast(image, tf.float32)
    if not config.takes_latent:
        return image
    shape = tf.concat([tf.shape(image)[:3], tf.shape(z_k)[3:]], axis=0)
    return tf.concat([image, tf.broadcast_to(z_k, shape)], axis=-1)
