"""The composition root: names and settings become objects, here and nowhere else.

Every fault of a request (a setting that no component has, a missing folder, two
networks that do not fit) is found here, before the first step.

A method says which parts it is made with (`Method.roles`) and which streams it reads,
so nothing here knows a method. The parts are made in `build_parts.py`.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.build_parts import (
    PartMaker,
    Remark,
    learned,
    predefined,
    refuse_flags_of_absent_parts,
)
from pdm_tf.bundles.bundle import save_bundle
from pdm_tf.cli.component import parse_args, to_json_dict
from pdm_tf.core.checks import lookup
from pdm_tf.core.errors import UserError
from pdm_tf.core.folder_places import check_places
from pdm_tf.core.geometry import ASSUMED_GRID
from pdm_tf.core.pair_names import PairRules
from pdm_tf.core.progress import ProgressBar
from pdm_tf.core.seeds import stream_seed
from pdm_tf.data.hold_out import held_out
from pdm_tf.data.pairs import load_pairs
from pdm_tf.data.pipeline import (
    Batching,
    make_batches,
    make_pair_batches,
    open_pairs,
)
from pdm_tf.data.sources import list_entries, open_source
from pdm_tf.degradations import DEGRADATIONS, Degradation
from pdm_tf.evaluation.photograph_preview import PhotographPreview
from pdm_tf.evaluation.validation import Validator
from pdm_tf.methods import METHODS
from pdm_tf.methods.base import Method, NotNeeded, Role
from pdm_tf.models.network import Network
from pdm_tf.run import DEGRADATION
from pdm_tf.train_config import TrainConfig
from pdm_tf.training.replicas import ONE_DEVICE, Replicas
from pdm_tf.training.step_function import StepFunction, StepSettings

Batches = tf.data.Dataset

# stream -> the flag of its folder, and what that folder is.
STREAMS = {
    "hr": ("hr_dir", "the folder of HR photographs"),
    "real_lr": ("lr_dir", "the folder of real LR photographs"),
    "source_hr": ("lr_dir", "the folder of real LR photographs, as HR images"),
    "lr": ("lr_dir", "the folder of the LR partners of --hr_dir"),
}
_STREAM_WORDS = {
    "hr": "HR",
    "real_lr": "LR",
    "source_hr": "LR that serve as HR",
}
_LOADING = ("reading images", "img")


@dataclasses.dataclass(frozen=True)
class TrainingSetup:
    """Everything a training run needs besides the loop.

    Attributes:
      method: networks, optimisers and the step.
      make_batches: index of the first step -> batches from there on.
      validate: network -> scores, or None without validation folders.
      skipped: (path, reason) of images that cannot be used.
      show_photographs: SR network, step -> a picture of real photographs; None where
        there are none.
      remarks: lines for the person who started the run.
      grid: where LR pixels lie for the SR network, see `core.geometry`; None: unknown.
    """

    method: Method
    make_batches: Callable[[int], Batches]
    validate: Callable[[keras.Model], Mapping[str, float]] | None
    skipped: Sequence[tuple[str, str]]
    show_photographs: Callable[[keras.Model, int], np.ndarray | None] | None = None
    remarks: Sequence[str] = ()
    grid: str | None = None


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
        batches, skipped, grid = _paired_batches(
            config, replicas, method.grid, remarks.append
        )
    else:
        batches, skipped = _unpaired_batches(config, method, replicas, remarks.append)
        grid = None if method.grid == "auto" else method.grid
    remarks.append(_what_is_learned(method))
    place = config.lr_dir or config.val_lr_dir
    show = None
    if place and replicas.is_chief:
        show = PhotographPreview(place, config.scale, grid or ASSUMED_GRID)
    return TrainingSetup(method, batches, validate, skipped, show, remarks, grid)


def _what_is_learned(method: Method) -> str:
    """Says which parts are trained, and which are used as they are."""
    learned = [name for name in method.networks if name in method.optimizers]
    kept = [name for name in method.networks if name not in method.optimizers]
    line = f"learned: {', '.join(learned)}"
    return f"{line}; used as it is: {', '.join(kept)}" if kept else line


def build_method(config: TrainConfig, remark: Remark = lambda line: None) -> Method:
    """Makes the method with its networks; reads no images.

    Args:
      config: of the run.
      remark: takes lines for the person who started the run.

    Raises:
      UserError: a name or setting is unknown, or given networks do not fit.
    """
    method, settings = method_of(config)
    # Initial weights are a function of the seed like everything else.
    keras.utils.set_random_seed(stream_seed(config.seed, "initial weights")[0])
    _check_streams(config, method.streams(settings))
    roles = method.roles(settings)
    refuse_flags_of_absent_parts(config, roles)
    needed = {name: role for name, role in roles.items() if isinstance(role, Role)}
    maker = PartMaker(config, needed, remark)
    parts = {name: maker.make(name) for name in needed}
    common = ("scale", "lr_patch", "learning_rate", "clip_norm", "seed")
    return method.make(
        settings, parts, {name: getattr(config, name) for name in common}
    )


def method_of(config: TrainConfig) -> tuple[type[Method], Any]:
    """Looks up the method, and makes its settings.

    Raises:
      UserError: the method, or a setting of it, is unknown.
    """
    method = lookup(METHODS, config.method, "--method")
    base = method.config_class()
    if config.preset == "paper" and hasattr(base, "paper"):
        base = base.paper()
    return method, parse_args(method.config_class, config.method_arg, base)


def folders_read(config: TrainConfig) -> set[str]:
    """Returns which of the flags of folders the method reads.

    Raises:
      UserError: the method, or a setting of it, is unknown.
    """
    method, settings = method_of(config)
    return {
        STREAMS[stream][0]
        for stream, need in method.streams(settings).items()
        if not isinstance(need, NotNeeded)
    }


def are_unpaired(config: TrainConfig) -> bool:
    """Whether the method compares HR photographs with LR ones of other scenes."""
    method, settings = method_of(config)
    read = method.streams(settings)
    return not any(
        isinstance(read.get(stream, NotNeeded("")), NotNeeded)
        for stream in ("hr", "real_lr")
    )


def _check_streams(config: TrainConfig, streams: Mapping[str, str | NotNeeded]) -> None:
    """Checks the given folders against the streams that are read."""
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


def build_validation(
    config: TrainConfig,
) -> Callable[[keras.Model], Mapping[str, float]] | None:
    """Scores an SR network on the pairs of --val_hr_dir; None without them."""
    if not config.val_hr_dir or not config.validate_every:
        return None
    pair_set = load_pairs(
        config.val_hr_dir,
        config.val_lr_dir,
        config.scale,
        config.val_max_images,
        PairRules.of(config),
    )
    for path, reason in pair_set.problems:
        print(f"validation leaves out {path}: {reason}")
    return Validator(pair_set.pairs, scale=config.scale, grid=pair_set.grid)


def _unpaired_batches(
    config: TrainConfig, method: Method, replicas: Replicas, remark: Remark
) -> tuple[Callable[[int], Batches], list[tuple[str, str]]]:
    """Opens batches of the method's streams; also lists the images left out."""
    if {"hr", "real_lr"} <= set(method.patches) and not config.accept_folders:
        check_places(config.hr_dir, config.lr_dir)
    sources, cache_mb = {}, config.cache_mb
    with ProgressBar(*_LOADING, config.progress, delay=1.0, leave=False) as bar:
        for name, patch in method.patches.items():  # first come, first cached
            flag, _ = STREAMS[name]
            entries = None
            if name == "real_lr" and config.lr_held_out:
                entries = list_entries(config.lr_dir)
                kept_out = held_out([x.name for x in entries], config.lr_held_out)
                entries = [x for x in entries if x.name not in kept_out]
            sources[name] = open_source(
                getattr(config, flag),
                patch=patch,
                entries=entries,
                cache_mb=cache_mb,
                label=f"--{flag}",
                on_progress=bar.update,
            )
            cache_mb -= sources[name].memory_mb
    skipped = [item for source in sources.values() for item in source.skipped]
    counts = [f"{len(sources[name].names)} {_STREAM_WORDS[name]}" for name in sources]
    remark(f"photographs: {', '.join(counts)}")

    def batches(start_step: int) -> Batches:
        how = _batching(config, replicas, start_step)
        return make_batches(sources, method.patches, how, method.prepare_batch)

    return batches, [(str(path), reason) for path, reason in skipped]


