"""What two folders are to each other by place, and which of them has the larger ones.

Folders may not lie in one another, since all below one is searched.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pdm_tf.core.errors import UserError


def check_places(
    hr_dir: str | Path, lr_dir: str | Path, within: Mapping[str, str] | None = None
) -> None:
    """Refuses folders that are one place, or lie in one another.

    Raises:
      UserError: see `misplaced`.
    """
    for text in misplaced(hr_dir, lr_dir, within):
        raise UserError(text)


def misplaced(
    hr_dir: str | Path, lr_dir: str | Path, within: Mapping[str, str] | None = None
) -> list[str]:
    """What is wrong with where folders lie, a sentence each.

    Args:
      hr_dir, lr_dir: HR and LR photographs.
      within: flag -> a further folder that may not lie inside either; "" if not given.
    """
    pair = {"--hr_dir": hr_dir, "--lr_dir": lr_dir}
    places = {flag: Path(os.path.realpath(folder)) for flag, folder in pair.items()}
    if len(set(places.values())) == 1:
        return [
            "--hr_dir and --lr_dir must be two different places: high-resolution "
            "photographs, and photographs with the degradation to learn. "
            f"Received: {hr_dir} for both."
        ]
    inner = dict(places)
    for flag, folder in (within or {}).items():
        if folder:
            inner[flag] = Path(os.path.realpath(folder))
    return [
        f"{flag} must lie outside {outer}, whose photographs are searched for in all "
        f"folders below it. Received: {place}, inside {around}."
        for flag, place in inner.items()
        for outer, around in places.items()
        if place != around and place.is_relative_to(around)
    ]


def evenly_picked(files: Sequence[Path], most: int) -> list[Path]:
    """At most so many of them, from all over the folder; 0: all."""
    if not most or len(files) <= most:
        return list(files)
    return [files[round(at)] for at in np.linspace(0, len(files) - 1, most)]


def likely_larger(
    hr_areas: Sequence[float], lr_areas: Sequence[float], scale: int
) -> bool:
    """Whether LR photographs are larger than HR ones on the whole."""
    return float(np.median(lr_areas)) > float(np.median(hr_areas)) * max(scale, 1.5)
