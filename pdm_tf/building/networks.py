"""The networks that a training request describes."""

import dataclasses
from typing import Any

from pdm_tf.building.requests import policy_of, refuse
from pdm_tf.cli.component import parse_args
from pdm_tf.core.checks import lookup
from pdm_tf.core.errors import UserError
from pdm_tf.degradations import (
    JPEGModuleConfig,
    KernelModuleConfig,
    NoiseModuleConfig,
    PDMConfig,
)
from pdm_tf.methods import PDMSRConfig
from pdm_tf.models.bundle import load_bundle
from pdm_tf.models.network import Network, recomputed
from pdm_tf.models.networks import SR_NETS
from pdm_tf.run import find_bundle
from pdm_tf.train_config import TrainConfig


def build_sr(config: TrainConfig) -> Network:
    """The SR network, with the weights of --init_sr if given.

    Raises:
      UserError: an unknown network or setting, or weights of another network.
    """
    default = lookup(SR_NETS, config.sr_net, "--sr_net")
    fixed = [arg for arg in config.sr_arg if arg.partition("=")[0].strip() == "scale"]
    if fixed:
        raise UserError(f"The scale is set by --scale. Received: --sr_arg={fixed[0]}.")
    try:
        base = dataclasses.replace(default, scale=config.scale)
    except ValueError as error:
        raise UserError(f"--sr_net={config.sr_net}: {error}") from error
    settings = parse_args(type(default), config.sr_arg, base)
    with recomputed(settings.block_names if config.recompute else ()):
        network = settings.build(policy_of(config), name="sr")
    if config.init_sr:
        path = find_bundle(config.init_sr, name="sr")
        bundle = load_bundle(path)
        if bundle.config != settings:
            raise UserError(
                "--init_sr must hold the network that --sr_net, --sr_arg and --scale "
                f"describe, {settings}. Received: {path}, {bundle.config}."
            )
        network.set_weights(bundle.network.get_weights())
    return network


def build_pdm(config: TrainConfig, settings: PDMSRConfig) -> Network:
    """The degradation model, a new one or that of --init_degradation.

    Raises:
      UserError: a setting that it does not have or that contradicts the given one.
    """
    if config.init_degradation:
        given = ("kernel_arg", "noise_arg", "jpeg_arg")
        refuse(config, "--init_degradation", given)
        path = find_bundle(config.init_degradation, name="pdm")
        bundle = load_bundle(path, policy_of(config))
        if bundle.role != "degradation" or bundle.scale != config.scale:
            raise UserError(
                f"--init_degradation must be a PDM for --scale={config.scale}. "
                f"Received: {path}, role {bundle.role}, scale {bundle.scale}."
            )
        _check_contradictions(config, settings, bundle.config)
        return bundle.network
    paper = config.preset == "paper"
    kernel = KernelModuleConfig.paper() if paper else KernelModuleConfig()
    noise = NoiseModuleConfig.paper() if paper else NoiseModuleConfig()
    noise = _optional_part(config, "noise", noise)
    jpeg = _optional_part(config, "jpeg", JPEGModuleConfig())
    return PDMConfig(
        scale=config.scale,
        kernel=parse_args(
            KernelModuleConfig, config.kernel_arg, kernel.at_scale(config.scale)
        ),
        noise=noise,
        grid=settings.grid,
        border=settings.border,
        jpeg=jpeg,
    ).build(policy_of(config), name="pdm")


def _optional_part(config: TrainConfig, name: str, base: Any) -> Any:
    """Settings of a part that the flag `name` switches on; None when it is off."""
    args = getattr(config, f"{name}_arg")
    if getattr(config, name):
        return parse_args(type(base), args, base)
    if args:
        raise UserError(
            f"--{name}_arg has no meaning without --{name}. "
            f"Received: {', '.join(args)}."
        )
    return None


def _check_contradictions(
    config: TrainConfig, settings: PDMSRConfig, given: PDMConfig
) -> None:
    """What was asked for must be what the given degradation is."""
    named = {arg.partition("=")[0].strip() for arg in config.method_arg}
    for name in {"grid", "border"} & named:
        asked, found = getattr(settings, name), getattr(given, name)
        if asked != found:
            raise UserError(
                f"--init_degradation decides the {name}. "
                f"Received: --method_arg={name}={asked} and a degradation with {found}."
            )
    if given.noise is not None and not config.noise:
        raise UserError(
            "--nonoise contradicts --init_degradation. "
            f"Received: {config.init_degradation}, which has a noise module."
        )
    if given.jpeg is None and config.jpeg:
        raise UserError(
            "--jpeg contradicts --init_degradation. "
            f"Received: {config.init_degradation}, which has no JPEG module."
        )


def check_patch(config: TrainConfig, pdm: PDMConfig) -> None:
    """Refuses patches too small to be mirrored."""
    size, radius = config.lr_patch * config.scale, pdm.kernel.kernel_size // 2
    if pdm.border == "reflect" and size <= radius:
        raise UserError(
            "--lr_patch times --scale must exceed half the kernel, which is mirrored "
            f"at the border. Received: {config.lr_patch} * {config.scale} with kernels "
            f"of {pdm.kernel.kernel_size} pixels."
        )
