"""Every method at tiny sizes, and which networks each of its losses is to reach.

A new line in `METHODS` appears here by itself, and so does a smoke flag file with
settings of its own. A method whose losses are weighed by settings needs an entry in
`REACHES`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pdm_tf import build
from pdm_tf.bundles.networks import NETWORKS
from pdm_tf.cli.component import parse_args
from pdm_tf.core.seeds import stream_seed
from pdm_tf.degradations import PDM, GaussianStart
from pdm_tf.methods import METHODS
from pdm_tf.methods.base import FULL_BATCH, Method, NotNeeded, Role, StepResult
from pdm_tf.train_config import TrainConfig
from pdm_tf.training.checkpoint import collect_state
from pdm_tf.training.ema import EMA
from tests.conformance.smoke import CONFIGS, parse

BATCH = 2
# What makes any part small; of these a network takes what it has.
_SMALL = {"filters": 4, "num_blocks": 1, "strides": "2,1,1"}
_SMALL_PDM = (
    "--kernel_arg=filters=4",
    "--kernel_arg=num_blocks=1",
    "--kernel_arg=normalization=batch",
    "--noise_arg=filters=4",
    "--noise_arg=num_blocks=1",
    "--noise_arg=normalization=batch",
)
_SMALL_FEATURES = ("--features=random", "--features_arg=filters=2")
# VGG16 wants images of 16 pixels.
_SMALL_LPIPS = ("--lr_patch=16", "--init=lpips:random", "--net_arg=lpips.net=vgg")
# An estimate to start at, without which there is no loss for leaving it.
_START = GaussianStart(
    (0.5, 0.1, 0.0),
    ((0.3, 0.0, 0.0), (0.0, 0.1, 0.0), (0.0, 0.0, 0.1)),
    ((0.1, 0.0, 0.0), (0.0, 0.1, 0.0), (0.0, 0.0, 0.1)),
    10.0,
)
# With two images in it, a buffer of earlier fakes matters from the second step on.
_SMALL_METHOD = {"buffer_size": 2}

_GANSR = {
    "pixel_weight": {"sr"},
    "perceptual_weight": {"sr"},
    "gan_weight": {"sr", "hr_discriminator"},
}
_PDM_SR = {
    "adversarial_weight": {"pdm", "discriminator"},
    "noise_weight": {"pdm"},
    "centroid_weight": {"pdm"},
    "anchor_weight": {"pdm"},
}
_DEGRADE_FIRST = {
    "adversarial_weight": {"degradation"},
    "colour_weight": {"degradation"},
}
_MAEDA = {
    "adversarial_weight": {
        "translator",
        "degradation",
        "discriminator",
        "clean_discriminator",
    },
    "cycle_weight": {"translator", "degradation"},
    "identity_weight": {"translator"},
    "real_cycle_weight": {"translator", "degradation"},
    "real_identity_weight": {"degradation"},
    "geometric_weight": {"translator"},
    "hr_adversarial_weight": {"translator", "hr_discriminator"},
}
# Method -> setting that weighs a loss -> the networks that learn from this loss. The
# release's losses reached others, or none (reference list B1 and 1.11). "method-paper"
# is for a method whose losses reach other networks with --preset=paper.
REACHES: Mapping[str, Mapping[str, set[str]]] = {
    "cincgan": {
        "adversarial_weight": {"translator", "clean_discriminator"},
        "cycle_weight": {"translator", "degradation"},
        "identity_weight": {"translator"},
        "tv_weight": {"translator"},
        "hr_adversarial_weight": {"translator", "sr", "hr_discriminator"},
        "hr_cycle_weight": {"translator", "sr", "hr_degradation"},
        "hr_identity_weight": {"sr"},
        "hr_tv_weight": {"translator", "sr"},
    },
    "cyclesr": {
        "adversarial_weight": {
            "translator",
            "degradation",
            "discriminator",
            "clean_discriminator",
        },
        "cycle_weight": {"translator", "degradation"},
        "identity_weight": {"translator", "degradation"},
        "feedback_weight": {"degradation"},
    },
    "maeda": _MAEDA,
    "maeda-paper": {  # one sum for all generators
        **_MAEDA,
        "hr_adversarial_weight": {"translator", "sr", "hr_discriminator"},
    },
    "pdm_sr": _PDM_SR,
    "pdm_srgan": {**_PDM_SR, **_GANSR},
    "supervised_gan": _GANSR,
    "bulat": {**_DEGRADE_FIRST, **_GANSR},
    "dsgan_sr": {**_DEGRADE_FIRST, **_GANSR, "lpips_weight": {"degradation"}},
}


class Case(NamedTuple):
    """A method with settings.

    Attributes:
      method: its name.
      preset: as in --preset.
      method_arg: as in --method_arg.
    """

    method: str
    preset: str = "default"
    method_arg: tuple[str, ...] = ()

    def __str__(self) -> str:
        preset = [] if self.preset == "default" else [self.preset]
        return "-".join([self.method, *preset, *self.method_arg])


def cases() -> list[Case]:
    """Each method as it is, by its paper's settings, and with other phases.

    The latter are those of the smoke flag files.
    """
    found = {Case(name): None for name in METHODS}
    for name, method in METHODS.items():
        if hasattr(method.config_class, "paper"):
            found[Case(name, "paper")] = None
    for path in sorted((CONFIGS / "smoke").glob("*.flags")):
        config = parse(path)
        if any(arg.startswith("training=") for arg in config.method_arg):
            found[Case(config.method, config.preset, config.method_arg)] = None
    return list(found)


class Made(NamedTuple):
    """What a method is made of, so that it can be made again with other settings.

    Attributes:
      method: its class.
      settings: of its config class.
      parts: as in `Method.make`; methods made of them share them.
      common: as in `Method.make`.
    """

    method: type[Method]
    settings: Any
    parts: Mapping[str, Any]
    common: Mapping[str, Any]

    def make(self, **changes: Any) -> Method:
        """The method, with some settings changed."""
        settings = dataclasses.replace(self.settings, **changes)
        return self.method.make(settings, self.parts, self.common)

    @property
    def weights(self) -> dict[str, float]:
        """Its settings that weigh losses, and their values."""
        names = [field.name for field in dataclasses.fields(self.settings)]
        return {
            name: getattr(self.settings, name)
            for name in names
            if name.endswith("_weight")
        }


def made(case: Case) -> Made:
    """Makes the parts of a method, small, with nothing at its neutral start.

    All losses take part: those whose weight is 0 get a weight of 1.
    """
    method = METHODS[case.method]
    settings = _settings(case)
    roles = method.roles(settings)
    needed = {name: role for name, role in roles.items() if isinstance(role, Role)}
    config = _config(case, method, settings, needed)
    keras.utils.set_random_seed(stream_seed(config.seed, "initial weights")[0])
    maker = build.PartMaker(config, needed, lambda line: None)
    parts = {name: _started(maker.make(name), name) for name in needed}
    for number, part in enumerate(parts.values()):
        if isinstance(part, keras.Model):
            _nudge(part, number)
    common = ("scale", "lr_patch", "learning_rate", "clip_norm", "seed")
    return Made(
        method, settings, parts, {name: getattr(config, name) for name in common}
    )


def batch_of(method: Method, index: int = 0) -> dict[str, tf.Tensor]:
    """Random images in 8 bits of the sizes that it wants, a function of the index."""
    rng = np.random.default_rng(index)
    return {
        name: tf.constant(
            rng.integers(0, 256, [BATCH, side, side, 3]) / 255, tf.float32
        )
        for name, side in method.patches.items()
    }


def phases(method: Method) -> list[int]:
    """The index of a step of each phase, in their order."""
    found: dict[Any, int] = {}
    for index in (0, *(10**power for power in range(10))):
        found.setdefault(method.train_step_for(index), index)
    return list(found.values())


def result_of(method: Method, index: int) -> StepResult:
    """Scalars and gradients of the step of this index."""
    step = method.train_step_for(index)
    return step(batch_of(method, index), tf.constant(index, tf.int64), FULL_BATCH)


def state_of(method: Method) -> dict[str, list[tf.Variable]]:
    """What a step may change by itself: of networks, and the method's further state."""
    state = collect_state(method, EMA({}, 0.0))
    return {k: v for k, v in state.items() if not k.startswith("optimizers.")}


