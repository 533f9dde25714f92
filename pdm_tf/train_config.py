"""The flags of `python -m pdm_tf.train`, checked once at the edge.

They have a file of their own because several modules need them: `train.py`, `build.py`,
which makes the objects of a run, and `benchmark`, which measures them. Each flag says
by `free_on_resume` whether a run may be resumed with another value: flags that only
steer reporting or speed are free, all others alter the meaning of the run. Whether a
method needs a folder, or a component knows a setting, is decided in `build.py`.
"""

import dataclasses
import itertools
import math
import os
import re
from collections.abc import Mapping
from typing import Any, Literal

from pdm_tf.cli.flag_set import flag
from pdm_tf.core.checks import check_flags, check_pairs
from pdm_tf.core.errors import UserError
from pdm_tf.core.pair_names import PairRules

_WITH_PATH = re.compile(r"([\w.]+[=:])(.*/.*)")
# Defaults of earlier versions, which runs that began with them keep.
_EARLIER_DEFAULTS: dict[str, Any] = {
    "lr_milestones": (50_000, 100_000, 150_000),
    "refine_steps": 2_000,
}
_PATHS = ("hr_dir", "lr_dir", "init_sr", "init_degradation", "features")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Settings of one run."""

    hr_dir: str = flag(
        "",
        "High-resolution photographs: a folder (PNG, JPEG, WebP, TIFF, BMP, still GIF; "
        "searched recursively), or TFRecord shards made by pdm_tf.prepare. Required.",
        section="Data",
        required=True,
    )
    lr_dir: str = flag(
        "",
        "Low-resolution photographs whose degradation is to be learned; need "
        "not show the same scenes as --hr_dir. The method `supervised` takes their "
        "partners from here, or makes them by bicubic downsampling when it is empty.",
    )
    lr_held_out: int = flag(
        0,
        "Keep one in so many photographs of --lr_dir, chosen by a hash of their names, "
        "out of training, to test on what was learned; 0: none.",
        at_least=0,
    )
    val_hr_dir: str = flag(
        "",
        "Paired photographs for validation, high resolution; empty: no validation.",
        free_on_resume=True,
    )
    val_lr_dir: str = flag(
        "", "Their low-resolution partners, matched by file name.", free_on_resume=True
    )
    hr_name: str = flag(
        "",
        "How the HR images of pairs are named, without suffix, where it is not by the "
        "usual endings: {stem}_sharp, with --lr_name={stem}_camera.",
    )
    lr_name: str = flag(
        "",
        "How their LR partners are named, without suffix; {stem} is the HR image's "
        "name, or what --hr_name leaves of it.",
    )
    val_max_images: int = flag(
        0,
        "Validate on at most this many pairs; 0 takes all.",
        free_on_resume=True,
        at_least=0,
    )
    accept_folders: bool = flag(
        False,
        "Train on folders that look swapped, lie in one another or hold the same "
        "files, and on pairs that seem to show different scenes, instead of refusing "
        "them.",
        free_on_resume=True,
    )
    cache_mb: int = flag(
        2_048,
        "Memory for decoded photographs, in MB; what does not fit is "
        "decoded again for each crop.",
        free_on_resume=True,
        at_least=0,
    )
    threads: int = flag(
        0,
        "Threads that prepare batches; 0 lets TensorFlow choose. The "
        "batches are the same for any number.",
        free_on_resume=True,
        at_least=0,
    )
    run_dir: str = flag(
        "",
        "Folder of the run: checkpoints, bundles, logs, pictures. Started "
        "again on the same folder, training continues where it stopped. Required.",
        section="Run",
        free_on_resume=True,
        required=True,
    )
    steps: int = flag(
        200_000,
        "Train until this step; may be raised later to train on.",
        free_on_resume=True,
        at_least=1,
    )
    seed: int = flag(
        0,
        "Decides all randomness of the run (initial weights, crops, latents).",
        at_least=0,
    )
    mixed_precision: Literal["float32", "bfloat16", "float16"] = flag(
        "float32",
        "Number format of the networks' inner layers; kernels, "
        "quantisation and losses stay float32. bfloat16 is about 3 times faster on "
        "CPUs with bf16 units.",
    )
    method: str = flag(
        "pdm_sr",
        "What to train: `pdm_sr` learns the degradation of --lr_dir together "
        "with the SR network; `pdm_srgan` adds a perceptual and an adversarial loss to "
        "the latter (sharper, lower PSNR; usually from a pdm_sr run: --init_sr, "
        "--init_degradation); `supervised` trains the SR network alone, on pairs that "
        "it makes of --hr_dir or finds in --lr_dir; `supervised_gan` adds to it the "
        "losses of pdm_srgan (ESRGAN, BSRGAN, Real-ESRGAN). `bulat`, `cincgan`, "
        "`dsgan_sr`, `cyclesr` and `maeda` are the methods that the paper compares "
        "with: docs/guide/rivals.md.",
        section="Method and networks",
    )
    preset: Literal["default", "paper"] = flag(
        "default",
        "`default` fixes the known weaknesses of the published code; `paper` "
        "reproduces it. Single settings override either.",
    )
    scale: int = flag(
        4,
        "How many times larger SR images are than LR images, per side: 1, 2, "
        "3, 4 or 8.",
        at_least=1,
    )
    sr_net: str = flag("edsr", "SR network by name, e.g. edsr, rrdbnet.")
    sr_arg: tuple[str, ...] = flag(
        (), "A setting of the SR network, e.g. num_blocks=16."
    )
    kernel_arg: tuple[str, ...] = flag(
        (),
        "A setting of the learned blur kernel, e.g. kernel_size=21, the default at x4 "
        "(5 LR pixels wide at any scale). All: docs/guide/degradation.md.",
    )
    noise: bool = flag(True, "Whether the learned degradation adds noise.")
    noise_arg: tuple[str, ...] = flag(
        (),
        "A setting of the learned noise, e.g. conv_size=1 for noise "
        "without correlation. All: docs/guide/degradation.md.",
    )
    jpeg: bool = flag(
        False,
        "Whether the learned degradation ends in JPEG compression, for LR "
        "photographs that are or once were JPEG files. Takes larger HR patches.",
    )
    jpeg_arg: tuple[str, ...] = flag(
        (),
        "A setting of the JPEG stage, e.g. subsampling=444, or qualities=35,40,40 to "
        "draw from qualities that are known (0: without JPEG) and learn none.",
    )
    discriminator_arg: tuple[str, ...] = flag(
        (), "A setting of the discriminator, e.g. strides=1,1,1,1,1."
    )
    hr_discriminator: str = flag(
        "patchgan",
        "The discriminator on HR patches, of methods that have one (pdm_srgan, bulat, "
        "...): patchgan, unet (Real-ESRGAN's) or vgg (ESRGAN's; sides of a multiple of "
        "32).",
    )
    hr_discriminator_arg: tuple[str, ...] = flag(
        (), "A setting of that discriminator, e.g. filters=32."
    )
    features: str = flag(
        "",
        "The network of the perceptual loss, of methods that have one: a bundle "
        "of VGG19 (pdm_tf.import_weights makes one from torchvision's file), or "
        "`random` for trying things out.",
    )
    features_arg: tuple[str, ...] = flag(
        (), "A setting of the random feature network, e.g. filters=16."
    )
    method_arg: tuple[str, ...] = flag((), "A setting of the method.")
    init_sr: str = flag("", "Start the SR network from this bundle or run folder.")
    init_degradation: str = flag(
        "",
        "Start the degradation from this bundle or run folder. With "
        "--method_arg=training=sr also a predefined one by name, e.g. awgn_blur.",
    )
    degradation_arg: tuple[str, ...] = flag(
        (),
        "A setting of the predefined degradation that makes LR images, e.g. "
        "sigma_max_px=2 (--method_arg=degradation=awgn_blur of supervised, or "
        "--init_degradation=awgn_blur).",
    )
    net: tuple[str, ...] = flag(
        (),
        "PART:NETWORK, the network of any part of the method by name; "
        "--net=sr:rrdbnet is --sr_net=rrdbnet.",
    )
    net_arg: tuple[str, ...] = flag(
        (),
        "PART.KEY=VALUE, a setting of any part; --net_arg=sr.filters=32 is "
        "--sr_arg=filters=32.",
    )
    init: tuple[str, ...] = flag(
        (),
        "PART:LOCATION, the bundle or run folder that a part starts from; "
        "--init=sr:runs/a is --init_sr=runs/a.",
    )
    estimate: Literal["auto", "on", "off"] = flag(
        "auto",
        "Measure the source first: estimate blur, noise and JPEG of the photographs in "
        "--lr_dir (minutes, into estimate/ of the run folder), refine that where there "
        "are photographs enough (refine/), and train the SR network on the better of "
        "the two. `auto`: where --method learns the degradation in its default form "
        "together with the SR network; `off`: learn it from a start that knows "
        "nothing of --lr_dir.",
        section="Measuring the source",
    )
    estimate_arg: tuple[str, ...] = flag(
        (), "A setting of the estimate, e.g. samples=20000 to train it on more."
    )
    refine_steps: int = flag(
        0,
        "Steps of refining the estimate against the photographs (50 or more), of which "
        "the better degradation is kept; 0: keep the estimate as it is.",
        at_least=0,
    )
    batch_size: int = flag(32, "Patches per step.", section="Optimisation", at_least=1)
    lr_patch: int = flag(
        32,
        "Side of an LR patch in LR pixels; an HR patch has --scale times as many.",
        at_least=1,
    )
    learning_rate: float = flag(
        2e-4, "Learning rate of Adam at the start, for all networks."
    )
    lr_milestones: tuple[float, ...] = flag(
        (0.25, 0.5, 0.75),
        "Where the learning rate is multiplied by --lr_decay: values below 1 are parts "
        "of --steps (and move when --steps is raised), whole numbers are steps.",
    )
    lr_decay: float = flag(
        0.5, "Factor of the learning rate at each milestone, in (0, 1]."
    )
    clip_norm: float = flag(
        50.0, "Largest gradient norm of each network; longer ones are scaled down."
    )
    ema_decay: float = flag(
        0.999,
        "Decay per step of the averaged weights, in [0, 1); 0 switches "
        "averaging off in effect (the average is the last weights).",
    )
    steps_per_call: int = flag(
        1,
        "Steps that one call of the compiled graph takes, where "
        "nothing is due in between; more help where a step is short (GPUs).",
        section="Speed and memory",
        free_on_resume=True,
        at_least=1,
    )
    accumulate: int = flag(
        1,
        "Compute a step's gradients in this many parts of the batch, one "
        "after the other: less memory, the same --batch_size. (Batch normalisation "
        "then sees one part at a time.)",
        at_least=1,
    )
    recompute: bool = flag(
        False,
        "Recompute the SR network's inner activations for the gradient instead of "
        "keeping them: less memory, about a third more work.",
        free_on_resume=True,
    )
    xla: Literal["auto", "on", "off"] = flag(
        "auto",
        "Compile the method's part of a step with XLA; `auto`: on one GPU. On "
        "CPUs it is slower. The same seed gives different random numbers.",
        free_on_resume=True,
    )
    log_every: int = flag(
        100,
        "Steps between lines of metrics.jsonl and TensorBoard scalars.",
        section="Reporting and saving",
        free_on_resume=True,
        at_least=1,
    )
    validate_every: int = flag(
        5_000,
        "Steps between validations, and one at the end; 0: never.",
        free_on_resume=True,
        at_least=0,
    )
    save_every: int = flag(
        1_000,
        "Steps between checkpoints (and always at the end).",
        free_on_resume=True,
        at_least=1,
    )
    preview_every: int = flag(
        1_000,
        "Steps between preview pictures; 0: never.",
        free_on_resume=True,
        at_least=0,
    )
    keep_checkpoints: int = flag(
        3,
        "How many of the newest checkpoints to keep.",
        free_on_resume=True,
        at_least=1,
    )
    report: Literal["auto", "off"] = flag(
        "auto",
        "`auto`: a finished run gets a report.html, which shows what was "
        "learned and takes seconds; `off`: none (pdm_tf.report makes it at any time).",
        free_on_resume=True,
    )
    collapse_alarm: bool = flag(
        True,
        "Check every --log_every steps whether the learned degradation has "
        "collapsed (kernels all alike, a single tap or at their window's border; noise "
        "gone, a colour cast, or replacing the image), whether a discriminator has "
        "won, and whether gradients explode; and report once what it is and what "
        "helps. Numbers: alarm/... .",
        free_on_resume=True,
    )
    on_alarm: Literal["report", "act"] = flag(
        "report",
        "`report`: an alarm does not stop the run; `act`: it is treated as divergence, "
        "see --on_divergence.",
        free_on_resume=True,
    )
    on_divergence: Literal["stop", "rollback"] = flag(
        "stop",
        "When a loss or a weight is no longer finite. `stop`: end with exit code 3; "
        "`rollback`: go back to the newest checkpoint and on with half the learning "
        "rate, at most --rollbacks times (not with several workers). The batch of that "
        "step is kept in diverged/ of the run folder either way.",
        free_on_resume=True,
    )
    rollbacks: int = flag(
        3,
        "How often --on_divergence=rollback goes back, each time with half the rate.",
        free_on_resume=True,
        at_least=1,
    )
    progress: Literal["auto", "on", "off"] = flag(
        "auto",
        "Progress bar on standard error; `auto`: when it is a terminal, "
        "otherwise a plain line every --log_every steps.",
        free_on_resume=True,
    )

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.train")
        check_pairs(self.val_hr_dir, self.val_lr_dir)
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
        self._require("lr_held_out", self.lr_held_out != 1, "must be 0, or 2 or more")
        self._require("lr_decay", 0 < self.lr_decay <= 1, "must be in (0, 1]")
        self._require("ema_decay", 0 <= self.ema_decay < 1, "must be in [0, 1)")
        self._require("seed", self.seed < 2**63, "must fit in 63 bits")
        self._check_milestones()
        PairRules.of(self)  # raises on templates that are none
        for field in dataclasses.fields(self):
            if field.name.endswith("_arg"):
                for text in getattr(self, field.name):
                    self._require(
                        field.name, "=" in text[1:], "must be written key=value"
                    )

    def _check_milestones(self) -> None:
        given = self.lr_milestones
        rising = all(a < b for a, b in itertools.pairwise(given))
        self._require(
            "lr_milestones",
            rising and all(value > 0 for value in given),
            "must be positive and rising",
        )
        parts = bool(given) and given[0] < 1
        self._require(
            "lr_milestones",
            all(value < 1 if parts else value == int(value) for value in given),
            "must be parts of the run, all below 1, or steps, all whole numbers",
        )
        if not parts:  # 900, not 900.0, in files that people read
            whole = tuple(int(value) for value in given)
            object.__setattr__(self, "lr_milestones", whole)

    @property
    def milestones(self) -> tuple[int, ...]:
        """Steps after which the learning rate falls; each once."""
        if not self.lr_milestones or self.lr_milestones[0] >= 1:
            return self.lr_milestones
        steps = {max(round(part * self.steps), 1) for part in self.lr_milestones}
        return tuple(sorted(steps))

    def _require(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise UserError(f"--{name} {rule}. Received: {getattr(self, name)!r}.")


def as_begun(config: TrainConfig, stored: Mapping[str, Any]) -> TrainConfig:
    """The request, with what a run of an earlier version began with for the default.

    Args:
      config: the request.
      stored: the settings of the run folder; empty if it is new.
    """
    kept = {}
    for name, before in _EARLIER_DEFAULTS.items():
        began = stored.get(name)
        began = tuple(began) if isinstance(began, list) else began
        if began == before and getattr(config, name) == getattr(TrainConfig, name):
            kept[name] = before
    return dataclasses.replace(config, **kept)


def changed_on_resume(old: TrainConfig, new: TrainConfig) -> dict[str, tuple]:
    """Returns name -> (old, new) of the fields that differ and alter the run's meaning.

    Two spellings of one path ("photos/hr", "./photos/hr/") are the same, and so are the
    places of a network that was moved together with the run's folder.
    """
    return {
        field.name: (getattr(old, field.name), getattr(new, field.name))
        for field in dataclasses.fields(TrainConfig)
        if not field.metadata.get("free_on_resume")
        and _meaning(old, field.name) != _meaning(new, field.name)
        and not _moved_along(old, new, field.name)
    }


def _moved_along(old: TrainConfig, new: TrainConfig, name: str) -> bool:
    """Whether a network lies where it lay, seen from the run's folder."""
    if not name.startswith("init_"):
        return False
    first, second = (
        os.path.relpath(os.path.realpath(value), os.path.realpath(config.run_dir))
        if (value := getattr(config, name))
        else ""
        for config in (old, new)
    )
    return first == second != ""


def _meaning(config: TrainConfig, name: str) -> Any:
    value = getattr(config, name)
    if name in _PATHS and value:
        return os.path.realpath(value)
    if isinstance(value, tuple):
        return tuple(_same_place(item) for item in value)
    return value


def _same_place(item: Any) -> Any:
    """A setting or part with a path, KEY=PATH or PART:PATH, in one spelling of it."""
    found = _WITH_PATH.fullmatch(item) if isinstance(item, str) else None
    if found is None or not os.path.exists(found[2]):
        return item
    return found[1] + os.path.realpath(found[2])
