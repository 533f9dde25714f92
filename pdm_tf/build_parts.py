"""Makes the parts of a training method from their flags.

Networks, degradations and features by kind; no method is known here. A setting that a
part does not have, weights that do not fit, and flags of parts that the method has no
use for are errors.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from pdm_tf.bundles.bundle import Bundle, load_bundle
from pdm_tf.bundles.networks import NETWORKS, of_role
from pdm_tf.cli.component import parse_args
from pdm_tf.core.checks import lookup, nearest
from pdm_tf.core.errors import UserError
from pdm_tf.core.seeds import stream_seed
from pdm_tf.degradations import (
    DEGRADATIONS,
    NOISE_FORMS,
    PDM,
    Degradation,
    JPEGModuleConfig,
    KernelModuleConfig,
    NoiseModuleConfig,
    PDMConfig,
)
from pdm_tf.methods.base import NotNeeded, Role
from pdm_tf.models.features import LPIPS, VGG
from pdm_tf.models.network import Network, recomputed
from pdm_tf.run import DEGRADATION, find_bundle
from pdm_tf.train_config import TrainConfig

# Takes a line for the person who started the run.
Remark = Callable[[str], None]

RANDOM = "random"  # --features
POLICIES = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}


def predefined(
    name: str, args: Sequence[str], scale: int, policy: str = "float32"
) -> Degradation:
    """Makes an entry of DEGRADATIONS, with the parts that it is made of.

    Args:
      name: of the entry.
      args: `key=value` settings.
      scale: downsampling factor.
      policy: in which learned parts compute.

    Raises:
      UserError: a setting that it does not have, or files or parts that cannot be used.
    """
    make = DEGRADATIONS[name]

    def open_part(part: str, args: Sequence[str]) -> Degradation:
        if part in DEGRADATIONS:
            return predefined(part, args, scale, policy)
        if args:
            raise UserError(
                "`settings` of mixed are for predefined degradations; a learned one "
                f"brings its own. Received: {part}.{args[0]}."
            )
        # Where mixtures are made: in the input pipeline.
        with tf.device("/CPU:0"):
            return learned(part, DEGRADATION, "`parts` of mixed", policy=policy)[0]

    return make.make(scale, parse_args(make.config_class, args), open_part)


def learned(
    location: str, name: str, what: str, weights: str = "ema", policy: str = "float32"
) -> tuple[Degradation, Bundle]:
    """Loads the degradation of a run folder or a bundle.

    Args:
      location: the folder.
      name: of the degradation in a run folder.
      what: the flag or setting that names it.
      weights: "ema" or "raw", for a run folder.
      policy: in which it computes.

    Raises:
      UserError: there is no such folder, or another kind of network in it.
    """
    if not Path(location).exists():
        raise UserError(
            f"{what} must be a run folder, a bundle, or one of "
            f"{', '.join(DEGRADATIONS)}. Received: {location!r}, which does not exist."
            f"{nearest(location, DEGRADATIONS)}"
        )
    path = find_bundle(location, name=name, weights=weights)
    bundle = load_bundle(path, policy)
    if bundle.role != "degradation":
        raise UserError(
            f"{what} must be a bundle of the role 'degradation'. "
            f"Received: {path}, which has the role {bundle.role!r}."
        )
    # Weights are identified by their content, wherever they lie.
    bundle.network.content = (f"{bundle.name.lower()}-{bundle.sha256[:16]}",)
    return bundle.network, bundle


class RoleFlags(NamedTuple):
    """The flags of one part, besides --net, --net_arg and --init.

    Attributes:
      net: names its network.
      args: gives its settings.
      init: names its initial weights.
      more: further flags, known to its maker alone.
    """

    net: str = ""
    args: str = ""
    init: str = ""
    more: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Names of all these flags."""
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


def refuse_flags_of_absent_parts(
    config: TrainConfig, roles: Mapping[str, Role | NotNeeded]
) -> None:
    """Refuses flags of parts that are absent, since they would be ignored."""
    # The method's own reasons first: they say more about a flag that two parts share.
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


def without_flags_of(
    config: TrainConfig, roles: Mapping[str, Role | NotNeeded], given: Sequence[str]
) -> TrainConfig:
    """Takes out of a run's flags what has no meaning for a run derived from it.

    Args:
      config: of the first run.
      roles: parts of the method of the derived run.
      given: those of the parts that come from a bundle, which brings its settings.

    Returns:
      The flags, those of absent parts and the settings of given ones as if they had
      not been said.
    """
    needed = {name for name, role in roles.items() if isinstance(role, Role)}
    new = needed - set(given)
    kept = {flag for name in new for flag in ROLE_FLAGS.get(name, RoleFlags()).all}
    known = {flag for flags in ROLE_FLAGS.values() for flag in flags.all}
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    changes = {name: defaults[name] for name in known - kept}
    for flag in ("net", "net_arg", "init"):
        texts = getattr(config, flag)
        changes[flag] = tuple(x for x in texts if re.split("[.:]", x)[0] in new)
    return dataclasses.replace(config, **changes)


