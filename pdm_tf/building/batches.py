"""Batches for training, photographs for validation."""

import dataclasses
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from pdm_tf.building.requests import Remark
from pdm_tf.core.progress import ProgressBar
from pdm_tf.data.pairs import ASSUMED_GRID, load_pairs
from pdm_tf.data.pipeline import (
    Batching,
    make_batches,
    make_pair_batches,
    open_pairs,
)
from pdm_tf.data.sources import check_unpaired, open_source
from pdm_tf.evaluation.validation import Validator
from pdm_tf.methods.base import Method
from pdm_tf.train_config import TrainConfig
from pdm_tf.training.replicas import Replicas

Batches = tf.data.Dataset
_LOADING = ("reading images", "img")


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


def unpaired_batches(
    config: TrainConfig, method: Method, replicas: Replicas
) -> tuple[Callable[[int], Batches], list[tuple[str, str]]]:
    """Batches of the method's streams, and what is left out."""
    folders = {"hr": config.hr_dir, "real_lr": config.lr_dir}
    labels = {"hr": "--hr_dir", "real_lr": "--lr_dir"}
    if "real_lr" in method.patches:
        check_unpaired(config.hr_dir, config.lr_dir)
    sources, cache_mb = {}, config.cache_mb
    with ProgressBar(*_LOADING, config.progress, delay=1.0, leave=False) as bar:
        for name, patch in method.patches.items():  # first come, first cached
            sources[name] = open_source(
                folders[name],
                patch=patch,
                cache_mb=cache_mb,
                label=labels[name],
                on_progress=bar.update,
            )
            cache_mb -= sources[name].memory_mb
    skipped = [item for source in sources.values() for item in source.skipped]

    def batches(start_step: int) -> Batches:
        how = _batching(config, replicas, start_step)
        return make_batches(sources, method.patches, how)

    return batches, [(str(path), reason) for path, reason in skipped]


def paired_batches(
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