def _paired_batches(
    config: TrainConfig, replicas: Replicas, grid: str | None, remark: Remark
) -> tuple[Callable[[int], Batches], list[tuple[str, str]], str | None]:
    """Batches of pairs, what is left out, and where LR pixels lie if that is known.

    Args:
      config: of the run.
      replicas: the devices that train.
      grid: where LR pixels lie; "auto" takes the grid recorded with the pairs.
      remark: called with a line on the assumption if nothing is recorded.
    """
    pair_set = load_pairs(
        config.hr_dir, config.lr_dir, config.scale, rules=PairRules.of(config)
    )
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
    if pairs.displaced:
        remark(f"warning: {pairs.displaced}")
    skipped = [*pair_set.problems, *pairs.skipped]
    remark(f"photographs: {len(pairs.hr.names)} pairs of HR and LR")

    def batches(start_step: int) -> Batches:
        how = _batching(config, replicas, start_step)
        return make_pair_batches(pairs, config.lr_patch, how)

    left_out = [(str(path), reason) for path, reason in skipped]
    return batches, left_out, pair_set.grid


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
    } | {"lr_milestones": config.milestones}
    return StepFunction(method, StepSettings(**settings), replicas)


def bundle_saver(
    config: TrainConfig, folder: Path, grid: str | None = None
) -> Callable[[Mapping[str, Network], int], None]:
    """Returns save(networks, step), which writes `folder`/<name>/ for each.

    `grid` is where LR pixels lie for the SR networks, see `core.geometry`.
    """

    def save(networks: Mapping[str, Network], step: int) -> None:
        for name, network in networks.items():
            save_bundle(
                network,
                folder / name,
                step=step,
                grid=grid,
                notes={
                    "method": config.method,
                    "seed": config.seed,
                    # Marks networks trained with random features.
                    **({"features": config.features} if config.features else {}),
                },
            )

    return save