def _refuse(config: TrainConfig, what: str, *names: str) -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    for name in names:
        value = getattr(config, name)
        if value != defaults[name]:
            raise UserError(f"--{name} has no meaning with {what}. Received: {value}.")


class PartMaker:
    """Makes the parts of a method from their flags.

    Args:
      config: of the run.
      roles: name -> role of every part that the method is made with.
      remark: takes lines for the person who started the run.
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
        if kind in _COMPARERS:
            return self._comparer(name)
        if kind == "degradation":
            return self._degradation(name)
        return self._network(name)

    @property
    def _policy(self) -> str:
        return POLICIES[self._config.mixed_precision]

    def _by_role(self, flag: str, separator: str) -> dict[str, list[str]]:
        """Maps the name of a part to values of the generic flag, then its own."""
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
        """Returns the value of the part's own flag of that kind; "" if it has none."""
        flag = getattr(self._flags(name), what)
        return getattr(self._config, flag) if flag else ""

    def _init(self, name: str) -> str:
        return (self._inits[name] or [self._said(name, "init")])[-1]

    def _network(self, name: str) -> Network:
        """Makes a network by name, with its settings and, if given, its weights."""
        config, role, flags = self._config, self._roles[name], self._flags(name)
        chosen = self._said(name, "net") or role.default
        chosen = (self._nets[name] or [chosen])[-1]
        net_flag = f"--{flags.net}" if flags.net else "--net"
        default = lookup(of_role(role.kind), chosen, net_flag).config
        if config.preset == "paper" and hasattr(default, "paper"):
            default = default.paper()
        if chosen == role.default:
            default = dataclasses.replace(default, **role.paper)
        self._check_goes_on(name)
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
        """Returns those of its settings that flags of the run or the method decide."""
        config = self._config
        patch = config.lr_patch * (config.scale if role.sees == "hr" else 1)
        run = {"scale": config.scale, "input_size": patch}
        return {k: v for k, v in run.items() if hasattr(default, k)} | role.settings

    def _init_flag(self, name: str) -> str:
        """Returns the flag that gives a part, up to its value."""
        flag = self._flags(name).init
        return f"--{flag}=" if flag else f"--init={name}:"

    def _check_goes_on(self, name: str) -> None:
        """Refuses to go on from a part that is not given."""
        role, flag = self._roles[name], self._init_flag(name)
        if role.goes_on and not self._init(name):
            raise UserError(
                f"--method_arg={role.goes_on} goes on from a trained {name}, which "
                f"must come from {flag}<run folder or bundle>: an untrained one would "
                "be used without anybody noticing. Received nothing."
            )

    def _degradation(self, name: str) -> Degradation:
        """Makes a predefined degradation, or a network that is new or given."""
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
            args = [*config.degradation_arg, *self._args[name]]
            degradation = predefined(source, args, config.scale, self._policy)
            for line in degradation.remarks:
                self._remark(line)
            return degradation
        _refuse(config, "a degradation that is a network", "degradation_arg")
        if self._init(name) or source not in NETWORKS:
            return self._given_degradation(name, source)
        if role.frozen:
            raise UserError(
                f"--method_arg={role.frozen} trains on a frozen degradation, which "
                f"must come from {self._init_flag(name)}<run folder, bundle, or one "
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
        flag = self._init_flag(name).removesuffix("=")
        if not self._init(name):
            flag = f"--method_arg={name}"
        _refuse(config, flag, *new)
        # The one of a run is found whatever the run's method calls it.
        own = DEGRADATION if name == "pdm" else name
        network, bundle = learned(location, own, flag, policy=self._policy)
        wanted = None if role.frozen else NETWORKS[role.default].network
        if wanted is not None and not isinstance(network, wanted):
            raise UserError(
                f"{flag} must be a {wanted.__name__}, which {config.method} trains. "
                f"Received: {location}, whose degradation is a {bundle.name}."
            )
        if bundle.scale != config.scale:
            raise UserError(
                f"{flag} must be a degradation for --scale={config.scale}. "
                f"Received: {location}, whose scale is {bundle.scale}."
            )
        _check_contradictions(config, role, flag, bundle.config)
        args = self._args[name]
        if parse_args(type(bundle.config), args, bundle.config) != bundle.config:
            raise UserError(
                f"{flag} decides the settings. Received: "
                f"{', '.join(f'--net_arg={name}.{arg}' for arg in args)} and a "
                f"degradation with {bundle.config}."
            )
        if isinstance(bundle.config, PDMConfig):
            _check_mirrored_crops(config, bundle.config)
        return network

    def _comparer(self, name: str) -> Network:
        """Makes a network that compares images for a loss, and is not trained.

        By its bundle, or with random weights; nothing else would be noticed later.
        """
        config, role = self._config, self._roles[name]
        told, flags = _COMPARERS[role.kind], self._flags(name)
        flag = f"--{flags.net}" if flags.net else self._init_flag(name)
        location = self._init(name) or self._said(name, "net")
        args = [*(self._said(name, "args") or ()), *self._args[name]]
        if not location:
            raise UserError(
                f"{flag} is required for {told.loss}: a bundle of {told.needed} "
                f"(made from {told.origin} by pdm_tf.import_weights), or `{RANDOM}` "
                "for trying things out. Received nothing. "
                f"(--method_arg={told.weight}=0 does without it.)"
            )
        if location == RANDOM:
            settings = parse_args(told.network.config_class, args)
            keras.utils.set_random_seed(stream_seed(config.seed, f"random {name}")[0])
            network = settings.build(self._policy, name=name)
        else:
            if args:
                raise UserError(
                    f"--{flags.args or 'net_arg'} has no meaning with {flag} from a "
                    f"bundle. Received: {', '.join(args)}."
                )
            bundle = load_bundle(location, self._policy)
            if not isinstance(bundle.network, told.network):
                raise UserError(
                    f"{flag} must be a bundle of {told.needed}, or `{RANDOM}`. "
                    f"Received: {location}, which holds {bundle.name}."
                )
            network = bundle.network
        scale = config.scale if role.sees == "hr" else 1
        smallest = network.config.min_size
        if config.lr_patch * scale < smallest:
            times, factor = (" times --scale", f" * {scale}") if scale > 1 else ("", "")
            raise UserError(
                f"--lr_patch{times} must be at least {smallest} for {told.loss}. "
                f"Received: {config.lr_patch}{factor}."
            )
        line = f"{told.loss.removeprefix('the ')}: {network.config} of {location}"
        if location == RANDOM:
            given = f"{flag}={RANDOM}" if flags.net else f"{flag}{RANDOM}"
            line = (
                f"warning: {given}: {told.loss} compares features of a network with "
                f"RANDOM weights ({network.config}), not of ImageNet's. That is for "
                f"trying things out; results are not those of {config.method}."
            )
        self._remark(line)
        return network


class _Comparer(NamedTuple):
    """How a network that compares images for a loss is asked for.

    Attributes:
      network: its class.
      needed: its name, for people.
      origin: of its published weights.
      loss: that needs it.
      weight: the method's setting that is the weight of the loss.
    """

    network: type[Network]
    needed: str
    origin: str
    loss: str
    weight: str


_COMPARERS = {
    "features": _Comparer(
        VGG,
        "VGG19",
        "torchvision's file",
        "the perceptual loss",
        "perceptual_weight",
    ),
    "lpips": _Comparer(
        LPIPS, "LPIPS", "the published files", "the LPIPS loss", "lpips_weight"
    ),
}
_DECIDED_BY = {
    "scale": "The scale is set by --scale.",
    "input_size": "The size of HR patches is --lr_patch times --scale.",
}


def _pdm_config(config: TrainConfig, geometry: Mapping[str, Any]) -> PDMConfig:
    """Returns a new degradation model's settings; `geometry`: its grid and border."""
    paper = config.preset == "paper"
    kernel = KernelModuleConfig.paper() if paper else KernelModuleConfig()
    noise = NoiseModuleConfig.paper() if paper else NoiseModuleConfig()
    form, noise_args = _form_of(config.noise_arg)
    if form != NoiseModuleConfig.form:
        noise = NOISE_FORMS[form]()
    noise = _optional_part(config, "noise", noise, noise_args)
    jpeg = _optional_part(config, "jpeg", JPEGModuleConfig(), config.jpeg_arg)
    kernel = parse_args(
        KernelModuleConfig, config.kernel_arg, kernel.at_scale(config.scale)
    )
    return PDMConfig(
        scale=config.scale, kernel=kernel, noise=noise, jpeg=jpeg, **geometry
    )


def _form_of(args: Sequence[str]) -> tuple[str, list[str]]:
    """Splits settings of the noise into its form and the settings of that form."""
    form, rest = NoiseModuleConfig.form, []
    for arg in args:
        key, _, value = arg.partition("=")
        if key.strip() == "form":
            form = value.strip()
        else:
            rest.append(arg)
    lookup(NOISE_FORMS, form, "--noise_arg=form")
    return form, rest


def _optional_part(
    config: TrainConfig, name: str, base: Any, args: Sequence[str]
) -> Any:
    """Returns settings of a part that the flag `name` enables; None if it is off."""
    if getattr(config, name):
        return parse_args(type(base), args, base)
    if given := getattr(config, f"{name}_arg"):
        raise UserError(
            f"--{name}_arg has no meaning without --{name}. "
            f"Received: {', '.join(given)}."
        )
    return None


def _check_contradictions(
    config: TrainConfig, role: Role, flag: str, given: Any
) -> None:
    """Refuses flags that contradict the given degradation."""
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
