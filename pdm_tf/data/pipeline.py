"""Batches of patches as `tf.data`, from sources that were opened before.

A stream maps the counter 0, 1, 2, ... to groups of global sample indices, the indices
to draws and the draws to patches (`crops.py`). Patches stay uint8 until
a batch is made of them. A method may have something done to each batch before a step
gets it, such as degradations that only a CPU can compute: batches are prepared side by
side, in order.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.geometry import ASSUMED_GRID, reversal_shift
from pdm_tf.data.crops import cutter, draw_samples, joint_cutter, partners_of
from pdm_tf.data.pair_check import displaced, displacement
from pdm_tf.data.pairs import PairSet
from pdm_tf.data.parallel import OnProgress, in_threads
from pdm_tf.data.sources import ImageSource, open_source, place_of, reasons
from pdm_tf.degradations.base import BatchShard

Batch = Mapping[str, tf.Tensor]
# (batch of this worker, index of the step, which rows it has) -> what the step gets.
Prepare = Callable[[Batch, tf.Tensor, BatchShard], Batch]

_PREFETCHED = 4  # batches: enough to ride over a slow image, little memory
_PREFETCHED_ON_DEVICE = 2  # one is used while the next is copied
# Patches that one call of a function cuts, at most: enough to make the call cheap, few
# enough for graphs that are made within a second.
_TOGETHER = 32


@dataclass(frozen=True)
class Batching:
    """How batches are taken from sources.

    Attributes:
      batch_size: of the global batch, over all workers.
      seed: the run's seed.
      start_step: steps taken already; the batches are those that would follow.
      threads: threads for it; 0 lets TensorFlow choose. Changes nothing but the speed.
      worker, workers: worker k of n gets rows k*B/n .. (k+1)*B/n of each global batch.
      device: where batches are copied ahead of their use ("/GPU:0"); such a dataset is
        iterated over eagerly and takes no further transformation. Empty: they stay in
        the host's memory, and TensorFlow copies them when they are used.

    Raises:
      ValueError: values that do not fit together.
    """

    batch_size: int
    seed: int
    start_step: int = 0
    threads: int = 0
    worker: int = 0
    workers: int = 1
    device: str = ""

    def __post_init__(self) -> None:
        if self.batch_size % self.workers or not 0 <= self.worker < self.workers:
            raise ValueError(
                "`worker` must be 0 <= k < n = `workers`, and n must divide "
                f"`batch_size`. Received: worker={self.worker}, "
                f"workers={self.workers}, batch_size={self.batch_size}."
            )
        if self.start_step < 0:
            raise ValueError(
                f"`start_step` must be 0 or more. Received: {self.start_step}."
            )

    @property
    def local(self) -> int:
        """Rows of a batch that this worker gets."""
        return self.batch_size // self.workers


def make_batches(
    sources: Mapping[str, ImageSource],
    patches: Mapping[str, int],
    how: Batching,
    prepare: Prepare | None = None,
) -> tf.data.Dataset:
    """Batches of random patches of several streams side by side, without end.

    Args:
      sources: stream name -> source. Streams draw independently, by their names.
      patches: stream name -> patch side in pixels, at most that of the smallest image;
        the same names.
      how: batch size, seed, start.
      prepare: what is done to each batch, a function of the batch, the index of its
        step and this worker's place; None: nothing.

    Returns:
      Dataset of {name: [batch_size / n, patch, patch, 3] float32 in [0, 1]}, or of what
      `prepare` makes of it.

    Raises:
      ValueError: the names differ, or a patch is larger than an image.
    """
    if set(sources) != set(patches) or not sources:
        raise ValueError(
            "`sources` and `patches` must have the same names. Received: "
            f"{sorted(sources)} and {sorted(patches)}."
        )
    streams = {
        name: _stream(source, patches[name], name, how)
        for name, source in sources.items()
    }
    batches = _prepared(tf.data.Dataset.zip(streams), prepare, how)
    return _finished(batches, how.threads, how.device)


def _prepared(
    batches: tf.data.Dataset, prepare: Prepare | None, how: Batching
) -> tf.data.Dataset:
    if prepare is None:
        return batches
    shard = BatchShard(how.worker, how.workers)
    steps = tf.data.Dataset.range(how.start_step, np.iinfo(np.int64).max)

    def prepared(step: tf.Tensor, batch: Batch) -> Batch:
        return prepare(batch, step, shard)

    return _mapped(tf.data.Dataset.zip((steps, batches)), prepared, how.threads)


def _stream(
    source: ImageSource, patch: int, name: str, how: Batching
) -> tf.data.Dataset:
    if source.sizes.min() < patch:
        raise ValueError(
            f"`patches` must not exceed the smallest image, {source.sizes.min()} px. "
            f"Received: {patch} for {name}."
        )
    cut = cutter(source)

    def samples(indices: tf.Tensor) -> tf.Tensor:
        draws = draw_samples(
            indices, source.sizes, patch=patch, seed=how.seed, stream=name
        )
        return cut(draws, patch)

    return _batches(samples, how, together=_TOGETHER if source.cached else 1)


@dataclass(frozen=True)
class PairSource:
    """Images in pairs, index by index; hr size = scale * lr size, nearly.

    Attributes:
      hr, lr: the images.
      scale: hr size / lr size.
      grid: where LR pixels lie, see `core.geometry.GRIDS`.
      other_scenes: (path, reason) of each LR image that shows another scene.
      displaced: a sentence where the images do not lie on the grid, or "".
    """

    hr: ImageSource
    lr: ImageSource
    scale: int
    grid: str
    other_scenes: tuple[tuple[str, str], ...] = ()
    displaced: str = ""

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """(path, reason) of every image left out."""
        return (*self.hr.skipped, *self.lr.skipped, *self.other_scenes)


def open_pairs(
    pair_set: PairSet,
    *,
    lr_patch: int,
    cache_mb: float,
    on_progress: OnProgress | None = None,
) -> PairSource:
    """Opens the images of pairs; what is not usable, or no pair, is left out.

    Raises:
      UserError: no pair is left.
    """
    sources = {}
    for side, patch in (("lr", lr_patch), ("hr", lr_patch * pair_set.scale)):
        entries = [getattr(pair, side) for pair in pair_set.pairs]
        sources[side] = open_source(
            Path(place_of(entries[0])).parent,
            # One HR image may be in several pairs: numbers keep them apart.
            entries=[
                replace(entry, name=f"{number}:{entry.name}")
                for number, entry in enumerate(entries)
            ],
            patch=patch,
            cache_mb=cache_mb,
            label=f"The {side.upper()} images of the pairs",
            on_progress=on_progress,
        )
        cache_mb -= sources[side].memory_mb
    places = {
        side: {name.partition(":")[0]: at for at, name in enumerate(source.names)}
        for side, source in sources.items()
    }
    both = [number for number in places["lr"] if number in places["hr"]]

    def look(number: str) -> tuple[str, tuple[float, float] | None]:
        pair = pair_set.pairs[int(number)]
        try:
            hr_u8, lr_u8 = (
                sources[side].image(places[side][number]) for side in ("hr", "lr")
            )
        except ImageError as error:
            return error.reason, None
        hr_u8, lr_u8 = pair.cut(hr_u8, lr_u8)
        why = pair.why_none(hr_u8, lr_u8)
        return why, None if why else displacement(hr_u8, lr_u8)

    looked = dict(zip(both, in_threads(look, both), strict=True))
    other_scenes = tuple(
        (place_of(pair_set.pairs[int(number)].lr), why)
        for number, (why, _) in looked.items()
        if why
    )
    both = [number for number in both if not looked[number][0]]
    if not both:
        raise UserError(
            "Pairs must be two usable images of one scene. Received: none such, of "
            f"{len(pair_set.pairs)} pairs.\n{sources['hr'].summary()}\n"
            f"{sources['lr'].summary()}{reasons(other_scenes)}"
        )
    return PairSource(
        hr=sources["hr"].select([places["hr"][number] for number in both]),
        lr=sources["lr"].select([places["lr"][number] for number in both]),
        scale=pair_set.scale,
        grid=pair_set.grid or ASSUMED_GRID,
        other_scenes=other_scenes,
        displaced=displaced(
            [place for _, place in looked.values()],
            pair_set.scale,
            pair_set.grid,
        ),
    )


def make_pair_batches(
    pairs: PairSource, lr_patch: int, how: Batching
) -> tf.data.Dataset:
    """Makes batches like `make_batches`, of the same place in both images of a pair.

    Returns:
      Dataset of {"hr": [b, s*lr_patch, s*lr_patch, 3], "lr": [b, lr_patch, lr_patch,
      3]} float32 in [0, 1], both under the same symmetry; under any of them, LR pixels
      lie on the HR patch as those of whole images lie on theirs.
    """
    cut = joint_cutter([pairs.hr, pairs.lr])
    # Only where both images have pixels: see `data.pairs`.
    sizes = np.minimum(pairs.lr.sizes, pairs.hr.sizes // pairs.scale)

    def samples(indices: tf.Tensor) -> dict[str, tf.Tensor]:
        draws = draw_samples(
            indices,
            sizes,
            patch=lr_patch,
            seed=how.seed,
            stream="pair",
            one_before=reversal_shift(pairs.scale, pairs.grid) > 0,
        )
        hr_draws = partners_of(draws, pairs.scale, pairs.grid)
        hr, lr = cut([hr_draws, draws], [lr_patch * pairs.scale, lr_patch])
        return {"hr": hr, "lr": lr}

    cached = pairs.hr.cached and pairs.lr.cached
    batches = _batches(samples, how, together=_TOGETHER if cached else 1)
    return _on_device(batches, how.device)


def _batches(
    samples: Callable[[tf.Tensor], Any], how: Batching, together: int
) -> tf.data.Dataset:
    """Batches of float32 patches that `samples` cuts for groups of sample indices.

    Groups are of [n] int64, in order; n is the largest number up to `together` that
    divides the worker's part of a batch.
    """
    local, first = how.local, how.start_step * how.batch_size + how.worker * how.local
    size = max(n for n in range(1, min(together, local) + 1) if local % n == 0)

    def to_global(group: tf.Tensor) -> tf.Tensor:
        counters = group * size + tf.range(size, dtype=tf.int64)
        return first + counters // local * how.batch_size + counters % local

    endless = tf.data.Dataset.range(np.iinfo(np.int64).max // how.batch_size)
    indices = endless.map(tf.autograph.experimental.do_not_convert(to_global))
    patches = _mapped(indices, samples, how.threads)
    if size < local:
        patches = patches.batch(local // size, drop_remainder=True)
    return _finished(_mapped(patches, _to_float(local), how.threads), how.threads)


def _to_float(local: int) -> Callable[[Any], Any]:
    # A captured tensor, not a literal: division by a literal is optimised into a
    # multiplication, whose last bit differs from `core.images.to_float`.
    with tf.device("CPU:0"):
        full = tf.Variable(255.0, trainable=False)

    def convert(patches_u8: Any) -> Any:
        def to_float(patch_u8: tf.Tensor) -> tf.Tensor:
            # [local, P, P, 3], or [groups, group, P, P, 3].
            patch_u8 = tf.reshape(patch_u8, [local, *patch_u8.shape[-3:]])
            return tf.cast(patch_u8, tf.float32) / full

        return tf.nest.map_structure(to_float, patches_u8)

    return convert


def _mapped(
    dataset: tf.data.Dataset, function: Callable[..., Any], threads: int
) -> tf.data.Dataset:
    return dataset.map(
        # It has no conditions on tensors; to search for them takes a second a stream.
        tf.autograph.experimental.do_not_convert(function),
        num_parallel_calls=threads or tf.data.AUTOTUNE,
        deterministic=True,
    )


def _finished(
    dataset: tf.data.Dataset, threads: int, device: str = ""
) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    if threads:
        options.threading.private_threadpool_size = threads
    return _on_device(dataset.with_options(options).prefetch(_PREFETCHED), device)


def _on_device(dataset: tf.data.Dataset, device: str) -> tf.data.Dataset:
    if not device:
        return dataset
    return dataset.apply(
        tf.data.experimental.prefetch_to_device(device, _PREFETCHED_ON_DEVICE)
    )