def build_degradation(
    name: str, *, args: Sequence[str] = (), scale: int = 0, weights: str = "ema"
) -> tuple[Degradation, dict[str, Any]]:
    """Makes a degradation, and describes in JSON everything that decides its result.

    Args:
      name: an entry of DEGRADATIONS, else a run folder or a bundle.
      args: `key=value` settings of a predefined one.
      scale: 0 takes that of the learned one, and 4 for a predefined one.
      weights: "ema" or "raw", for a run folder.

    Raises:
      UserError: no such degradation, or settings that it does not have.
    """
    if name in DEGRADATIONS:
        facts = {"degradation": name, "scale": scale or 4}
        degradation = predefined(name, args, facts["scale"])
        settings = parse_args(degradation.config_class, args)
        values = to_json_dict(settings)
        facts["degradation_arg"] = ",".join(f"{k}={v}" for k, v in values.items())
        # Where it is a setting it is on record, and bicubic's is what is assumed.
        if degradation.grid not in (None, values.get("grid", ASSUMED_GRID)):
            facts["grid"] = degradation.grid
        if degradation.content:
            facts["content"] = list(degradation.content)
        return degradation, facts
    if args and Path(name).exists():
        raise UserError(
            "--degradation_arg is for predefined degradations; a learned one brings "
            f"its settings. Received: {', '.join(args)}."
        )
    degradation, _ = learned(name, DEGRADATION, "--degradation", weights)
    if scale not in (0, degradation.scale):
        raise UserError(
            f"--scale must be that of the degradation, {degradation.scale}, or be left "
            f"out. Received: {scale}."
        )
    facts = {"degradation": degradation.content[0], "scale": degradation.scale}
    # A reader of the kernels also needs the grid.
    if degradation.grid:
        facts["grid"] = degradation.grid
    return degradation, facts
