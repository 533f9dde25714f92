"""The runs that follow from one request: refinement, then the SR network.

Each is an ordinary run that its own flags describe, so that it can be repeated, resumed
and reported on without this package.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pdm_tf.build import method_of
from pdm_tf.build_parts import without_flags_of
from pdm_tf.cli.component import parse_args
from pdm_tf.core.source_estimate import SourceEstimate
from pdm_tf.degradations import KernelModuleConfig, PDMConfig
from pdm_tf.degradations.from_estimate import pdm_config_of
from pdm_tf.methods.pdm_sr import PDMSR, PDMSRConfig
from pdm_tf.train_config import TrainConfig

# One LR photograph in so many stays out of the refinement, for the decision: enough for
# a two-sample test from 50 photographs on, and few enough to miss.
HELD_OUT = 5
# The learning rate falls at these shares of the refinement's steps.
_MILESTONES = (0.6, 0.8)
# The discriminator learns to tell for so many steps before it is followed, or for this
# part of a short refinement.
_WARM_UP, _WARM_UP_PART = 300, 4


def start_config(config: TrainConfig, estimate: SourceEstimate) -> PDMConfig:
    """The degradation that starts at an estimate, in the form that a request wants.

    Args:
      config: of the run; --nonoise and settings of the parts count.
      estimate: of its --lr_dir.

    Raises:
      UserError: a setting that a part does not have, or that it refuses.
    """
    settings = method_of(config)[1]
    kernel = KernelModuleConfig().at_scale(config.scale)
    kernel = parse_args(KernelModuleConfig, config.kernel_arg, kernel)
    made = pdm_config_of(estimate, kernel)
    parts = {"noise": made.noise if config.noise else None, "jpeg": made.jpeg}
    for name, part in parts.items():
        if part is not None:
            texts = getattr(config, f"{name}_arg")
            parts[name] = parse_args(type(part), texts, part)
    return dataclasses.replace(
        made, grid=settings.grid, border=settings.border, **parts
    )


def refine_config(config: TrainConfig, start: Path, folder: Path) -> TrainConfig:
    """The run that refines the degradation in the bundle `start`, in `folder`.

    Without the photographs that are held out for the decision, and without SR network.
    """
    known = {field.name for field in dataclasses.fields(PDMSRConfig)}
    asked = {
        key: value
        for key, value in _pairs(config.method_arg).items()
        if key in known and key != "training"
    }
    steps = config.refine_steps
    warm_up = min(_WARM_UP, steps // _WARM_UP_PART)
    asked = {"warmup_steps": str(warm_up)} | asked
    derived = dataclasses.replace(
        config,
        method=PDMSR.name,
        method_arg=_texts({**asked, "training": "degradation"}),
        run_dir=str(folder),
        steps=steps,
        lr_milestones=_rising(round(steps * share) for share in _MILESTONES),
        lr_held_out=HELD_OUT,
        val_hr_dir="",
        val_lr_dir="",
        estimate="off",
        estimate_arg=(),
        report="off",
    )
    roles = PDMSR.roles(method_of(derived)[1])
    derived = without_flags_of(derived, roles, given=("pdm",))
    return dataclasses.replace(derived, init_degradation=str(start))


def sr_config(config: TrainConfig, degradation: Path) -> TrainConfig:
    """The run that trains the SR network on the frozen degradation in a bundle."""
    asked = {**_pairs(config.method_arg), "training": "sr"}
    derived = dataclasses.replace(config, method_arg=_texts(asked), estimate="off")
    method, settings = method_of(derived)
    derived = without_flags_of(derived, method.roles(settings), given=("pdm",))
    return dataclasses.replace(derived, init_degradation=str(degradation))


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    """Settings `key=value` as a mapping; the last of a key counts."""
    pairs = (text.partition("=") for text in texts)
    return {key.strip(): value for key, _, value in pairs}


def _texts(pairs: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{key}={value}" for key, value in pairs.items())


def _rising(steps: Any) -> tuple[int, ...]:
    """Positive steps, each once."""
    return tuple(sorted({step for step in steps if step > 0}))
