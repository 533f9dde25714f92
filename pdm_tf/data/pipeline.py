"""Named streams of patches as `tf.data`, from sources that were opened before.

A stream maps the counter 0, 1, 2, ... to global sample indices, each index to a draw
(`sampling.py`), each draw to a patch. From cached sources no Python runs: a slab of
whole rows is sliced out of the flat pixel buffer, then columns out of the slab. Patches
stay uint8 until a batch is made of them.

The pixel buffer is neither copied nor made part of the graph: TensorFlow uses the NumPy
memory in place, as a variable. (As a captured constant it is copied once more when
tf.data optimises the graph; measured.)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.data.entries import FileEntry
from pdm_tf.data.on_demand import patch_reader
from pdm_tf.data.pairs import PairSet
from pdm_tf.data.parallel import OnProgress
from pdm_tf.data.sampling import Draw, apply_symmetry, draw_sample
from pdm_tf.data.sources import ImageSource, load_entries, open_source

_PREFETCHED = 4  # batches: enough to ride over a slow image, little memory
_CHANNELS = 3

Cut = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, int], tf.Tensor]


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
    cut = _cutter(source)

    def sample(index: tf.Tensor) -> tf.Tensor:
        draw = draw_sample(index, source.sizes, patch=patch, seed=seed, stream=stream)
        return _patch(cut, draw, patch, 1)

    indices, local = _indices(start_index, batch_size, shard)
    patches = _mapped(indices, sample, threads).batch(local, drop_remainder=True)
    return _finished(_mapped(patches, _to_float(), threads), threads)


def make_batches(
    sources: Mapping[str, ImageSource],
    patches: Mapping[str, int],
    batch_size: int,
    seed: int,
    start_step: int,
    threads: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Batches of several streams side by side, from step `start_step` on.

    Args:
      sources: stream name -> source.
      patches: stream name -> patch side in pixels; the same names.
      batch_size, seed, threads, shard: as in `make_stream`.
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
    return _finished(tf.data.Dataset.zip(streams), threads)


@dataclass(frozen=True)
class PairSource:
    """Images in pairs, index by index; hr size = scale * lr size."""

    hr: ImageSource
    lr: ImageSource
    scale: int

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
        paths = [getattr(pair, f"{side}_path") for pair in pair_set.pairs]
        sources[side] = load_entries(
            [FileEntry(str(number), path) for number, path in enumerate(paths)],
            patch=patch,
            cache_mb=cache_mb,
            label=f"The {side.upper()} images of the pairs",
            location=str(paths[0].parent),
            on_progress=on_progress,
        )
        cache_mb -= sources[side].memory_mb
    places = {
        side: {name: place for place, name in enumerate(source.names)}
        for side, source in sources.items()
    }
    both = [name for name in sources["lr"].names if name in places["hr"]]
    if not both:
        raise UserError(
            "Pairs must have two usable images. Received: none such, of "
            f"{len(pair_set.pairs)} pairs.\n{sources['hr'].summary()}\n"
            f"{sources['lr'].summary()}"
        )
    return PairSource(
        hr=sources["hr"].select([places["hr"][name] for name in both]),
        lr=sources["lr"].select([places["lr"][name] for name in both]),
        scale=pair_set.scale,
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
) -> tf.data.Dataset:
    """As `make_stream`, of the same place in both images of a pair.

    Returns:
      Dataset of {"hr": [b, s*lr_patch, s*lr_patch, 3], "lr": [b, lr_patch, lr_patch,
      3]} float32 in [0, 1], both under the same symmetry.
    """
    cut_hr, cut_lr = _cutter(pairs.hr), _cutter(pairs.lr)

    def sample(index: tf.Tensor) -> dict[str, tf.Tensor]:
        draw = draw_sample(
            index, pairs.lr.sizes, patch=lr_patch, seed=seed, stream=stream
        )
        return {
            "hr": _patch(cut_hr, draw, lr_patch, pairs.scale),
            "lr": _patch(cut_lr, draw, lr_patch, 1),
        }

    indices, local = _indices(start_index, batch_size, shard)
    patches = _mapped(indices, sample, threads).batch(local, drop_remainder=True)
    return _finished(_mapped(patches, _to_float(), threads), threads)


def _patch(cut: Cut, draw: Draw, patch: int, scale: int) -> tf.Tensor:
    side = patch * scale
    image = cut(draw.image, draw.top * scale, draw.left * scale, side)
    image = apply_symmetry(image, draw.symmetry)
    return tf.ensure_shape(image, [side, side, _CHANNELS])


def _cutter(source: ImageSource) -> Cut:
    """Returns cut(image, top, left, side) -> [side, side, 3] uint8."""
    return _memory_cutter(source) if source.cached else _disk_cutter(source)


def _memory_cutter(source: ImageSource) -> Cut:
    with tf.device("CPU:0"):
        pixels = tf.experimental.dlpack.from_dlpack(source.pixels.__dlpack__())
        buffer = tf.Variable(pixels, trainable=False, name="pixels")
    offsets, widths = source.offsets, np.ascontiguousarray(source.sizes[:, 1])

    def cut(image: tf.Tensor, top: tf.Tensor, left: tf.Tensor, side: int) -> tf.Tensor:
        row = tf.gather(tf.constant(widths), image) * _CHANNELS
        start = tf.gather(tf.constant(offsets), image) + top * row
        slab = tf.slice(buffer.value(), [start], [side * row])
        slab = tf.reshape(slab, tf.stack([side, row]))
        columns = tf.slice(
            slab, tf.stack([0, left * _CHANNELS]), [side, side * _CHANNELS]
        )
        return tf.reshape(columns, [side, side, _CHANNELS])

    return cut


def _disk_cutter(source: ImageSource) -> Cut:
    read = patch_reader(source.image)

    def cut(image: tf.Tensor, top: tf.Tensor, left: tf.Tensor, side: int) -> tf.Tensor:
        arguments = [image, top, left, tf.constant(side, tf.int64)]
        patch = tf.numpy_function(read, arguments, tf.uint8, stateful=False)
        return tf.ensure_shape(patch, [side, side, _CHANNELS])

    return cut


def _indices(
    start_index: int, batch_size: int, shard: tuple[int, int]
) -> tuple[tf.data.Dataset, int]:
    """Global sample indices of one worker, in order, and its part of a batch."""
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

    def to_global(counter: tf.Tensor) -> tf.Tensor:
        return first + counter // local * batch_size + counter % local

    counters = tf.data.Dataset.range(np.iinfo(np.int64).max)
    return (counters if workers == 1 and not first else counters.map(to_global)), local


def _to_float() -> Callable[[Any], Any]:
    # A captured tensor, not a literal: division by a literal is optimised into a
    # multiplication, whose last bit differs from `core.images.to_float`.
    with tf.device("CPU:0"):
        full = tf.Variable(255.0, trainable=False)

    def convert(patches_u8: Any) -> Any:
        return tf.nest.map_structure(
            lambda patch_u8: tf.cast(patch_u8, tf.float32) / full, patches_u8
        )

    return convert


def _mapped(
    dataset: tf.data.Dataset, function: Callable[[Any], Any], threads: int
) -> tf.data.Dataset:
    return dataset.map(
        function, num_parallel_calls=threads or tf.data.AUTOTUNE, deterministic=True
    )


def _finished(dataset: tf.data.Dataset, threads: int) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    if threads:
        options.threading.private_threadpool_size = threads
    return dataset.with_options(options).prefetch(_PREFETCHED)
