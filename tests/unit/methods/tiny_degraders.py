"""Bulat et al. and DSGAN-SR with networks small enough to step eagerly."""

from typing import Any

import keras
import tensorflow as tf

from pdm_tf.degradations import Degrader, DegraderConfig
from pdm_tf.methods import DSGANSR, Bulat, BulatConfig, DSGANSRConfig
from pdm_tf.models.discriminators import PatchGAN, PatchGANConfig
from pdm_tf.models.features import LPIPSConfig
from tests.support.weights import shake
from tests.unit.methods import tiny

# VGG16 under LPIPS wants images of 16 pixels.
LR_PATCH = 16
NOUGHT = tf.constant(0, tf.int64)


def degrader(**settings: Any) -> Degrader:
    """A degrader of scale 2 that is not at its neutral start."""
    settings = {"scale": tiny.SCALE, "filters": 4, "num_blocks": 1, **settings}
    network = DegraderConfig(**settings).build(name="degradation")
    shake(network, amount=0.05)
    return network


def judge(name: str = "discriminator", normalization: str = "none") -> PatchGAN:
    """A discriminator of three layers, likewise."""
    config = PatchGANConfig(
        filters=4, max_filters=8, strides=(1, 1, 1), normalization=normalization
    )
    network = config.build(name=name)
    shake(network, amount=0.05)
    return network


def bulat(networks: dict[str, Any] | None = None, **settings: Any) -> Bulat:
    """A Bulat with the parts that its settings have; `networks` replaces some."""
    keras.utils.set_random_seed(1)
    config = BulatConfig(**{"first_steps": 2, **settings})
    reduction = {"reduction": "conv", "noise_channels": 1, "grid": config.grid}
    return _made(Bulat, config, {"degradation": degrader(**reduction)}, networks)


def dsgan_sr(networks: dict[str, Any] | None = None, **settings: Any) -> DSGANSR:
    """A DSGANSR, likewise."""
    keras.utils.set_random_seed(1)
    few = {"first_steps": 2, "first_from": "hr", "perceptual_weight": 0.0}
    config = DSGANSRConfig(**{**few, **settings})
    shape = {"reduction": "bicubic", "output": "sigmoid", "activation": "prelu"}
    if config.parts == "comparison":
        shape = {"reduction": "conv"}
    parts = {"degradation": degrader(grid=config.grid, **shape)}
    if config.lpips_weight and config.has_first:
        parts["lpips"] = LPIPSConfig(net="vgg", filters=2).build(name="lpips")
    return _made(DSGANSR, config, parts, networks)


def _made(
    method: Any, config: Any, parts: dict[str, Any], networks: dict[str, Any] | None
) -> Any:
    if config.has_first:
        parts["discriminator"] = judge()
    if config.has_second:
        parts["sr"] = tiny.sr()
        if config.gan_weight:
            parts["hr_discriminator"] = judge("hr_discriminator")
        if config.perceptual_weight:
            parts["features"] = tiny.FEATURES.build(name="features")
    return method(
        config,
        {**parts, **(networks or {})},
        lr_patch=LR_PATCH,
        learning_rate=1e-3,
        clip_norm=50.0,
        seed=0,
    )
