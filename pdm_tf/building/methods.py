"""The methods with the networks that a training request describes."""

from typing import TypeVar

from pdm_tf.building.networks import build_pdm, build_sr, check_patch
from pdm_tf.building.perceptual import build_features, build_hr_discriminator
from pdm_tf.building.requests import (
    GAN_FLAGS,
    Remark,
    common_settings,
    policy_of,
    refuse,
)
from pdm_tf.cli.component import parse_args
from pdm_tf.core.errors import UserError
from pdm_tf.methods import (
    PDMSR,
    PDMSRGAN,
    PDMSRConfig,
    PDMSRGANConfig,
    PixelSR,
    Supervised,
    SupervisedConfig,
)
from pdm_tf.models.discriminators import PatchGANConfig
from pdm_tf.models.network import Network
from pdm_tf.train_config import TrainConfig

SettingsT = TypeVar("SettingsT", bound=PDMSRConfig)


def build_supervised(config: TrainConfig) -> Supervised:
    """Raises: UserError: settings or folders that it has no use for, or lacks."""
    refuse(
        config,
        "supervised",
        (
            *("kernel_arg", "noise_arg", "jpeg", "jpeg_arg"),
            *("discriminator_arg", "init_degradation", *GAN_FLAGS),
        ),
    )
    settings = parse_args(SupervisedConfig, config.method_arg)
    if settings.pairs == "synthetic" and config.lr_dir:
        raise UserError(
            "--method=supervised makes its LR images from --hr_dir, unless "
            "--method_arg=pairs=real says that --lr_dir holds their partners. "
            f"Received: --lr_dir={config.lr_dir}."
        )
    if settings.pairs == "real" and not config.lr_dir:
        raise UserError("--method_arg=pairs=real needs --lr_dir. Received nothing.")
    return Supervised(settings, sr=build_sr(config), **common_settings(config))


def build_pdm_sr(config: TrainConfig) -> PDMSR:
    """Raises: UserError: settings that cannot work or contradict each other."""
    refuse(config, "pdm_sr", GAN_FLAGS)
    settings = method_settings(config, PDMSRConfig)
    if not settings.learns_sr:
        refuse(config, "training=degradation", ("sr_arg", "init_sr"))
    pdm, discriminator = build_adversaries(config, settings)
    part = PixelSR(build_sr(config)) if settings.learns_sr else None
    common = common_settings(config)
    del common["scale"]
    return PDMSR(settings, pdm=pdm, discriminator=discriminator, sr_part=part, **common)


def build_pdm_srgan(config: TrainConfig, remark: Remark) -> PDMSRGAN:
    """Raises: UserError: settings that cannot work or contradict each other."""
    settings = method_settings(config, PDMSRGANConfig)
    pdm, discriminator = build_adversaries(config, settings)
    common = common_settings(config)
    del common["scale"]
    return PDMSRGAN(
        settings,
        pdm=pdm,
        discriminator=discriminator,
        sr=build_sr(config),
        hr_discriminator=build_hr_discriminator(config, settings),
        # Last: random ones must not change what the other networks start with.
        features=build_features(config, settings, remark),
        **common,
    )


def method_settings(config: TrainConfig, config_class: type[SettingsT]) -> SettingsT:
    """--method_arg over the preset.

    Raises:
      UserError: an unknown setting, or folders that do not fit what it trains.
    """
    base = config_class.paper() if config.preset == "paper" else config_class()
    settings = parse_args(config_class, config.method_arg, base)
    if settings.learns_degradation and not config.lr_dir:
        raise UserError(
            "--lr_dir, the folder of real LR photographs, is required to learn a "
            "degradation. Received nothing."
        )
    if not settings.learns_degradation:
        if not config.init_degradation:
            raise UserError(
                "--method_arg=training=sr trains on a frozen degradation, which must "
                "come from --init_degradation=<run folder or bundle>: an untrained one "
                "would be used without anybody noticing. Received nothing."
            )
        refuse(config, "training=sr", ("discriminator_arg",))
    return settings


def build_adversaries(
    config: TrainConfig, settings: PDMSRConfig
) -> tuple[Network, Network | None]:
    """The degradation model and its discriminator, None where nothing is learned."""
    pdm = build_pdm(config, settings)
    check_patch(config, pdm.config)
    if not settings.learns_degradation:
        return pdm, None
    paper = config.preset == "paper"
    patchgan = PatchGANConfig.paper() if paper else PatchGANConfig()
    patchgan = parse_args(PatchGANConfig, config.discriminator_arg, patchgan)
    return pdm, patchgan.build(policy_of(config), name="discriminator")
