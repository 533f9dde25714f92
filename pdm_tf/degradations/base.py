"""The call contract of degradations, and what makes them work on whole photographs.

Two ways to call one. In training, on a batch of crops that have `margin` HR pixels of
real context on each side: `degradation(hr, seed=seed)`. And in two halves, so that
whoever calls may cut in between: `draw` makes everything random for whole LR images,
`apply` is then a function without randomness, which may be given one window of the HR
image with the same window of what was drawn (`whole_image.py`).
"""

import dataclasses
from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NamedTuple

import tensorflow as tf

from pdm_tf.degradations.pdm import Degraded

Latents = tuple[tf.Tensor | None, ...]


class BatchShard(NamedTuple):
    """Which rows of a global batch are at hand: part `index` of `count`.

    Randomness of a training step is drawn for the whole batch and cut, so that the
    parts together are what one device would have computed.

    Attributes:
      index: from 0, a number or a scalar tensor.
      count: parts of equal size.
    """

    index: int | tf.Tensor = 0
    count: int = 1

    def of(self, whole: tf.Tensor) -> tf.Tensor:
        """Rows of this shard, of a tensor [B, ...] for the global batch."""
        if self.count == 1:
            return whole
        rows = whole.shape[0] // self.count
        part = tf.reshape(whole, [self.count, rows, *whole.shape[1:]])
        return part[self.index]


FULL_BATCH = BatchShard()


@dataclasses.dataclass(frozen=True)
class NoSettings:
    """Settings of a degradation that has none."""


class Degradation(ABC):
    """hr [B, H + 2 * margin, W + 2 * margin, 3] -> Degraded of H / scale x W / scale.

    Attributes:
      config_class: frozen dataclass of the settings; `make(scale, config)`.
      scale: downsampling factor.
      margin: HR pixels of context that `apply` takes off each side.
      context: LR pixels around a window beyond which nothing changes its result
        (besides the margin); None if the whole image may.
      edge: how a photograph is continued beyond its edges: "reflect" (without
        repeating the edge pixel) or "symmetric" (with it).
    """

    config_class: ClassVar[type] = NoSettings
    scale: int
    margin: int
    context: int | None = 0
    edge: Literal["reflect", "symmetric"] = "reflect"

    @property
    def least_size(self) -> int:
        """Shortest side in HR pixels of a photograph that it makes sense for."""
        return max(self.scale, 2 * self.margin + 1)

    @abstractmethod
    def draw(self, batch: int, height: int, width: int, seed: tf.Tensor) -> Latents:
        """Everything random about `batch` LR images; a pure function of the seed.

        Args:
          batch: number of images.
          height, width: of the LR images.
          seed: [2] integers.

        Returns:
          Tensors [B, ...]. Those of the shape [B, height, width, C] belong to places
          and are cut with them; all others belong to images.
        """

    @abstractmethod
    def apply(self, hr: tf.Tensor, *latents: tf.Tensor | None) -> Degraded:
        """Degrades, with what `draw` returned or a window of it.

        Args:
          hr: [B, H + 2 * margin, W + 2 * margin, 3] float in [0, 1], H and W divisible
            by `scale`. In float64 when the pixels are whole photographs': a
            degradation that other programs compute in it can then equal theirs.
          *latents: as `draw` returns them.
        """

    def __call__(self, hr: tf.Tensor, *, seed: tf.Tensor) -> Degraded:
        """Draws and applies.

        Args:
          hr: [B, H + 2 * margin, W + 2 * margin, 3] float32 in [0, 1].
          seed: [2] integers.
        """
        height, width = self.lr_size(hr)
        return self.apply(hr, *self.draw(hr.shape[0], height, width, seed))

    def lr_size(self, hr: tf.Tensor) -> tuple[int, int]:
        """Returns (height, width) of what becomes of `hr`, which has its margin."""
        _, height, width, _ = hr.shape
        return tuple((side - 2 * self.margin) // self.scale for side in (height, width))
