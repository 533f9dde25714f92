"""The composition root: names and settings become objects, here and nowhere else.

Everything that can be wrong with a request (a setting that no component has, a folder
that is missing, two networks that do not fit) is found here, before the first step.

Building knows kinds of parts, not methods. A method says which parts it is made with
(`Method.roles`) and which streams it reads; each part is made from the flags that speak
of it. A flag of a part that the method has no use for is refused, by one rule.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from pdm_tf.cli.component import parse_args, to_json_dict
from pdm_tf.core.checks import lookup, suggest
from pdm_tf.core.errors import UserError
from pdm_tf.core.progress import ProgressBar
from pdm_tf.core.seeds import stream_seed
from pdm_tf.data.pairs import ASSUMED_GRID, load_pairs
from pdm_tf.data.pipeline import (
    Batching,
    make_batches,
    make_pair_batches,
    open_pairs,
)
from pdm_tf.data.sources import check_unpaired, open_source
from pdm_tf.degradations import (
    DEGRADATIONS,
    PDM,
    Degradation,
    JPEGModuleConfig,
    KernelModuleConfig,
    NoiseModuleConfig,
    PDMConfig,
)
from pdm_tf.evaluation.validation import Validator
from pdm_tf.methods import METHODS
from pdm_tf.methods.base import Method, NotNeeded, Role
from pdm_tf.models.bundle import Bundle, load_bundle, save_bundle
from pdm_tf.models.features import VGG, VGGConfig
from pdm_tf.models.network import Network, recomputed
from pdm_tf.models.networks import NETWORKS, named
from pdm_tf.run import find_bundle
from pdm_tf.train_config import TrainConfig
from pdm_tf.training.replicas import ONE_DEVICE, Replicas
from pdm_tf.training.step_function import StepFunction, StepSettings

Batches = tf.data.Dataset
# Takes a line that whoever started the run should read.
Remark = Callable[[str], None]

RANDOM = "random"  # --features
POLICIES = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}
# stream -> the flag of its folder, and what that folder is.
STREAMS = {
    "hr": ("hr_dir", "the folder of HR photographs"),
    "real_lr": ("lr_dir", "the folder of real LR photographs"),
    "lr": ("lr_dir", "the folder of the LR partners of --hr_dir"),
}
_LOADING = ("reading images", "img")


class RoleFlags(NamedTuple):
    """The flags that speak of one part, besides --net, --net_arg and --init.

    Attributes:
      net: names its network.
      args: settings of it.
      init: what it starts from.
      more: flags that only its maker knows.
    """

    net: str = ""
    args: str = ""
    init: str = ""
    more: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Names of all of them."""
        named = (name for name in self[:3] if name)
        return (*named, *self.more)


_PDM_FLAGS = ("kernel_arg", "noise", "noise_arg", "jpeg", "jpeg_arg")
ROLE_FLAGS = {
    "sr": RoleFlags("sr_net", "sr_arg", "init_sr"),
    "pdm": RoleFlags("", "degradation_arg", "init_degradation", _PDM_FLAGS),
    "degradation": RoleFlags("", "degradation_arg"),
    "discriminator": RoleFlags("", "discriminator_arg"),
    "hr_discriminator": RoleFlags("hr_discriminator", "hr_discriminator_arg"),
    "features": RoleFlags("features", "features_arg"),
}


@dataclasses.dataclass(frozen=True)
class TrainingSetup:
    """Everything a training run needs besides the loop.

    Attributes:
      method: networks, optimisers and the step.
      make_batches: index of the first step -> batches from there on.
      validate: network -> scores, or None without validation folders.
      skipped: (path, reason) of images that cannot be used.
      remarks: lines that whoever started the run should read.
    """

    method: Method
    make_batches: Callable[[int], Batches]
    validate: Callable[[keras.Model], Mapping[str, float]] | None
    skipped: Sequence[tuple[str, str]]
    remarks: Sequence[str] = ()


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
    validate = build_validation(config) if replicas.is_chief else None
    remarks: list[str] = []
    with replicas.scope():
        method = build_method(config, remarks.append)
    if "lr" in method.patches:
        batches, skipped = _paired_batches(
            config, replicas, method.grid, remarks.append
        )
    else:
        batches, skipped = _unpaired_batches(config, method, replicas)
    return TrainingSetup(method, batches, validate, skipped, remarks)


