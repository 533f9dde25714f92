"""All settings of a training run, checked once at the edge.

The fields have the names of the flags of `python -m pdm_tf.train`; the help texts are
in `flags_train.py`. Each field says by `_free` whether a run may be resumed with
another value: what only steers reporting or speed is free, all else alters what the run
means. Whether a method needs a folder, or a component knows a setting, is decided in
`build.py`.
"""

import dataclasses
import itertools
import math
import os
from typing import Any, Literal

from pdm_tf.core.errors import UserError


def _free(default: Any) -> Any:
    """A field that may differ when a run is resumed."""
    return dataclasses.field(default=default, metadata={"free_on_resume": True})


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Settings of one run; see `flags_train.py` for the meaning and unit of each."""

    # What is trained, on what.
    method: str = "pdm_sr"
    preset: Literal["default", "paper"] = "default"
    hr_dir: str = ""
    lr_dir: str = ""
    val_hr_dir: str = _free("")
    val_lr_dir: str = _free("")
    run_dir: str = _free("")

    # How long, on how much, from which seed.
    steps: int = _free(200_000)
    batch_size: int = 32
    lr_patch: int = 32
    scale: int = 4
    seed: int = 0

    # Components; each *_arg is a "key=value" for the component's own config.
    sr_net: str = "edsr"
    sr_arg: tuple[str, ...] = ()
    kernel_arg: tuple[str, ...] = ()
    noise: bool = True
    noise_arg: tuple[str, ...] = ()
    jpeg: bool = False
    jpeg_arg: tuple[str, ...] = ()
    discriminator_arg: tuple[str, ...] = ()
    hr_discriminator: str = "patchgan"
    hr_discriminator_arg: tuple[str, ...] = ()
    features: str = ""
    features_arg: tuple[str, ...] = ()
    method_arg: tuple[str, ...] = ()
    init_sr: str = ""
    init_degradation: str = ""

    # Optimisation.
    mixed_precision: Literal["float32", "bfloat16", "float16"] = "float32"
    learning_rate: float = 2e-4
    lr_milestones: tuple[int, ...] = (50_000, 100_000, 150_000)
    lr_decay: float = 0.5
    clip_norm: float = 50.0
    ema_decay: float = 0.999

    # Reporting and saving, in steps; 0 switches previews and validation off.
    log_every: int = _free(100)
    validate_every: int = _free(5_000)
    save_every: int = _free(1_000)
    preview_every: int = _free(1_000)
    keep_checkpoints: int = _free(3)
    val_max_images: int = _free(0)
    progress: Literal["auto", "on", "off"] = _free("auto")
    report: Literal["auto", "off"] = _free("auto")
    collapse_alarm: bool = _free(True)

    # The machine.
    cache_mb: int = _free(2_048)
    threads: int = _free(0)
    steps_per_call: int = _free(1)
    accumulate: int = 1
    recompute: bool = _free(False)
    xla: Literal["auto", "on", "off"] = _free("auto")

    def __post_init__(self) -> None:
        for name in ("hr_dir", "run_dir"):
            if not getattr(self, name):
                raise UserError(f"--{name} is required. Received nothing.")
        if bool(self.val_hr_dir) != bool(self.val_lr_dir):
            raise UserError(
                "--val_hr_dir and --val_lr_dir go together (paired photographs). "
                f"Received: {self.val_hr_dir!r}, {self.val_lr_dir!r}."
            )
        for name in (
            *("steps", "batch_size", "lr_patch", "scale"),
            *("log_every", "save_every", "keep_checkpoints"),
            *("steps_per_call", "accumulate"),
        ):
            self._require(name, getattr(self, name) >= 1, "must be at least 1")
        for name in (
            *("seed", "validate_every", "preview_every", "val_max_images"),
            *("cache_mb", "threads"),
        ):
            self._require(name, getattr(self, name) >= 0, "must not be negative")
        for name in ("learning_rate", "clip_norm"):
            value = getattr(self, name)
            self._require(
                name, value > 0 and math.isfinite(value), "must be positive and finite"
            )
        self._require(
            "batch_size",
            self.batch_size % self.accumulate == 0,
            f"must be a multiple of --accumulate, {self.accumulate}",
        )
        self._require("lr_decay", 0 < self.lr_decay <= 1, "must be in (0, 1]")
        self._require("ema_decay", 0 <= self.ema_decay < 1, "must be in [0, 1)")
        self._require("seed", self.seed < 2**63, "must fit in 63 bits")
        steps = self.lr_milestones
        rising = all(a < b for a, b in itertools.pairwise(steps))
        self._require(
            "lr_milestones",
            rising and all(step > 0 for step in steps),
            "must be positive and rising",
        )
        for name in (
            *("sr_arg", "kernel_arg", "noise_arg", "jpeg_arg"),
            *("discriminator_arg", "hr_discriminator_arg", "features_arg"),
            "method_arg",
        ):
            for text in getattr(self, name):
                self._require(name, "=" in text[1:], "must be written key=value")

    def _require(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise UserError(f"--{name} {rule}. Received: {getattr(self, name)!r}.")


def changed_on_resume(old: TrainConfig, new: TrainConfig) -> dict[str, tuple]:
    """Returns name -> (old, new) of the fields that differ and alter the run's meaning.

    Two spellings of one path ("photos/hr", "./photos/hr/") do not differ.
    """
    return {
        field.name: (getattr(old, field.name), getattr(new, field.name))
        for field in dataclasses.fields(TrainConfig)
        if not field.metadata.get("free_on_resume")
        and _meaning(old, field.name) != _meaning(new, field.name)
    }


def _meaning(config: TrainConfig, name: str) -> Any:
    value = getattr(config, name)
    is_path = name in (
        *("hr_dir", "lr_dir", "init_sr", "init_degradation", "features"),
    )
    return os.path.normpath(value) if is_path and value else value
