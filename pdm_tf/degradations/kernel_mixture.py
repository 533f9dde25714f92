"""netK with few kernels: what a latent or a pixel has is a mixture of a learned basis.

A kernel per LR pixel (Luo et al. 2022, arXiv:2203.04962, section 3.1, Eq. 5) is K*K
numbers at every pixel, several times over in training. Here N basis kernels blur the
whole image, and each pixel weighs the N results: N numbers a pixel. Kernels stay
non-negative and sum to one, since the weights do. Not in the paper.
"""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from pdm_tf.degradations.kernel_config import KernelModuleConfig
from pdm_tf.degradations.kernel_module import (
    KernelModule,
    KernelNetwork,
    trunk_inputs,
)
from pdm_tf.degradations.trunk import ResidualTrunk, pointwise_or_conv

# Standard deviation of the weights' logits over the latents at the start: about half of
# a pixel's weight is on one kernel, so mixtures begin nearly as different as the basis.
_INITIAL_SHARPNESS = 3.0


@keras.saving.register_keras_serializable("pdm_tf")
class KernelMixture(KernelNetwork):
    """(z_k, image) -> weights [B, h, w, N] and basis [N, K*K], with N = config.basis.

    Inputs as of `KernelModule`; h = w = 1 unless `config.per_pixel`. Rows of both sum
    to 1, so the kernels `weights @ basis` are as those of that module; images are
    blurred without making them (`ops.blur.blur_mixture`).

    Args: as of `KernelNetwork`.
    """

    def __init__(self, config: KernelModuleConfig, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        single = dataclasses.replace(
            config, basis=0, latent="normal", use_image=False, spatial=False
        )
        self.basis_module = KernelModule(single, self.centre_px, name="basis_module")
        # Each kernel of the basis is what the module makes of one learned latent.
        self.anchors = self.add_weight(
            shape=(config.basis, 1, 1, config.latent_channels),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            name="anchors",
        )
        window = config.conv_size if config.spatial else 1
        self.trunk = ResidualTrunk(
            config.filters,
            config.num_blocks,
            window,
            config.normalization,
            dtype="float32",
            name="trunk",
        )
        self.to_weights = pointwise_or_conv(
            config.basis,
            1,
            dtype="float32",
            name="to_weights",
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        )
        channels = config.latent_channels if config.takes_latent else config.filters
        self.direct = pointwise_or_conv(
            config.basis,
            window if config.takes_latent else 1,
            dtype="float32",
            name="direct",
            kernel_initializer=keras.initializers.RandomNormal(
                stddev=_INITIAL_SHARPNESS / (window * channels**0.5)
            ),
        )

    def call(
        self,
        z_k: tf.Tensor | None,
        image: tf.Tensor | None = None,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        features = self.trunk(trunk_inputs(self.config, z_k, image), training=training)
        logits = self.to_weights(features)
        logits += self.direct(z_k if self.config.takes_latent else features)
        basis = self.basis_module(tf.convert_to_tensor(self.anchors), training=training)
        return tf.nn.softmax(logits, axis=-1), tf.squeeze(basis, axis=[1, 2])
