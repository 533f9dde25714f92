"""Pairs of LR and HR patches, made of HR crops by a degradation that is not trained.

Every method that learns from such pairs makes them here, so that they are the same in
each: crops of a JPEG begin anywhere on its grid of blocks, what the SR network is to
reach may differ from the photograph, and the random numbers are those of the step.

A pair is a function of the seed, the step and the row of the global batch. So it does
not matter who makes it: the step itself, on its device, or the input pipeline, on the
host's processors and ahead of the step. The latter is for degradations that only a CPU
can compute (`Degradation.on_host`).
"""

from typing import NamedTuple

import tensorflow as tf

from pdm_tf.degradations import Degradation, Degraded
from pdm_tf.methods.base import Batch, BatchShard, PrepareBatch
from pdm_tf.methods.steps import crop_margin, step_seed
from pdm_tf.ops.quantise import quantise_8bit


class Pair(NamedTuple):
    """A batch of pairs, all constants to whoever learns from them.

    Attributes:
      lr: [B, h, w, 3] float32 in [0, 1].
      hr: [B, h * s, w * s, 3] float32 in [0, 1], the photograph.
      target: what the SR network should make of `lr`, like `hr`, where it is not `hr`
        itself but e.g. a sharpened one; else None.
    """

    lr: tf.Tensor
    hr: tf.Tensor
    target: tf.Tensor | None = None

    @property
    def wanted(self) -> tf.Tensor:
        """What the SR network should make of `lr`: the target if there is one."""
        return self.hr if self.target is None else self.target

    @classmethod
    def of(cls, batch: Batch) -> "Pair":
        """Takes the pairs of a batch that has them: "lr", "hr" and perhaps "target"."""
        return cls(batch["lr"], batch["hr"], batch.get("target"))


class PairMaker:
    """Makes pairs of HR crops.

    Args:
      degradation: makes the LR images.
      lr_patch: side of the LR patches.
      seed: the run's seed.
      stream: name of the stream of random numbers.
      quantise: whether LR images are rounded to 8 bits, like files are.

    Attributes:
      degradation: makes the LR images.
      hr_side: side of the HR crops that it needs.
    """

    def __init__(
        self,
        degradation: Degradation,
        *,
        lr_patch: int,
        seed: int,
        stream: str = "degradation",
        quantise: bool = True,
    ) -> None:
        self.degradation, self._lr_patch = degradation, lr_patch
        self._seed, self._stream, self._quantise = seed, stream, quantise
        self.hr_side = degradation.hr_side(lr_patch + degradation.grid_period)

    @property
    def ahead(self) -> PrepareBatch | None:
        """What the input pipeline is to do, see `Method.prepare_batch`.

        None if the step makes the pairs, where its network is.
        """
        return self.prepare if self.degradation.on_host else None

    def prepare(self, batch: Batch, step: tf.Tensor, shard: BatchShard) -> Batch:
        """Replaces "hr" crops by pairs: "lr", "hr" and perhaps "target"."""
        pair = self.pair(batch, step, shard)
        made = {name: x for name, x in pair._asdict().items() if x is not None}
        return {**batch, **made}

    def pair(self, batch: Batch, step: tf.Tensor, shard: BatchShard) -> Pair:
        """Returns a batch's pairs, which it may have already.

        Args:
          batch: "hr" [B, hr_side, hr_side, 3], or what `prepare` has made of it.
          step: int64 scalar, index of the step.
          shard: which rows of the global batch these are.
        """
        if "lr" in batch:
            return Pair.of(batch)
        degraded, hr = self.degrade(batch["hr"], step, shard)
        lr = quantise_8bit(degraded.lr) if self._quantise else degraded.lr
        return Pair(lr, hr, degraded.target)

    def degrade(
        self,
        hr: tf.Tensor,
        step: tf.Tensor,
        shard: BatchShard,
        training: bool = False,
    ) -> tuple[Degraded, tf.Tensor]:
        """Makes LR images, not quantised; also returns the part of `hr` they show.

        A patch of a real JPEG begins anywhere on the grid of blocks and has whole
        blocks around it. A common starting place would give fakes away, and so would
        blocks completed by repeated or mirrored pixels. So images are made larger, from
        real surroundings, compressed, and cut afterwards.

        Args:
          hr: [B, hr_side, hr_side, 3] float32 in [0, 1].
          step: int64 scalar, index of the step.
          shard: which rows of the global batch these are.
          training: see `Degradation.apply`; not for a network that is frozen, whose
            moving statistics must not move either.
        """
        degradation, side = self.degradation, self._lr_patch
        scale, period = degradation.scale, degradation.grid_period
        seed = step_seed(self._seed, self._stream, step)
        degraded = degradation.synthesise(hr, seed, shard, training)
        batch = hr.shape[0] * shard.count
        hr = crop_margin(hr, degradation.crop_margin)
        if not period:
            return degraded, hr
        seed = step_seed(self._seed, "jpeg phase", step)
        corners = shard.of(
            tf.random.stateless_uniform([batch, 2], seed, 0, period, tf.int32)
        )
        target = degraded.target
        if target is not None:
            target = crop_at_corners(target, corners * scale, side * scale)
        lr = crop_at_corners(degraded.lr, corners, side)
        hr = crop_at_corners(hr, corners * scale, side * scale)
        return degraded._replace(lr=lr, target=target), hr


def crop_at_corners(images: tf.Tensor, corners: tf.Tensor, side: int) -> tf.Tensor:
    """Cuts a square patch out of each image, at a corner of its own.

    Args:
      images: [B, h, w, C].
      corners: [B, 2] int32, rows and columns before the patch.
      side: of the patch in pixels; corners + side stay inside.

    Returns:
      [B, side, side, C].
    """
    steps = tf.range(side)
    rows = tf.gather(images, corners[:, :1] + steps, axis=1, batch_dims=1)
    return tf.gather(rows, corners[:, 1:] + steps, axis=2, batch_dims=1)


def pair_columns(
    pair: Pair, sr: tf.Tensor | None, lr_name: str = "lr"
) -> dict[str, tf.Tensor]:
    """Names what a preview shows of pairs: lr, sr and the target if any, hr."""
    columns = {lr_name: pair.lr, "sr": sr, "target": pair.target, "hr": pair.hr}
    return {name: images for name, images in columns.items() if images is not None}
