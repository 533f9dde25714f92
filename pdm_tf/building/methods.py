"""The methods with the networks that a training request describes."""

from pdm_tf.building.networks import build_pdm, build_sr, check_patch
from pdm_tf.building.requests import common_settings, policy_of, refuse
from pdm_tf.config.component import parse_args
from pdm_tf.config.train_config import TrainConfig
from pdm_tf.core.errors import UserError
from pdm_tf.methods import PDMSR, PDMSRConfig, Supervised, SupervisedConfig
from pdm_tf.models.discriminators import PatchGANConfig


def build_supervised(config: TrainConfig) -> Supervised:
    """Raises: UserError: settings or folders that it has no use for, or lacks."""
    refuse(
        config,
        "supervised",
        (
            *("kernel_arg", "noise_arg", "jpeg", "jpeg_arg"),
            *("discriminator_arg", "init_degradation"),
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
    paper = config.preset == "paper"
    base = PDMSRConfig.paper() if paper else PDMSRConfig()
    settings = parse_args(PDMSRConfig, config.method_arg, base)
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
    if not settings.learns_sr:
        refuse(config, "training=degradation", ("sr_arg", "init_sr"))
    pdm = build_pdm(config, settings)
    check_patch(config, pdm.config)
    discriminator = None
    if settings.learns_degradation:
        patchgan = PatchGANConfig.paper() if paper else PatchGANConfig()
        patchgan = parse_args(PatchGANConfig, config.discriminator_arg, patchgan)
        discriminator = patchgan.build(policy_of(config), name="discriminator")
    sr = build_sr(config) if settings.learns_sr else None
    common = common_settings(config)
    del common["scale"]
    return PDMSR(settings, pdm=pdm, discriminator=discriminator, sr=sr, **common)
