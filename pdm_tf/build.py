"""The composition root: names and settings become objects, here and nowhere else.

Everything that can be wrong with a request (a setting that no component has, a folder
that is missing, two networks that do not fit) is found here, before the first step.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tqdm import tqdm

from pdm_tf.config.component import parse_args, to_json_dict
from pdm_tf.config.train_config import TrainConfig
from pdm_tf.core.errors import UserError
from pdm_tf.core.names import lookup, suggest
from pdm_tf.core.seeds import stream_seed
from pdm_tf.data.pairs import load_pairs
from pdm_tf.data.pipeline import (
    StreamSpec,
    make_batches,
    make_pair_stream,
    open_pairs,
    open_streams,
)
from pdm_tf.data.sources import check_unpaired
from pdm_tf.degradations import DEGRADATIONS, Degradation, open_learned
from pdm_tf.evaluation.validation import make_validator
from pdm_tf.methods import METHODS, PDMSR, PDMSRConfig, Supervised, SupervisedConfig
from pdm_tf.methods.base import Method
from pdm_tf.models.bundle import find_bundle, load_bundle, save_bundle
from pdm_tf.models.degradation import (
    JPEGModuleConfig,
    KernelModuleConfig,
    NoiseModuleConfig,
    PDMConfig,
)
from pdm_tf.models.discriminators import PatchGANConfig
from pdm_tf.models.network import Network, recomputed
from pdm_tf.models.sr import SR_NETS
from pdm_tf.training.ema import EMA
from pdm_tf.training.health import LossMonitor
from pdm_tf.training.replicas import ONE_DEVICE, Replicas
from pdm_tf.training.step_function import StepFunction

_POLICIES = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}
Batches = tf.data.Dataset


@dataclasses.dataclass(frozen=True)
class TrainingSetup:
    """Everything a training run needs besides the loop.

    Attributes:
      method: networks, optimisers and the step.
      make_batches: index of the first step -> batches from there on.
      validate: network -> scores, or None without validation folders.
      skipped: (path, reason) of images that cannot be used.
    """

    method: Method
    make_batches: Callable[[int], Batches]
    validate: Callable[[keras.Model], Mapping[str, float]] | None
    skipped: Sequence[tuple[str, str]]


def build_training(
    config: TrainConfig, replicas: Replicas = ONE_DEVICE
) -> TrainingSetup:
    """Makes the objects of a run.

    Args:
      config: of the run.
      replicas: the devices that train; the batches are this worker's.

    Raises:
      UserError: a setting, a folder or a combination of them cannot work.
    """
    _check_replicas(config, replicas)
    validate = _build_validation(config) if replicas.is_chief else None
    with replicas.scope():
        method = build_method(config)
    if isinstance(method, Supervised) and "lr" in method.patches:
        batches, skipped = _paired_batches(config, replicas)
    else:
        batches, skipped = _unpaired_batches(config, method, replicas)
    return TrainingSetup(method, batches, validate, skipped)


def build_method(config: TrainConfig) -> Method:
    """Makes the method with its networks; reads no images.

    Raises:
      UserError: a name or setting is unknown, or given networks do not fit.
    """
    lookup(METHODS, config.method, "--method")
    # Initial weights are a function of the seed like everything else.
    keras.utils.set_random_seed(stream_seed(config.seed, "initial weights")[0])
    make = {"pdm_sr": _build_pdm_sr, "supervised": _build_supervised}[config.method]
    return make(config)


def _check_replicas(config: TrainConfig, replicas: Replicas) -> None:
    parts = replicas.count * config.accumulate
    if config.batch_size % parts:
        raise UserError(
            "--batch_size must be a multiple of the number of devices times "
            f"--accumulate, {replicas.count} * {config.accumulate}. "
            f"Received: {config.batch_size}."
        )
    if config.xla == "on" and replicas.count > 1:
        raise UserError(
            f"--xla=on works with one device. Received: {replicas.count} of them."
        )


def compiled_step(method: Method, config: TrainConfig) -> StepFunction:
    """The step as the loop runs it, with its averages, for measuring."""
    ema = EMA(method.ema_networks(), config.ema_decay, method.unaveraged())
    return StepFunction(method, ema, LossMonitor(), config)


def build_degradation(
    name: str, *, args: Sequence[str] = (), scale: int = 0, weights: str = "ema"
) -> tuple[Degradation, dict[str, Any]]:
    """Makes a degradation, and says in JSON all that decides what it does.

    Args:
      name: an entry of DEGRADATIONS, else a run folder or a bundle.
      args: `key=value` settings of a predefined one.
      scale: 0 takes that of the learned one, and 4 for a predefined one.
      weights: of a run folder: "ema" or "raw".

    Raises:
      UserError: no such degradation, or settings that it does not have.
    """
    if name in DEGRADATIONS:
        make = DEGRADATIONS[name]
        settings = parse_args(make.config_class, args)
        facts = {"degradation": name, "scale": scale or 4}
        values = to_json_dict(settings).items()
        facts["degradation_arg"] = ",".join(f"{key}={value}" for key, value in values)
        return make(facts["scale"], settings), facts
    if not Path(name).exists():
        raise UserError(
            "--degradation must be a run folder, a bundle, or one of "
            f"{', '.join(DEGRADATIONS)}. Received: {name!r}, which does not exist."
            f"{suggest(name, DEGRADATIONS)}"
        )
    if args:
        raise UserError(
            "--degradation_arg is for predefined degradations; a learned one brings "
            f"its settings. Received: {', '.join(args)}."
        )
    degradation, bundle = open_learned(name, weights)
    if scale not in (0, degradation.scale):
        raise UserError(
            f"--scale must be that of the degradation, {degradation.scale}, or be left "
            f"out. Received: {scale}."
        )
    # Weights are known by what they hold, wherever they lie.
    told = f"{bundle.name.lower()}-{bundle.sha256[:16]}"
    # The grid is what a reader of the kernels needs besides.
    facts = {"degradation": told, "scale": degradation.scale}
    return degradation, facts | {"grid": degradation.pdm.config.grid}


def bundle_saver(
    config: TrainConfig, folder: Path
) -> Callable[[Mapping[str, Network], int], None]:
    """Returns save(networks, step), which writes `folder`/<name>/ for each."""

    def save(networks: Mapping[str, Network], step: int) -> None:
        for name, network in networks.items():
            save_bundle(
                network,
                folder / name,
                role=name.removesuffix("_ema"),
                scale=config.scale,
                step=step,
                notes={"method": config.method, "seed": config.seed},
            )

    return save


def _build_supervised(config: TrainConfig) -> Supervised:
    _refuse(
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
    return Supervised(settings, sr=_build_sr(config), **_common(config))


def _build_pdm_sr(config: TrainConfig) -> PDMSR:
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
        _refuse(config, "training=sr", ("discriminator_arg",))
    if not settings.learns_sr:
        _refuse(config, "training=degradation", ("sr_arg", "init_sr"))
    pdm = _build_pdm(config, settings)
    _check_patch(config, pdm.config)
    discriminator = None
    if settings.learns_degradation:
        patchgan = PatchGANConfig.paper() if paper else PatchGANConfig()
        patchgan = parse_args(PatchGANConfig, config.discriminator_arg, patchgan)
        discriminator = patchgan.build(_policy(config), name="discriminator")
    sr = _build_sr(config) if settings.learns_sr else None
    common = _common(config)
    del common["scale"]
    return PDMSR(settings, pdm=pdm, discriminator=discriminator, sr=sr, **common)


def _build_pdm(config: TrainConfig, settings: PDMSRConfig) -> Network:
    if config.init_degradation:
        given = ("kernel_arg", "noise_arg", "jpeg_arg")
        _refuse(config, "--init_degradation", given)
        path = find_bundle(config.init_degradation, role="pdm")
        bundle = load_bundle(path, _policy(config))
        if bundle.role != "pdm" or bundle.scale != config.scale:
            raise UserError(
                f"--init_degradation must be a PDM for --scale={config.scale}. "
                f"Received: {path}, role {bundle.role}, scale {bundle.scale}."
            )
        _check_contradictions(config, settings, bundle.config)
        return bundle.network
    paper = config.preset == "paper"
    kernel = KernelModuleConfig.paper() if paper else KernelModuleConfig()
    noise = _optional_part(config, "noise", NoiseModuleConfig)
    jpeg = _optional_part(config, "jpeg", JPEGModuleConfig)
    return PDMConfig(
        scale=config.scale,
        kernel=parse_args(
            KernelModuleConfig, config.kernel_arg, kernel.at_scale(config.scale)
        ),
        noise=noise,
        grid=settings.grid,
        border=settings.border,
        jpeg=jpeg,
    ).build(_policy(config), name="pdm")


def _optional_part(config: TrainConfig, name: str, config_class: type) -> Any:
    """Settings of a part that the flag `name` switches on; None when it is off."""
    args = getattr(config, f"{name}_arg")
    if getattr(config, name):
        return parse_args(config_class, args)
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


def _check_patch(config: TrainConfig, pdm: PDMConfig) -> None:
    size, radius = config.lr_patch * config.scale, pdm.kernel.kernel_size // 2
    if pdm.border == "reflect" and size <= radius:
        raise UserError(
            "--lr_patch times --scale must exceed half the kernel, which is mirrored "
            f"at the border. Received: {config.lr_patch} * {config.scale} with kernels "
            f"of {pdm.kernel.kernel_size} pixels."
        )


def _build_sr(config: TrainConfig) -> Network:
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
        network = settings.build(_policy(config), name="sr")
    if config.init_sr:
        path = find_bundle(config.init_sr, role="sr")
        bundle = load_bundle(path)
        if bundle.config != settings:
            raise UserError(
                "--init_sr must hold the network that --sr_net, --sr_arg and --scale "
                f"describe, {settings}. Received: {path}, {bundle.config}."
            )
        network.set_weights(bundle.network.get_weights())
    return network


def _common(config: TrainConfig) -> dict[str, Any]:
    return {
        "scale": config.scale,
        "lr_patch": config.lr_patch,
        "learning_rate": config.learning_rate,
        "clip_norm": config.clip_norm,
        "seed": config.seed,
    }


def _policy(config: TrainConfig) -> str:
    return _POLICIES[config.mixed_precision]


def _refuse(config: TrainConfig, what: str, names: Sequence[str]) -> None:
    """Settings that would be ignored are errors."""
    for name in names:
        value = getattr(config, name)
        if value:
            raise UserError(f"--{name} has no meaning with {what}. Received: {value}.")


def _build_validation(
    config: TrainConfig,
) -> Callable[[keras.Model], Mapping[str, float]] | None:
    if not config.val_hr_dir or not config.validate_every:
        return None
    pair_set = load_pairs(
        config.val_hr_dir, config.val_lr_dir, config.scale, config.val_max_images
    )
    for path, reason in pair_set.problems:
        print(f"validation leaves out {path}: {reason}")
    return make_validator(pair_set.pairs, scale=config.scale)


def _unpaired_batches(
    config: TrainConfig, method: Method, replicas: Replicas
) -> tuple[Callable[[int], Batches], list[tuple[str, str]]]:
    folders = {"hr": config.hr_dir, "real_lr": config.lr_dir}
    labels = {"hr": "--hr_dir", "real_lr": "--lr_dir"}
    if "real_lr" in method.patches:
        check_unpaired(config.hr_dir, config.lr_dir)
    specs = [
        StreamSpec(name, folders[name], patch, label=labels[name])
        for name, patch in method.patches.items()
    ]
    with _LoadingBar(config) as bar:
        sources = open_streams(specs, cache_mb=config.cache_mb, on_progress=bar)
    skipped = [item for source in sources.values() for item in source.skipped]

    def batches(start_step: int) -> Batches:
        return make_batches(
            sources,
            method.patches,
            config.batch_size,
            config.seed,
            start_step,
            config.threads,
            (replicas.worker, replicas.workers),
            replicas.device,
        )

    return batches, [(str(path), reason) for path, reason in skipped]


def _paired_batches(
    config: TrainConfig, replicas: Replicas
) -> tuple[Callable[[int], Batches], list[tuple[str, str]]]:
    pair_set = load_pairs(config.hr_dir, config.lr_dir, config.scale)
    with _LoadingBar(config) as bar:
        pairs = open_pairs(
            pair_set,
            lr_patch=config.lr_patch,
            cache_mb=config.cache_mb,
            on_progress=bar,
        )
    skipped = [*pair_set.problems, *pairs.skipped]

    def batches(start_step: int) -> Batches:
        return make_pair_stream(
            pairs,
            lr_patch=config.lr_patch,
            batch_size=config.batch_size,
            seed=config.seed,
            start_index=start_step * config.batch_size,
            threads=config.threads,
            shard=(replicas.worker, replicas.workers),
            device=replicas.device,
        )

    return batches, [(str(path), reason) for path, reason in skipped]


class _LoadingBar:
    """A progress bar for reading images; shows nothing when it is quickly done."""

    def __init__(self, config: TrainConfig) -> None:
        hidden = {"off": True, "on": False}.get(config.progress)
        self._bar = tqdm(
            desc="reading images", unit="img", leave=False, delay=1.0, disable=hidden
        )

    def __enter__(self) -> Callable[[int, int], None]:
        def show(done: int, total: int) -> None:
            self._bar.total = total
            self._bar.n = done
            self._bar.refresh()

        return show

    def __exit__(self, *error: object) -> None:
        self._bar.close()
