"""The images of an evaluation: pairs of images, or HR or LR images alone.

Every fault of the folders is found here, before any image is upscaled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.core.pair_names import USUAL, PairRules
from pdm_tf.data.pairs import grid_of, load_pairs, stem_of
from pdm_tf.data.sources import Entry, list_entries, place_of
from pdm_tf.evaluation.results import Item

T = TypeVar("T")

# Tried when the scale must come from the images, the usual ones first.
SCALES = (4, 2, 3, 8, 1, 6, 5, 7, 16)


@dataclass(frozen=True)
class LoneItem:
    """An image of a set without pairs.

    Attributes:
      name: its relative path without suffix.
      hr, lr: its entries; None if the set does not have one.
    """

    name: str
    hr: Entry | None = None
    lr: Entry | None = None

    def load(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(hr_u8, lr_u8); raises ImageError."""
        return tuple(entry and entry.read() for entry in (self.hr, self.lr))


@dataclass(frozen=True)
class ImageSet:
    """The images of a set.

    Attributes:
      items: sorted by name.
      problems: (file, reason) of each unusable file.
      grid: where LR pixels lie, if that is recorded with the LR images.
    """

    items: Sequence[Item]
    problems: tuple[tuple[str, str], ...] = ()
    grid: str | None = None


def open_set(
    hr_dir: str,
    lr_dir: str,
    scale: int,
    max_images: int = 0,
    rules: PairRules = USUAL,
) -> ImageSet:
    """Opens the images of one folder, or the pairs of two.

    Args:
      hr_dir, lr_dir: folders or shards; one may be "".
      scale: HR size / LR size.
      max_images: at most so many, the first by name; 0: all.
      rules: what the person says of pairs.

    Raises:
      UserError: none there; if they make pairs at another scale, that is said.
    """
    if hr_dir and lr_dir:
        return _open_pairs(hr_dir, lr_dir, scale, max_images, rules)
    side = "hr" if hr_dir else "lr"
    items: dict[str, LoneItem] = {}
    problems = []
    for entry in list_entries(hr_dir or lr_dir):
        stem = stem_of(entry)
        if stem in items:
            problems.append((place_of(entry), "has the same name as another"))
        else:
            items[stem] = LoneItem(stem, **{side: entry})
    chosen = tuple(items.values())[: max_images or None]
    grid = grid_of(lr_dir) if lr_dir else None
    return ImageSet(chosen, tuple(problems), grid)


def set_of_names(names: Sequence[str], max_images: int = 0) -> ImageSet:
    """Makes a set with known names only, for pictures without any original."""
    chosen = sorted(names)[: max_images or None]
    return ImageSet(tuple(LoneItem(name) for name in chosen))


def evenly(items: Sequence[T], count: int) -> list[T]:
    """Picks at most `count` items, at equal distances, from the first on."""
    if len(items) <= count:
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]


def check_folders(folders: Sequence[str]) -> None:
    """Checks that each folder exists and holds images or shards.

    Raises:
      UserError: naming the first that does not.
    """
    for folder in folders:
        list_entries(folder)


def find_scale(hr_dir: str, lr_dir: str, rules: PairRules = USUAL) -> int:
    """Finds the scale at which the images of two folders make pairs.

    Raises:
      UserError: they make none at any usual scale.
    """
    scale = _scale_of(hr_dir, lr_dir, SCALES, rules)
    if scale is None:
        # Says what keeps them apart (names or sizes) for the usual scale.
        load_pairs(hr_dir, lr_dir, SCALES[0], 1, rules)
        raise UserError(f"{hr_dir} and {lr_dir} hold no pairs of any usual scale.")
    return scale


def _open_pairs(
    hr_dir: str, lr_dir: str, scale: int, max_images: int, rules: PairRules
) -> ImageSet:
    try:
        found = load_pairs(hr_dir, lr_dir, scale, max_images, rules)
    except UserError as error:
        other = _scale_of(hr_dir, lr_dir, [s for s in SCALES if s != scale], rules)
        if other is None:
            raise
        raise UserError(
            f"The images must fit the scale of the model, x{scale}. Received: pairs of "
            f"x{other} in {hr_dir} and {lr_dir}."
        ) from error
    return ImageSet(found.pairs, found.problems, found.grid)


def _scale_of(
    hr_dir: str, lr_dir: str, scales: Sequence[int], rules: PairRules
) -> int | None:
    for scale in scales:
        try:
            load_pairs(hr_dir, lr_dir, scale, 0, rules)
        except UserError:
            continue  # not at this scale; the caller says so if at none
        return scale
    return None
