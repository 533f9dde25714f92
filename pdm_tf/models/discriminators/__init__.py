"""Discriminators: image [B, H, W, 3] -> raw logits [B, h, w, 1].

To add one: a file with its config and network, and a line in `bundles/networks.py`. A
config with an `input_size` judges patches of that size only; training sets it.
"""

from pdm_tf.models.discriminators.patchgan import PatchGAN, PatchGANConfig
from pdm_tf.models.discriminators.unet import (
    UNetDiscriminator,
    UNetDiscriminatorConfig,
)
from pdm_tf.models.discriminators.vgg import VGGDiscriminator, VGGDiscriminatorConfig

__all__ = [
    "PatchGAN",
    "PatchGANConfig",
    "UNetDiscriminator",
    "UNetDiscriminatorConfig",
    "VGGDiscriminator",
    "VGGDiscriminatorConfig",
]
