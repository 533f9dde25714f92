"""Pairs of an HR and an LR photograph of the same scene, matched by name.

What names mean the same scene is told in `core.pair_names`, and whether two pictures
show it in `data.pair_check`.

They come from folders of images, or from TFRecord shards (`tfrecord.py`).

Where the scale does not divide the sides of an HR image, its LR image may end with or
without the pixel that is not whole (benchmarks at x3, DIV2K at x8). Such pairs are cut
at the bottom and right to the whole LR pixels that both show, the field's "modcrop".

Where LR pixels lie in the HR image (`core.geometry.GRIDS`) cannot be seen from files.
`pdm_tf.degrade` records it next to its folders (and `pdm_tf.prepare` records bicubic);
shards made from these keep it.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.geometry import GRIDS
from pdm_tf.core.pair_names import ENDINGS, USUAL, PairNames, PairRules
from pdm_tf.core.stored import read_json
from pdm_tf.data.pair_check import why_no_pair
from pdm_tf.data.preparation import SETTINGS_NAME
from pdm_tf.data.sources import Entry, list_entries, place_of
from pdm_tf.data.tfrecord import index_of_shards

# The settings that pdm_tf.degrade writes next to its folders lr/ and hr/.
DEGRADE_RECORD = "degrade.json"
_NAMED = 3  # files named per kind of problem when nothing is left


@dataclass(frozen=True)
class ImagePair:
    """Two images of one scene; hr size = scale * lr size, once loaded.

    Attributes:
      name: relative path without suffix: that of the HR file, or that of the LR file
        where one HR file has several.
      hr, lr: where they are.
      scale: hr size / lr size.
      lr_size: (height, width) in LR pixels of what both show.
      accepted: whether it is a pair whatever the two images show.
    """

    name: str
    hr: Entry
    lr: Entry
    scale: int
    lr_size: tuple[int, int]
    accepted: bool = False

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns (hr_u8, lr_u8), each [H, W, 3] uint8 RGB.

        Raises:
          ImageError: one of them cannot be read, or they show different scenes.
        """
        hr_u8, lr_u8 = self.cut(self.hr.read(), self.lr.read())
        if reason := self.why_none(hr_u8, lr_u8):
            raise ImageError(place_of(self.lr), reason)
        return np.ascontiguousarray(hr_u8), np.ascontiguousarray(lr_u8)

    def why_none(self, hr_u8: np.ndarray, lr_u8: np.ndarray) -> str:
        """Why its images, as `cut`, are of different scenes; "" if they are not."""
        if self.accepted:
            return ""
        return why_no_pair(hr_u8, lr_u8, Path(self.hr.name).name)

    def cut(
        self, hr_u8: np.ndarray, lr_u8: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Cuts both images, [H, W, C], to what both show."""
        height, width = self.lr_size
        return hr_u8[: height * self.scale, : width * self.scale], lr_u8[
            :height, :width
        ]


@dataclass(frozen=True)
class PairSet:
    """The pairs in two folders.

    Attributes:
      pairs: sorted by name.
      problems: (file, reason) of each file that is in no pair.
      scale: hr size / lr size.
      grid: where LR pixels lie, see `core.geometry.GRIDS`; None if nothing says it.
    """

    pairs: tuple[ImagePair, ...]
    problems: tuple[tuple[str, str], ...]
    scale: int
    grid: str | None = None


def load_pairs(
    hr_dir: str | Path,
    lr_dir: str | Path,
    scale: int,
    max_images: int = 0,
    rules: PairRules = USUAL,
) -> PairSet:
    """Matches the images of two folders by relative path without suffix.

    Several LR files of different names may belong to one HR file. Sizes come from the
    file headers; nothing is decoded.

    Args:
      hr_dir, lr_dir: folders of images, searched recursively, or of shards.
      scale: hr size = scale * lr size, to the last whole LR pixel.
      max_images: at most so many pairs, the first by name; 0: all.
      rules: what the person says of the pairs.

    Raises:
      UserError: no pair is left; the message explains the fate of the files.
    """
    hr_files, problems = _by_stem(Path(hr_dir))
    lr_files, lr_problems = _by_stem(Path(lr_dir))
    problems += lr_problems
    names = PairNames(hr_files, scale, has_draws(lr_dir), rules)
    matches: dict[str, list[Entry]] = defaultdict(list)
    for stem, entry in lr_files.items():
        key = names.hr_of(stem)
        if key is None:
            problems.append((place_of(entry), "has no HR image of its name"))
        else:
            matches[key].append(entry)
    pairs = []
    for stem, hr in hr_files.items():
        partners = matches.get(stem, [])
        if not partners:
            problems.append((place_of(hr), "has no LR image of its name"))
        for lr in partners:
            name = stem if len(partners) == 1 else stem_of(lr)
            lr_size, reason = _common_size(hr, lr, scale)
            if reason:
                problems.append(reason)
            else:
                pairs.append(
                    ImagePair(name, hr, lr, scale, lr_size, rules.accept_folders)
                )
    if not pairs:
        unmatched = any(reason.endswith("of its name") for _, reason in problems)
        endings = f"\n  {ENDINGS}." if unmatched else ""
        raise UserError(
            f"{hr_dir} and {lr_dir} must hold pairs of images with the same names, the "
            f"HR image {scale} times the size of the LR image. Received: no such pair."
            f"{_grouped(problems)}{endings}"
        )
    pairs.sort(key=lambda pair: pair.name)
    few = tuple(pairs[: max_images or None])
    return PairSet(few, tuple(problems), scale, grid_of(lr_dir))


def grid_of(lr_dir: str | Path) -> str | None:
    """Returns the grid of the LR images in a folder or in shards, if it is recorded.

    Raises:
      UserError: the record cannot be read.
    """
    if grid := index_of_shards(lr_dir).get("grid"):
        return grid
    record = _record_of(lr_dir)
    return _recorded_grid(record) if record else None


def has_draws(lr_dir: str | Path) -> bool:
    """Whether LR names may end with the number of a draw: pdm_tf.degrade made them."""
    index = index_of_shards(lr_dir)
    # Shards from before have a grid alone.
    if index.get("draws", "grid" in index):
        return True
    record = _record_of(lr_dir)
    return record is not None and record.name == DEGRADE_RECORD


def record_for_shards(lr_dir: str | Path) -> dict[str, Any]:
    """What is known of LR images, for the index of shards that are made from them."""
    grid, draws = grid_of(lr_dir), has_draws(lr_dir)
    known = {} if grid is None else {"grid": grid}
    return known | {"draws": draws} if known or draws else {}


def _record_of(lr_dir: str | Path) -> Path | None:
    """Finds the record that a program left next to the folder lr/ it made."""
    location = Path(os.path.abspath(lr_dir))
    for place in dict.fromkeys([location, Path(os.path.realpath(lr_dir))]):
        for folder, below in zip(place.parents, [place, *place.parents], strict=False):
            for record in (folder / DEGRADE_RECORD, folder / SETTINGS_NAME):
                if below.name == "lr" and record.is_file():
                    return record
    return None


def _recorded_grid(path: Path) -> str | None:
    """Finds the grid in a degradation's settings: its own entry, or an argument."""
    words = (str, None)
    form = {"degradation?": words, "task?": words, "degradation_arg?": str}
    record = read_json(path, form | {"grid?": words})
    if record.get("degradation") == "bicubic" or record.get("task") == "bicubic_lr":
        return "half_pixel"
    argument = re.search(r"\bgrid=(\w+)", record.get("degradation_arg", ""))
    grid = record.get("grid") or (argument and argument[1])
    if grid is not None and grid not in GRIDS:
        raise UserError(
            f"The grid in {path} must be one of {', '.join(GRIDS)}. Received: {grid}."
        )
    return grid


def _by_stem(location: Path) -> tuple[dict[str, Entry], list[tuple[str, str]]]:
    files: dict[str, Entry] = {}
    problems = []
    for entry in list_entries(location):
        stem = stem_of(entry)
        if stem in files:
            other = Path(files[stem].name).name
            problems.append((place_of(entry), f"has the same name as {other}"))
        else:
            files[stem] = entry
    return files, problems


def stem_of(entry: Entry) -> str:
    """Returns its relative path without suffix."""
    return PurePosixPath(entry.name).with_suffix("").as_posix()


def _common_size(
    hr: Entry, lr: Entry, scale: int
) -> tuple[tuple[int, int], tuple[str, str] | None]:
    """Returns the LR size of a pair, or the reason why two files are no pair."""
    sizes = []
    for entry in (hr, lr):
        try:
            sizes.append(entry.size())
        except ImageError as error:
            return (0, 0), (error.path, error.reason)
    (hr_height, hr_width), (lr_height, lr_width) = sizes
    common = (min(lr_height, hr_height // scale), min(lr_width, hr_width // scale))
    off = max(abs(hr_height - scale * lr_height), abs(hr_width - scale * lr_width))
    if off < scale and min(common) > 0:
        return common, None
    if scale > 1 and (lr_height, lr_width) == (scale * hr_height, scale * hr_width):
        name = Path(lr.name).name
        reason = f"is smaller than its LR image, {name}: are the folders swapped?"
        return (0, 0), (place_of(hr), reason)
    return (0, 0), (
        place_of(hr),
        f"is not {scale} times the size of {Path(lr.name).name} "
        f"({hr_width}x{hr_height} and {lr_width}x{lr_height} px)",
    )


def _kind(reason: str) -> str:
    """What reasons that name a size or a picture have in common."""
    for words in (" times the size of ", "swapped?", "same name as"):
        if words in reason:
            return words
    return reason


def _grouped(problems: Iterable[tuple[str, str]]) -> str:
    """Summarises problems in a few lines: counts by kind, the first files named."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, reason in problems:
        kind = _kind(reason)
        groups[kind].append(f"{Path(name).name}: {reason}")
    lines = []
    for members in groups.values():
        more = len(members) - _NAMED
        tail = f" (and {more} more)" if more > 0 else ""
        lines.append("\n  " + "; ".join(members[:_NAMED]) + tail)
    return "".join(lines)