def build_method(config: TrainConfig, remark: Remark = lambda line: None) -> Method:
    """Makes the method with its networks; reads no images.

    Args:
      config: of the run.
      remark: takes lines that whoever started the run should read.

    Raises:
      UserError: a name or setting is unknown, or given networks do not fit.
    """
    method = lookup(METHODS, config.method, "--method")
    # Initial weights are a function of the seed like everything else.
    keras.utils.set_random_seed(stream_seed(config.seed, "initial weights")[0])
    base = method.config_class()
    if config.preset == "paper" and hasattr(base, "paper"):
        base = base.paper()
    settings = parse_args(method.config_class, config.method_arg, base)
    _check_streams(config, method.streams(settings))
    roles = method.roles(settings)
    _refuse_flags_of_absent_parts(config, roles)
    needed = {name: role for name, role in roles.items() if isinstance(role, Role)}
    maker = _PartMaker(config, needed, remark)
    parts = {name: maker.make(name) for name in needed}
    common = ("scale", "lr_patch", "learning_rate", "clip_norm", "seed")
    return method.make(
        settings, parts, {name: getattr(config, name) for name in common}
    )


def _check_streams(config: TrainConfig, streams: Mapping[str, str | NotNeeded]) -> None:
    """Holds the folders that are given to the streams that are read."""
    for stream, need in streams.items():
        flag, what = STREAMS[stream]
        folder = getattr(config, flag)
        if isinstance(need, NotNeeded) and folder:
            raise UserError(
                f"--{flag} has no meaning with {need.reason}. "
                f"Received: --{flag}={folder}."
            )
        if not isinstance(need, NotNeeded) and not folder:
            raise UserError(f"--{flag}, {what}, is required {need}. Received nothing.")


def _refuse_flags_of_absent_parts(
    config: TrainConfig, roles: Mapping[str, Role | NotNeeded]
) -> None:
    """A setting that would be ignored is an error: the one rule of that."""
    # The method's own reasons first: of a flag that two parts share, they say more.
    absent = NotNeeded(config.method)
    reasons = {n: role for n, role in roles.items() if isinstance(role, NotNeeded)}
    reasons |= {name: absent for name in ROLE_FLAGS if name not in roles}
    used = {
        flag
        for name, flags in ROLE_FLAGS.items()
        if name not in reasons
        for flag in flags.all
    }
    for name, why in reasons.items():
        flags = ROLE_FLAGS.get(name, RoleFlags()).all
        _refuse(config, why.reason, *(flag for flag in flags if flag not in used))


def _refuse(config: TrainConfig, what: str, *names: str) -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    for name in names:
        value = getattr(config, name)
        if value != defaults[name]:
            raise UserError(f"--{name} has no meaning with {what}. Received: {value}.")


