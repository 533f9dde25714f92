"""The contract of degradations: HR images in, `Degraded` out.

Networks and formulas alike keep it, and are trained with, applied to photographs,
measured and exported through it. There are two ways to use one. In training,
`synthesise(hr, seed)` takes a batch of crops. For photographs it comes in two halves,
so that the caller may cut in between: `draw` makes everything random for whole LR
images, and `apply` is a function without randomness, which may be given one window of
the HR image with the same window of the latents (`whole_image.py`).
"""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import tensorflow as tf

Latents = tuple[tf.Tensor | None, ...]
# Makes the degradation of a name (of the table, a run folder or a bundle), given its
# `key=value` settings.
OpenPart = Callable[[str, Sequence[str]], "Degradation"]

_SECOND_DRAW = (1_000_003, 0)  # added to a seed: far from those that count up


class Degraded(NamedTuple):
    """The result of degrading HR images.

    Attributes:
      lr: [B, h, w, 3] float32, not quantised, may leave [0, 1] by the noise; with JPEG
        multiples of 1/255 in [0, 1].
      clean_lr: [B, h, w, 3] before the noise; `lr` itself where noise comes in between.
      kernel: [B, 1, 1, K*K] or [B, h, w, K*K]; None if there is no single blur.
      noise: [B, h, w, 1 or 3], or None without noise.
      quality: [B] JPEG quality, 0 for an image stored without; None without JPEG.
      target: [B, H, W, 3] what an SR network should make of `lr`, without the margin,
        where it is not the HR image itself, but e.g. a sharpened one: a function of the
        HR image, without randomness; else None.
    """

    lr: tf.Tensor
    clean_lr: tf.Tensor
    kernel: tf.Tensor | None = None
    noise: tf.Tensor | None = None
    quality: tf.Tensor | None = None
    target: tf.Tensor | None = None


class KernelFacts(NamedTuple):
    """What is known of a degradation's kernels before any is drawn.

    Attributes:
      size: side of their window, HR pixels, odd.
      centre_px: where the mass of a centred kernel lies, HR pixels off the middle tap
        in both directions.
      single: whether there is one for all images, by the settings.
    """

    size: int
    centre_px: float = 0.0
    single: bool = False


NO_KERNEL = (
    "this network maps HR photographs to LR images directly; it has no kernel that "
    "could be shown or compared"
)
NO_NOISE = (
    "it draws nothing: of one HR photograph it always makes the same LR image, so no "
    "noise can be told from the rest"
)


class BatchShard(NamedTuple):
    """A shard of a global batch: part `index` of `count`.

    Randomness of a training step is drawn for the whole batch and cut, so that the
    parts together equal the computation on one device.

    Attributes:
      index: from 0, a number or a scalar tensor.
      count: parts of equal size.
    """

    index: int | tf.Tensor = 0
    count: int = 1

    def of(self, whole: tf.Tensor) -> tf.Tensor:
        """Takes the rows of this shard from a tensor [B, ...] for the global batch."""
        if self.count == 1:
            return whole
        rows = whole.shape[0] // self.count
        part = tf.reshape(whole, [self.count, rows, *whole.shape[1:]])
        return part[self.index]


FULL_BATCH = BatchShard()


@dataclasses.dataclass(frozen=True)
class NoSettings:
    """The empty settings of a degradation without any."""


