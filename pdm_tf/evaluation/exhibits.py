"""The best and the worst images of an evaluation, as pictures for a page.

The choice is known when the last image is scored; so candidates are kept on the way, as
small pictures.
"""

import bisect
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pdm_tf.core import draw
from pdm_tf.evaluation.crops import cut
from pdm_tf.evaluation.panels import MAX_COLUMN, region_of, views
from pdm_tf.evaluation.results import EvaluatedImage
from pdm_tf.metrics import MetricSpec


class Shown(NamedTuple):
    """One picture of an image: the whole, small, and its crop; with lines below."""

    whole_u8: np.ndarray
    crop_u8: np.ndarray
    lines: Sequence[str]


class Exhibit(NamedTuple):
    """One image of a set.

    Attributes:
      name: of the image.
      region: (top, left, height, width) of the crops in SR pixels.
      shown: LR, bicubic, the model's and HR, as far as there.
    """

    name: str
    region: tuple[int, int, int, int]
    shown: Sequence[Shown]


class Extremes:
    """Keeps the images with the highest and the lowest scores; made for `on_image`."""

    def __init__(self, metric: MetricSpec, count: int, *, label: str = "SR") -> None:
        """Begins without images.

        Args:
          metric: decides the order.
          count: how many of the best and of the worst.
          label: of the model's picture.
        """
        self._metric, self._count, self._label = metric, count, label
        self._kept: list[tuple[float, int, Exhibit]] = []
        self._seen = 0

    def __call__(self, image: EvaluatedImage) -> None:
        value = image.row.scores.values[self._metric.name]
        goodness = value if self._metric.higher_is_better else -value
        self._seen += 1
        place = bisect.bisect(self._kept, (goodness, self._seen))
        full = len(self._kept) == 2 * self._count
        if full and place == self._count:
            return  # neither among the best nor among the worst
        self._kept.insert(place, (goodness, self._seen, exhibit_of(image, self._label)))
        if full:
            del self._kept[self._count]

    def worst(self) -> list[Exhibit]:
        """Returns the worst images, worst first; at most half of few images."""
        return [kept for *_, kept in self._kept[: self._split()]]

    def best(self) -> list[Exhibit]:
        """Returns the best images, best first, without those among the worst."""
        rest = self._kept[self._split() :]
        return [kept for *_, kept in rest[::-1][: self._count]]

    def _split(self) -> int:
        return min(self._count, len(self._kept) // 2)


def exhibit_of(image: EvaluatedImage, label: str) -> Exhibit:
    """Makes the small pictures of one image."""
    region = region_of(image)
    shown = []
    for view in views(image, label):
        small = draw.shrink_to_width(view.picture_u8, MAX_COLUMN)
        ratio = small.shape[1] / view.picture_u8.shape[1]
        box = tuple(round(value * ratio) for value in region)
        crop = np.ascontiguousarray(cut(view.picture_u8, region))
        shown.append(Shown(draw.outlined(small, box), crop, view.lines))
    return Exhibit(image.row.name, region, shown)