class _PartMaker:
    """Makes the parts of a method from the flags that speak of each.

    Args:
      config: of the run.
      roles: name -> role of every part that the method is made with.
      remark: takes lines that whoever started the run should read.
    """

    def __init__(
        self, config: TrainConfig, roles: Mapping[str, Role], remark: Remark
    ) -> None:
        self._config, self._roles, self._remark = config, roles, remark
        self._nets = self._by_role("net", ":")
        self._args = self._by_role("net_arg", ".")
        self._inits = self._by_role("init", ":")

    def make(self, name: str) -> Any:
        """Makes the part of this name.

        Raises:
          UserError: a setting that it does not have, or weights that do not fit.
        """
        kind = self._roles[name].kind
        if kind == "features":
            return self._features()
        if kind == "degradation":
            return self._degradation(name)
        return self._network(name)

    @property
    def _policy(self) -> str:
        return POLICIES[self._config.mixed_precision]

    def _by_role(self, flag: str, separator: str) -> dict[str, list[str]]:
        """name of a part -> what the generic flag and then its own say of it."""
        found: dict[str, list[str]] = {name: [] for name in self._roles}
        for text in getattr(self._config, flag):
            name, middle, rest = text.partition(separator)
            if name not in found or not middle:
                raise UserError(
                    f"--{flag} must begin with one of "
                    f"{', '.join(name + separator for name in found)} which are the "
                    f"parts of {self._config.method}. Received: {text!r}."
                )
            found[name].append(rest)
        return found

    def _flags(self, name: str) -> RoleFlags:
        return ROLE_FLAGS.get(name, RoleFlags())

    def _said(self, name: str, what: str) -> str:
        """The value of the part's own flag of that kind; "" where it has none."""
        flag = getattr(self._flags(name), what)
        return getattr(self._config, flag) if flag else ""

    def _init(self, name: str) -> str:
        return (self._inits[name] or [self._said(name, "init")])[-1]

    def _network(self, name: str) -> Network:
        """A network by name, with its settings and, if given, its weights."""
        config, role, flags = self._config, self._roles[name], self._flags(name)
        chosen = self._said(name, "net") or role.default
        chosen = (self._nets[name] or [chosen])[-1]
        net_flag = f"--{flags.net}" if flags.net else "--net"
        default = lookup(named(role.kind), chosen, net_flag)
        if config.preset == "paper" and hasattr(default, "paper"):
            default = default.paper()
        args = [*(self._said(name, "args") or ()), *self._args[name]]
        fixed = self._fixed(role, default)
        for arg in args:
            key = arg.partition("=")[0].strip()
            if key in fixed:
                rule = _DECIDED_BY.get(key, f"The {key} is decided by the method.")
                raise UserError(f"{rule} Received: --{flags.args or 'net_arg'}={arg}.")
        try:
            base = dataclasses.replace(default, **fixed)
        except ValueError as error:
            raise UserError(f"{net_flag}={chosen}: {error}") from error
        settings = parse_args(type(default), args, base)
        blocks = getattr(settings, "block_names", ()) if config.recompute else ()
        with recomputed(blocks):
            network = settings.build(self._policy, name=name)
        if location := self._init(name):
            path = find_bundle(location, name=name)
            bundle = load_bundle(path)
            if bundle.config != settings:
                described = (
                    "--sr_net, --sr_arg and --scale describe"
                    if name == "sr"
                    else f"is described for {name}"
                )
                raise UserError(
                    f"--{flags.init or 'init'} must hold the network that {described}, "
                    f"{settings}. Received: {path}, {bundle.config}."
                )
            network.set_weights(bundle.network.get_weights())
        return network

    def _fixed(self, role: Role, default: Any) -> dict[str, Any]:
        """Settings that flags of the run or the method decide, of those it has."""
        config = self._config
        patch = config.lr_patch * (config.scale if role.sees == "hr" else 1)
        run = {"scale": config.scale, "input_size": patch}
        return {k: v for k, v in run.items() if hasattr(default, k)} | role.settings

    def _degradation(self, name: str) -> Degradation:
        """A predefined degradation, or a network that is new or given."""
        config, role, flags = self._config, self._roles[name], self._flags(name)
        source = self._init(name) or role.default
        if source in DEGRADATIONS:
            flag = f"--{flags.init or 'init'}={source}"
            if not role.frozen:
                raise UserError(
                    f"{flag} cannot be trained: it has no weights. It is for "
                    "--method_arg=training=sr."
                )
            _refuse(config, flag, *flags.more)
            make = DEGRADATIONS[source]
            args = [*config.degradation_arg, *self._args[name]]
            return make(config.scale, parse_args(make.config_class, args))
        _refuse(config, "a degradation that is a network", "degradation_arg")
        if location := self._init(name):
            return self._given_degradation(name, location)
        if role.frozen:
            raise UserError(
                f"--method_arg={role.frozen} trains on a frozen degradation, which "
                f"must come from --{flags.init or 'init'}=<run folder, bundle, or one "
                f"of {', '.join(DEGRADATIONS)}>: an untrained one would be used "
                "without anybody noticing. Received nothing."
            )
        if NETWORKS[role.default].network is not PDM:
            return self._network(name)
        pdm = _pdm_config(config, role.settings)
        _check_mirrored_crops(config, pdm)
        return pdm.build(self._policy, name=name)

    def _given_degradation(self, name: str, location: str) -> Degradation:
        config, role, flags = self._config, self._roles[name], self._flags(name)
        new = [flag for flag in flags.more if flag.endswith("_arg")]
        flag = f"--{flags.init or 'init'}"
        _refuse(config, flag, *new)
        path = find_bundle(location, name=name)
        bundle = load_bundle(path, self._policy)
        if bundle.role != "degradation" or bundle.scale != config.scale:
            raise UserError(
                f"{flag} must be a PDM for --scale={config.scale}. "
                f"Received: {path}, role {bundle.role}, scale {bundle.scale}."
            )
        _check_contradictions(config, role, flag, bundle.config)
        if isinstance(bundle.config, PDMConfig):
            _check_mirrored_crops(config, bundle.config)
        return bundle.network

    def _features(self) -> VGG:
        """The network of the perceptual loss."""
        config = self._config
        if not config.features:
            raise UserError(
                "--features is required for the perceptual loss: a bundle of VGG19 "
                "(made from torchvision's file by pdm_tf.import_weights), or `random` "
                "for trying things out. Received nothing. "
                "(--method_arg=perceptual_weight=0 does without it.)"
            )
        if config.features == RANDOM:
            settings = parse_args(VGGConfig, config.features_arg)
            keras.utils.set_random_seed(stream_seed(config.seed, "random features")[0])
            network = settings.build(self._policy, name="features")
        else:
            _refuse(config, "--features from a bundle", "features_arg")
            bundle = load_bundle(config.features, self._policy)
            if not isinstance(bundle.network, VGG):
                raise UserError(
                    f"--features must be a bundle of VGG19, or `{RANDOM}`. Received: "
                    f"{config.features}, which holds {bundle.name}."
                )
            network = bundle.network
        patch, smallest = config.lr_patch * config.scale, network.config.min_size
        if patch < smallest:
            raise UserError(
                f"--lr_patch times --scale must be at least {smallest} for the "
                f"perceptual loss. Received: {config.lr_patch} * {config.scale}."
            )
        line = f"perceptual loss: {network.config} of {config.features}"
        if config.features == RANDOM:
            line = (
                "warning: --features=random: the perceptual loss compares features of "
                f"a VGG with RANDOM weights ({network.config}), not of ImageNet's. "
                "That is for trying things out; its results are no PDM-SRGAN."
            )
        self._remark(line)
        return network