class Degradation(ABC):
    """hr [B, H + 2 * margin, W + 2 * margin, 3] -> Degraded of H / scale x W / scale.

    Attributes:
      config_class: frozen dataclass of the settings. Predefined degradations are made
        by `make(scale, config)`, networks by their config's `build()`.
      scale: downsampling factor.
      margin: HR pixels of context that `apply` takes off each side.
      crop_margin: HR pixels of context that training crops have on each side: the
        margin, or 0 where `synthesise` mirrors crops at their own edges instead.
      context: LR pixels around a window beyond which nothing changes its result
        (besides the margin); None if the whole image may.
      mb_per_megapixel: memory that a whole photograph takes if `context` is None.
      grid_period: LR pixels after which JPEG's grid of blocks repeats; 0 without JPEG.
        A crop of a JPEG file begins anywhere on the grid, while a degradation begins it
        at the first pixel. To make crops like those, make as many pixels more in both
        directions and cut at random: see `methods.pairs.PairMaker`.
      grid: where LR pixels lie in the HR image, of `core.geometry.GRIDS`; None: neither
        place, or it is unknown.
      has_target: whether it returns a `target`.
      on_host: whether it takes operations that only a CPU has and no compiler fuses,
        such as libjpeg or images of random sizes. Training then makes its pairs in the
        input pipeline, beside the steps.
      edge: how a photograph is continued beyond its edges: "reflect" (without
        repeating the edge pixel) or "symmetric" (with it).
      content: one text for each file that it was made from, which changes with the
        file's content; with the settings they decide what it does.
      remarks: lines for whoever asked for it, e.g. on kernels that were normalised.
      kernel_facts: of the kernels that `sample_kernels` draws; None: it draws none.
        Whoever shows or compares kernels asks here, not for a class.
    """

    config_class: ClassVar[type] = NoSettings
    scale: int
    margin: int
    context: int | None = 0
    mb_per_megapixel: int = 200
    grid_period: int = 0
    grid: str | None = None
    has_target: bool = False
    on_host: bool = False
    edge: Literal["reflect", "symmetric"] = "reflect"
    content: Sequence[str] = ()
    remarks: Sequence[str] = ()
    kernel_facts: KernelFacts | None = None

    @classmethod
    def make(cls, scale: int, config: Any, open_part: "OpenPart") -> "Degradation":
        """Makes a predefined degradation.

        Args:
          scale: downsampling factor.
          config: of `config_class`.
          open_part: makes another one by name, for those that are made of others.

        Raises:
          UserError: files or parts that the settings name cannot be used.
        """
        del open_part
        return cls(scale, config)

    def without_target(self) -> "Degradation":
        """Returns the same, with LR images and targets made of HR images as they are.

        For one that has a target, which overrides this.
        """
        return self

    @property
    def crop_margin(self) -> int:
        """HR pixels of context around training crops."""
        return self.margin

    @property
    def least_size(self) -> int:
        """Shortest side, in HR pixels, of a photograph that can be degraded."""
        return max(self.scale, 2 * self.margin + 1)

    @abstractmethod
    def draw(
        self, batch: int | tf.Tensor, height: int, width: int, seed: tf.Tensor
    ) -> Latents:
        """Draws everything random about `batch` LR images, as a function of the seed.

        Args:
          batch: number of images.
          height: of the LR images.
          width: of the LR images.
          seed: [2] integers.

        Returns:
          Tensors [B, ...]. Those of the shape [B, height, width, C] belong to places
          and are cut with them; all others belong to images.
        """

    @abstractmethod
    def apply(
        self, hr: tf.Tensor, *latents: tf.Tensor | None, training: bool = False
    ) -> Degraded:
        """Degrades, with what `draw` returned or a window of it.

        Args:
          hr: [B, H + 2 * margin, W + 2 * margin, 3] float in [0, 1], H and W divisible
            by `scale`. In float64 when the pixels are whole photographs': a
            degradation that other programs compute in it can then equal theirs.
          *latents: as `draw` returns them.
          training: whether the degradation is a network that is being trained.
        """

    def synthesise(
        self,
        hr: tf.Tensor,
        seed: tf.Tensor,
        shard: BatchShard = FULL_BATCH,
        training: bool = False,
    ) -> Degraded:
        """Draws for a batch of crops and degrades them.

        Args:
          hr: [B, H + 2 * crop_margin, W + 2 * crop_margin, 3] float32 in [0, 1].
          seed: [2] integers.
          shard: which rows of the global batch `hr` is.
          training: see `apply`.
        """
        batch, height, width = self.lr_shape(hr)
        latents = self.draw(batch * shard.count, height, width, seed)
        latents = [None if latent is None else shard.of(latent) for latent in latents]
        if missing := self.margin - self.crop_margin:
            pad = [missing, missing]
            hr = tf.pad(hr, [[0, 0], pad, pad, [0, 0]], mode=self.edge)
        return self.apply(hr, *latents, training=training)

    @property
    def untold(self) -> Mapping[str, str]:
        """Names of "kernels" and "noise" what nothing can be said of, and why."""
        reasons = {} if self.kernel_facts else {"kernels": NO_KERNEL}
        drawn = self.draw(1, 8, 8, tf.constant([0, 0]))
        if all(latent is None for latent in drawn):
            reasons["noise"] = NO_NOISE
        return reasons

    def sample_kernels(
        self, count: int, seed: int = 0, hr: tf.Tensor | None = None
    ) -> np.ndarray:
        """Draws kernels [count, K, K], for one with `kernel_facts`.

        Args:
          count: how many.
          seed: same seed, same kernels.
          hr: [N, H, W, 3] with the margin, for kernels that depend on the image.
        """
        raise NotImplementedError(f"{type(self).__name__}: {NO_KERNEL}")

    def observe(self, hr: tf.Tensor, seed: tf.Tensor) -> Degraded:
        """Degrades as `synthesise` does, and tells the noise where it can be told.

        A network without kernels adds no noise that could be looked at by itself. What
        two independent draws for the same HR image have in common is taken for the
        clean image then, and their difference over sqrt(2), which is as strong as
        either's own random part, for the noise. What is not drawn is no noise here,
        however much it looks like it.

        Args:
          hr: as for `synthesise`.
          seed: [2] integers.
        """
        first = self.synthesise(hr, seed)
        if self.kernel_facts or first.noise is not None or "noise" in self.untold:
            return first
        second = self.synthesise(hr, tf.cast(seed, tf.int32) + _SECOND_DRAW)
        middle = (first.lr + second.lr) / 2.0
        return first._replace(
            clean_lr=middle, noise=(first.lr - second.lr) / math.sqrt(2.0)
        )

    def lr_shape(self, hr: tf.Tensor) -> tuple[int, int, int]:
        """Returns batch, height and width of the LR images that crops give.

        Integers where the shape of `hr` is known, else scalar tensors.
        """
        known = list(hr.shape)[:3]
        batch, *sides = (
            tf.shape(hr)[axis] if size is None else size
            for axis, size in enumerate(known)
        )
        height, width = ((side - 2 * self.crop_margin) // self.scale for side in sides)
        return batch, height, width

    def hr_side(self, lr_side: int) -> int:
        """Side of the crops that `synthesise` turns into LR images of this side."""
        return lr_side * self.scale + 2 * self.crop_margin


class SharpeningDegradation(Degradation):
    """A predefined one whose setting `sharpen` makes sharpened HR images the target."""

    config: Any

    @property
    def has_target(self) -> bool:
        """Whether HR images are sharpened first."""
        return self.config.sharpen

    def without_target(self) -> "SharpeningDegradation":
        """Returns the same with `sharpen=False`."""
        plain = dataclasses.replace(self.config, sharpen=False)
        return type(self)(self.scale, plain)
