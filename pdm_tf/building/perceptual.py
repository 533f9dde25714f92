"""What a perceptual method has besides: HR discriminator and feature network."""

import dataclasses
from typing import Any

import keras

from pdm_tf.building.requests import Remark, policy_of, refuse
from pdm_tf.cli.component import parse_args
from pdm_tf.core.checks import lookup
from pdm_tf.core.errors import UserError
from pdm_tf.core.seeds import stream_seed
from pdm_tf.losses import PERCEPTUAL_TAPS
from pdm_tf.methods import PDMSRGANConfig
from pdm_tf.models.bundle import load_bundle
from pdm_tf.models.features import VGG, VGGConfig
from pdm_tf.models.network import Network
from pdm_tf.models.networks import DISCRIMINATORS
from pdm_tf.train_config import TrainConfig

RANDOM = "random"


def build_hr_discriminator(
    config: TrainConfig, settings: PDMSRGANConfig
) -> Network | None:
    """The discriminator on HR patches; None where it has no weight.

    Raises:
      UserError: an unknown network or setting, or patches that it cannot judge.
    """
    if settings.gan_weight == 0:
        unused = ("hr_discriminator", "hr_discriminator_arg")
        refuse(config, "gan_weight=0", unused)
        return None
    default = lookup(DISCRIMINATORS, config.hr_discriminator, "--hr_discriminator")
    if config.preset == "paper" and hasattr(default, "paper"):
        default = default.paper()
    default = _of_patch(default, config)
    made = parse_args(type(default), config.hr_discriminator_arg, default)
    return made.build(policy_of(config), name="hr_discriminator")


def _of_patch(default: Any, config: TrainConfig) -> Any:
    """The same for patches of this size, if it cares."""
    if not hasattr(default, "input_size"):
        return default
    args = config.hr_discriminator_arg
    if any(arg.partition("=")[0].strip() == "input_size" for arg in args):
        raise UserError(
            "The size of HR patches is --lr_patch times --scale. Received: "
            "--hr_discriminator_arg=input_size."
        )
    try:
        return dataclasses.replace(default, input_size=config.lr_patch * config.scale)
    except ValueError as error:
        raise UserError(
            f"--hr_discriminator={config.hr_discriminator} with --lr_patch="
            f"{config.lr_patch}, --scale={config.scale}: {error}"
        ) from error


def build_features(
    config: TrainConfig, settings: PDMSRGANConfig, remark: Remark
) -> VGG | None:
    """The network of the perceptual loss; None where it has no weight.

    Raises:
      UserError: none was named, or one that is no VGG19, or patches that are too small.
    """
    if settings.perceptual_weight == 0:
        refuse(config, "perceptual_weight=0", ("features", "features_arg"))
        return None
    if not config.features:
        raise UserError(
            "--features is required for the perceptual loss: a bundle of VGG19 (made "
            "from torchvision's file by pdm_tf.import_weights), or `random` for trying "
            "things out. Received nothing. (--method_arg=perceptual_weight=0 does "
            "without it.)"
        )
    network = _random(config) if config.features == RANDOM else _given(config)
    taps = PERCEPTUAL_TAPS[settings.perceptual]
    missing = [tap for tap in taps if tap not in network.tap_names]
    if missing:
        raise UserError(
            f"--features must be a VGG19, which has {missing[0]}. Received: "
            f"{config.features}, {network.config}."
        )
    patch, smallest = config.lr_patch * config.scale, network.config.min_size
    if patch < smallest:
        raise UserError(
            f"--lr_patch times --scale must be at least {smallest} for the perceptual "
            f"loss. Received: {config.lr_patch} * {config.scale}."
        )
    remark(_told(config, network))
    return network


def _random(config: TrainConfig) -> VGG:
    settings = parse_args(VGGConfig, config.features_arg)
    keras.utils.set_random_seed(stream_seed(config.seed, "random features")[0])
    return settings.build(policy_of(config), name="features")


def _given(config: TrainConfig) -> VGG:
    refuse(config, "--features from a bundle", ("features_arg",))
    bundle = load_bundle(config.features, policy_of(config))
    if not isinstance(bundle.network, VGG):
        raise UserError(
            f"--features must be a bundle of VGG19, or `{RANDOM}`. Received: "
            f"{config.features}, which holds {bundle.name}."
        )
    return bundle.network


def _told(config: TrainConfig, network: VGG) -> str:
    if config.features != RANDOM:
        return f"perceptual loss: {network.config} of {config.features}"
    return (
        "warning: --features=random: the perceptual loss compares features of a VGG "
        f"with RANDOM weights ({network.config}), not of ImageNet's. That is for "
        "trying things out; its results are no PDM-SRGAN."
    )