_DECIDED_BY = {
    "scale": "The scale is set by --scale.",
    "input_size": "The size of HR patches is --lr_patch times --scale.",
}


def _pdm_config(config: TrainConfig, geometry: Mapping[str, Any]) -> PDMConfig:
    """Settings of a new degradation model; `geometry` is its grid and border."""
    paper = config.preset == "paper"
    kernel = KernelModuleConfig.paper() if paper else KernelModuleConfig()
    noise = NoiseModuleConfig.paper() if paper else NoiseModuleConfig()
    noise = _optional_part(config, "noise", noise)
    jpeg = _optional_part(config, "jpeg", JPEGModuleConfig())
    kernel = parse_args(
        KernelModuleConfig, config.kernel_arg, kernel.at_scale(config.scale)
    )
    return PDMConfig(
        scale=config.scale, kernel=kernel, noise=noise, jpeg=jpeg, **geometry
    )


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
    config: TrainConfig, role: Role, flag: str, given: Any
) -> None:
    """What was asked for must be what the given degradation is."""
    asked_for = {arg.partition("=")[0].strip() for arg in config.method_arg}
    for name in sorted(set(role.settings) & asked_for):
        asked, found = role.settings[name], getattr(given, name, None)
        if asked != found:
            raise UserError(
                f"{flag} decides the {name}. "
                f"Received: --method_arg={name}={asked} and a degradation with {found}."
            )
    if getattr(given, "noise", None) is not None and not config.noise:
        raise UserError(
            f"--nonoise contradicts {flag}. "
            f"Received: {config.init_degradation}, which has a noise module."
        )
    if getattr(given, "jpeg", None) is None and config.jpeg:
        raise UserError(
            f"--jpeg contradicts {flag}. "
            f"Received: {config.init_degradation}, which has no JPEG module."
        )


def _check_mirrored_crops(config: TrainConfig, pdm: PDMConfig) -> None:
    """Refuses patches too small to be mirrored."""
    size, radius = config.lr_patch * config.scale, pdm.kernel.kernel_size // 2
    if pdm.border == "reflect" and size <= radius:
        raise UserError(
            "--lr_patch times --scale must exceed half the kernel, which is mirrored "
            f"at the border. Received: {config.lr_patch} * {config.scale} with kernels "
            f"of {pdm.kernel.kernel_size} pixels."
        )


def build_validation(
    config: TrainConfig,
) -> Callable[[keras.Model], Mapping[str, float]] | None:
    """Scores an SR network on the pairs of --val_hr_dir; None without them."""
    if not config.val_hr_dir or not config.validate_every:
        return None
    pair_set = load_pairs(
        config.val_hr_dir, config.val_lr_dir, config.scale, config.val_max_images
    )
    for path, reason in pair_set.problems:
        print(f"validation leaves out {path}: {reason}")
    return Validator(pair_set.pairs, scale=config.scale)


