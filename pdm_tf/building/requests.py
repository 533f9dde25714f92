"""What all parts of a request share: number format, common settings, refusals."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from pdm_tf.core.errors import UserError
from pdm_tf.train_config import TrainConfig

# Takes a line that whoever started the run should read.
Remark = Callable[[str], None]
# Of the perceptual methods.
GAN_FLAGS = ("hr_discriminator", "hr_discriminator_arg", "features", "features_arg")
POLICIES = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}


def policy_of(config: TrainConfig) -> str:
    """The Keras policy of the networks."""
    return POLICIES[config.mixed_precision]


def common_settings(config: TrainConfig) -> dict[str, Any]:
    """What every method is told."""
    return {
        "scale": config.scale,
        "lr_patch": config.lr_patch,
        "learning_rate": config.learning_rate,
        "clip_norm": config.clip_norm,
        "seed": config.seed,
    }


def refuse(config: TrainConfig, what: str, names: Sequence[str]) -> None:
    """Settings that would be ignored are errors."""
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    for name in names:
        value = getattr(config, name)
        if value != defaults[name]:
            raise UserError(f"--{name} has no meaning with {what}. Received: {value}.")
