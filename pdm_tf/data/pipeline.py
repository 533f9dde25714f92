"""Named streams of patches as `tf.data`, from sources that were opened before.

A stream maps the counter 0, 1, 2, ... to groups of global sample indices, the indices
to draws and the draws to patches (`crops.py`). Patches stay uint8 until
a batch is made of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.data.crops import cutter, draw_samples, partners_of, reversal_shift
from pdm_tf.data.pairs import ASSUMED_GRID, PairSet
from pdm_tf.data.parallel import OnProgress
from pdm_tf.data.sources import ImageSource, load_entries, open_source, place_of

_PREFETCHED = 4  # batches: enough to ride over a slow image, little memory
_PREFETCHED_ON_DEVICE = 2  # one is used while the next is copied
# Patches that one call of a function cuts, at most: enough to make the call cheap, few
# enough for graphs that are made within a second.
_TOGETHER = 32


@dataclass(frozen=True)
class StreamSpec:
    """A stream to be opened.

    Attributes:
      name: key of its batches, and of its randomness: "hr", "real_lr".
      location: folder of images or TFRecord shards.
      patch: side of its patches in pixels.
      label: how errors call it; `name` if empty.
    """

    name: str
    location: str
    patch: int
    label: str = ""


def open_streams(
    specs: Sequence[StreamSpec],
    *,
    cache_mb: float,
    minimum: int = 1,
    on_progress: OnProgress | None = None,
) -> dict[str, ImageSource]:
    """Opens the sources of several streams within one memory budget, first come first.

    Raises:
      UserError: a location does not exist or holds fewer than `minimum` usable images.
    """
    sources = {}
    for spec in specs:
        sources[spec.name] = open_source(
            spec.location,
            patch=spec.patch,
            cache_mb=cache_mb,
            minimum=minimum,
            label=spec.label or spec.name,
            on_progress=on_progress,
        )
        cache_mb -= sources[spec.name].memory_mb
    return sources


def make_stream(
    source: ImageSource,
    *,
    patch: int,
    batch_size: int,
    seed: int,
    stream: str,
    start_index: int = 0,
    threads: int = 0,
    shard: tuple[int, int] = (0, 1),
    device: str = "",
) -> tf.data.Dataset:
    """Batches of random patches, without end.

    Args:
      source: where they come from.
      patch: side in pixels, at most that of the smallest image.
      batch_size: of the global batch, over all workers.
      seed: the run's seed.
      stream: name of the stream; different names draw independently.
      start_index: global index of the first sample, a whole number of batches.
      threads: threads for it; 0 lets TensorFlow choose. Changes nothing but the speed.
      shard: (k, n): worker k of n gets rows k*B/n .. (k+1)*B/n of each global batch.
      device: where batches are copied ahead of their use ("/GPU:0"); such a stream is
        iterated over eagerly and takes no further transformation. Empty: they stay in
        the host's memory, and TensorFlow copies them when they are used.

    Returns:
      Dataset of [batch_size / n, patch, patch, 3] float32 in [0, 1].

    Raises:
      ValueError: arguments that do not fit together.
    """
    if source.sizes.min() < patch:
        raise ValueError(
            f"`patch` must not exceed the smallest image, {source.sizes.min()} px. "
            f"Received: {patch}."
        )
    cut = cutter(source)

    def samples(indices: tf.Tensor) -> tf.Tensor:
        draws = draw_samples(
            indices, source.sizes, patch=patch, seed=seed, stream=stream
        )
        return cut(draws, patch)

    together = _TOGETHER if source.cached else 1
    groups = _index_groups(start_index, batch_size, shard, together)
    return _batches(groups, samples, batch_size // shard[1], threads, device)


def make_batches(
    sources: Mapping[str, ImageSource],
    patches: Mapping[str, int],
    batch_size: int,
    seed: int,
    start_step: int,
    threads: int = 0,
    shard: tuple[int, int] = (0, 1),
    device: str = "",
) -> tf.data.Dataset:
    """Batches of several streams side by side, from step `start_step` on.

    Args:
      sources: stream name -> source.
      patches: stream name -> patch side in pixels; the same names.
      batch_size, seed, threads, shard, device: as in `make_stream`.
      start_step: steps taken already; the batches are those that would follow.

    Returns:
      Dataset of {name: [batch_size / n, patch, patch, 3] float32 in [0, 1]}.

    Raises:
      ValueError: the names differ, or as in `make_stream`.
    """
    if set(sources) != set(patches) or not sources:
        raise ValueError(
            "`sources` and `patches` must have the same names. Received: "
            f"{sorted(sources)} and {sorted(patches)}."
        )
    streams = {
        name: make_stream(
            source,
            patch=patches[name],
            batch_size=batch_size,
            seed=seed,
            stream=name,
            start_index=start_step * batch_size,
            threads=threads,
            shard=shard,
        )
        for name, source in sources.items()
    }
    return _finished(tf.data.Dataset.zip(streams), threads, device)


@dataclass(frozen=True)
class PairSource:
    """Images in pairs, index by index; hr size = scale * lr size, nearly.

    Attributes:
      hr, lr: the images.
      scale: hr size / lr size.
      grid: where LR pixels lie, see `core.geometry.GRIDS`.
    """

    hr: ImageSource
    lr: ImageSource
    scale: int
    grid: str

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """(path, reason) of every image left out."""
        return (*self.hr.skipped, *self.lr.skipped)


def open_pairs(
    pair_set: PairSet,
    *,
    lr_patch: int,
    cache_mb: float,
    on_progress: OnProgress | None = None,
) -> PairSource:
    """Opens the images of pairs; a pair with an unusable image is left out.

    Raises:
      UserError: no pair is left.
    """
    sources = {}
    for side, patch in (("lr", lr_patch), ("hr", lr_patch * pair_set.scale)):
        entries = [getattr(pair, side) for pair in pair_set.pairs]
        # One HR image may be in several pairs: numbers tell them apart.
        sources[side] = load_entries(
            [
                replace(entry, name=f"{number}:{entry.name}")
                for number, entry in enumerate(entries)
            ],
            patch=patch,
            cache_mb=cache_mb,
            label=f"The {side.upper()} images of the pairs",
            location=str(Path(place_of(entries[0])).parent),
            on_progress=on_progress,
        )
        cache_mb -= sources[side].memory_mb
    places = {
        side: {name.partition(":")[0]: at for at, name in enumerate(source.names)}
        for side, source in sources.items()
    }
    both = [number for number in places["lr"] if number in places["hr"]]
    if not both:
        raise UserError(
            "Pairs must have two usable images. Received: none such, of "
            f"{len(pair_set.pairs)} pairs.\n{sources['hr'].summary()}\n"
            f"{sources['lr'].summary()}"
        )
    return PairSource(
        hr=sources["hr"].select([places["hr"][number] for number in both]),
        lr=sources["lr"].select([places["lr"][number] for number in both]),
        scale=pair_set.scale,
        grid=pair_set.grid or ASSUMED_GRID,
    )


def make_pair_stream(
    pairs: PairSource,
    *,
    lr_patch: int,
    batch_size: int,
    seed: int,
    stream: str = "pair",
    start_index: int = 0,
    threads: int = 0,
    shard: tuple[int, int] = (0, 1),
    device: str = "",
) -> tf.data.Dataset:
    """As `make_stream`, of the same place in both images of a pair.

    Returns:
      Dataset of {"hr": [b, s*lr_patch, s*lr_patch, 3], "lr": [b, lr_patch, lr_patch,
      3]} float32 in [0, 1], both under the same symmetry; whatever it is, LR pixels
      lie on the HR patch as those of whole images lie on theirs.
    """
    cut_hr, cut_lr = cutter(pairs.hr), cutter(pairs.lr)
    # Only where both images have pixels: see `data.pairs`.
    sizes = np.minimum(pairs.lr.sizes, pairs.hr.sizes // pairs.scale)

    def samples(indices: tf.Tensor) -> dict[str, tf.Tensor]:
        draws = draw_samples(
            indices,
            sizes,
            patch=lr_patch,
            seed=seed,
            stream=stream,
            one_before=reversal_shift(pairs.scale, pairs.grid) > 0,
        )
        hr_draws = partners_of(draws, pairs.scale, pairs.grid)
        return {
            "hr": cut_hr(hr_draws, lr_patch * pairs.scale),
            "lr": cut_lr(draws, lr_patch),
        }

    together = _TOGETHER if pairs.hr.cached and pairs.lr.cached else 1
    groups = _index_groups(start_index, batch_size, shard, together)
    return _batches(groups, samples, batch_size // shard[1], threads, device)


def _index_groups(
    start_index: int, batch_size: int, shard: tuple[int, int], together: int
) -> tf.data.Dataset:
    """Global sample indices of one worker, in order, in groups of [n] int64.

    n is the largest number up to `together` that divides the worker's part of a batch.
    """
    worker, workers = shard
    if workers < 1 or not 0 <= worker < workers or batch_size % workers:
        raise ValueError(
            "`shard` must be (k, n) with 0 <= k < n, and n must divide `batch_size`. "
            f"Received: shard={shard}, batch_size={batch_size}."
        )
    if start_index < 0 or start_index % batch_size:
        raise ValueError(
            "`start_index` must be a whole number of batches. Received: "
            f"start_index={start_index}, batch_size={batch_size}."
        )
    local = batch_size // workers
    first = start_index + worker * local
    size = max(n for n in range(1, min(together, local) + 1) if local % n == 0)

    def to_global(group: tf.Tensor) -> tf.Tensor:
        counters = group * size + tf.range(size, dtype=tf.int64)
        return first + counters // local * batch_size + counters % local

    return tf.data.Dataset.range(np.iinfo(np.int64).max // batch_size).map(to_global)


def _batches(
    groups: tf.data.Dataset,
    samples: Callable[[tf.Tensor], Any],
    local: int,
    threads: int,
    device: str,
) -> tf.data.Dataset:
    """Batches of `local` float32 patches out of groups of indices."""
    patches = _mapped(groups, samples, threads)
    size = groups.element_spec.shape[0]
    if size < local:
        patches = patches.batch(local // size, drop_remainder=True)
    return _finished(_mapped(patches, _to_float(local), threads), threads, device)


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
    dataset: tf.data.Dataset, function: Callable[[Any], Any], threads: int
) -> tf.data.Dataset:
    return dataset.map(
        function, num_parallel_calls=threads or tf.data.AUTOTUNE, deterministic=True
    )


def _finished(dataset: tf.data.Dataset, threads: int, device: str) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    if threads:
        options.threading.private_threadpool_size = threads
    dataset = dataset.with_options(options).prefetch(_PREFETCHED)
    if not device:
        return dataset
    return dataset.apply(
        tf.data.experimental.prefetch_to_device(device, _PREFETCHED_ON_DEVICE)
    )