def _unpaired_batches(
    config: TrainConfig, method: Method, replicas: Replicas
) -> tuple[Callable[[int], Batches], list[tuple[str, str]]]:
    """Batches of the method's streams, and what is left out."""
    if "real_lr" in method.patches:
        check_unpaired(config.hr_dir, config.lr_dir)
    sources, cache_mb = {}, config.cache_mb
    with ProgressBar(*_LOADING, config.progress, delay=1.0, leave=False) as bar:
        for name, patch in method.patches.items():  # first come, first cached
            flag, _ = STREAMS[name]
            sources[name] = open_source(
                getattr(config, flag),
                patch=patch,
                cache_mb=cache_mb,
                label=f"--{flag}",
                on_progress=bar.update,
            )
            cache_mb -= sources[name].memory_mb
    skipped = [item for source in sources.values() for item in source.skipped]

    def batches(start_step: int) -> Batches:
        how = _batching(config, replicas, start_step)
        return make_batches(sources, method.patches, how)

    return batches, [(str(path), reason) for path, reason in skipped]


def _paired_batches(
    config: TrainConfig, replicas: Replicas, grid: str, remark: Remark
) -> tuple[Callable[[int], Batches], list[tuple[str, str]]]:
    """Batches of pairs, and what is left out.

    Args:
      config: of the run.
      replicas: the devices that train.
      grid: where LR pixels lie; "auto" takes what is on record with the pairs.
      remark: told what is assumed where nothing is.
    """
    pair_set = load_pairs(config.hr_dir, config.lr_dir, config.scale)
    if grid != "auto":
        pair_set = dataclasses.replace(pair_set, grid=grid)
    elif pair_set.grid is None and config.scale > 1:
        remark(
            f"nothing says where the pixels of --lr_dir lie: grid={ASSUMED_GRID} is "
            "taken, as bicubic has it; if LR pixel i lies on HR pixel "
            f"{config.scale} * i, say --method_arg=grid=pixel0"
        )
    with ProgressBar(*_LOADING, config.progress, delay=1.0, leave=False) as bar:
        pairs = open_pairs(
            pair_set,
            lr_patch=config.lr_patch,
            cache_mb=config.cache_mb,
            on_progress=bar.update,
        )
    skipped = [*pair_set.problems, *pairs.skipped]

    def batches(start_step: int) -> Batches:
        how = _batching(config, replicas, start_step)
        return make_pair_batches(pairs, config.lr_patch, how)

    return batches, [(str(path), reason) for path, reason in skipped]


def _batching(config: TrainConfig, replicas: Replicas, start_step: int) -> Batching:
    return Batching(
        batch_size=config.batch_size,
        seed=config.seed,
        start_step=start_step,
        threads=config.threads,
        worker=replicas.worker,
        workers=replicas.workers,
        device=replicas.device,
    )


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


def compiled_step(
    method: Method, config: TrainConfig, replicas: Replicas = ONE_DEVICE
) -> StepFunction:
    """The step of `method`, with its averages, as a run takes it."""
    settings = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(StepSettings)
    }
    return StepFunction(method, StepSettings(**settings), replicas)


def bundle_saver(
    config: TrainConfig, folder: Path
) -> Callable[[Mapping[str, Network], int], None]:
    """Returns save(networks, step), which writes `folder`/<name>/ for each."""

    def save(networks: Mapping[str, Network], step: int) -> None:
        for name, network in networks.items():
            save_bundle(
                network,
                folder / name,
                step=step,
                notes={
                    "method": config.method,
                    "seed": config.seed,
                    # So that nobody takes a network trained on random features for
                    # more than it is.
                    **({"features": config.features} if config.features else {}),
                },
            )

    return save


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
    identity = f"{bundle.name.lower()}-{bundle.sha256[:16]}"
    # The grid is what a reader of the kernels needs besides.
    facts = {"degradation": identity, "scale": degradation.scale}
    return degradation, facts | {"grid": degradation.config.grid}


def open_learned(location: str, weights: str = "ema") -> tuple[Degradation, Bundle]:
    """Loads the degradation of a run folder or a bundle.

    Args:
      location: either.
      weights: of a run folder: "ema" or "raw".

    Raises:
      UserError: there is none, or the bundle is another kind of network.
    """
    path = find_bundle(location, name="pdm", weights=weights)
    bundle = load_bundle(path)
    if bundle.role != "degradation":
        raise UserError(
            "A learned degradation must be a bundle of the role 'degradation'. "
            f"Received: {path}, which has the role {bundle.role!r}."
        )
    return bundle.network, bundle