def _settings(case: Case) -> Any:
    config_class = METHODS[case.method].config_class
    base = config_class.paper() if case.preset == "paper" else config_class()
    settings = parse_args(config_class, case.method_arg, base)
    fields = {field.name for field in dataclasses.fields(config_class)}
    changes = {name: x for name, x in _SMALL_METHOD.items() if name in fields}
    weights = (name for name in fields if name.endswith("_weight"))
    changes |= {name: getattr(settings, name) or 1.0 for name in weights}
    return dataclasses.replace(settings, **changes)


def _config(
    case: Case, method: type[Method], settings: Any, roles: Mapping[str, Role]
) -> TrainConfig:
    """The flags of a run with the method's folders and small parts."""
    flags = [
        f"--{build.STREAMS[stream][0]}={build.STREAMS[stream][0]}"
        for stream, need in method.streams(settings).items()
        if not isinstance(need, NotNeeded)
    ]
    for name, role in roles.items():
        if role.kind == "features":
            flags += _SMALL_FEATURES
        elif role.default in NETWORKS and NETWORKS[role.default].network is PDM:
            flags += _SMALL_PDM
        elif role.default in NETWORKS:
            flags += _SMALL_LPIPS if role.kind == "lpips" else ()
            config = NETWORKS[role.default].config
            flags += [
                f"--net_arg={name}.{key}={value}"
                for key, value in _SMALL.items()
                if hasattr(config, key)
            ]
    return parse(
        "parts/smoke.flags",
        f"--method={case.method}",
        f"--preset={case.preset}",
        *(f"--method_arg={arg}" for arg in case.method_arg),
        f"--batch_size={BATCH}",
        *flags,
    )


def _started(part: Any, name: str) -> Any:
    """A PDM of Gaussians as an estimate would give it; all else as it is."""
    if not isinstance(part, PDM) or part.config.kernel.initial != "gaussians":
        return part
    kernel = dataclasses.replace(part.config.kernel, start=_START)
    return dataclasses.replace(part.config, kernel=kernel).build(
        part.dtype_policy.name, name=name
    )


def _nudge(network: keras.Model, seed: int) -> None:
    """Moves weights a little: behind a layer of zeros no loss has a gradient."""
    rng = np.random.default_rng(seed)
    for variable in network.trainable_variables:
        variable.assign_add(0.02 * rng.normal(size=variable.shape))
