"""Photographs in memory, cut so that many and large ones take a bounded part of it."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pdm_tf.core.images import read_rgb_u8

# Corners are multiples of it, so that JPEG's blocks stay where they are.
_BLOCK = 16


class Cut(NamedTuple):
    """The middle of a photograph.

    Attributes:
      name: path below the folder.
      rgb_u8: [h, w, 3] uint8.
    """

    name: str
    rgb_u8: np.ndarray


def read_cuts(
    folder: str | Path, names: Sequence[str], pixels: int, least_side: int
) -> list[Cut]:
    """Reads the middles of photographs.

    Args:
      folder: that the names are below.
      names: of the photographs.
      pixels: of all together, about; where even the least cuts are more, some
        photographs are left out, evenly by name.
      least_side: px; photographs are not cut below it.
    """
    most = max(1, pixels // least_side**2)
    if len(names) > most:
        chosen = np.linspace(0, len(names) - 1, most).round().astype(int)
        names = [names[index] for index in chosen]
    side = max(least_side, math.isqrt(pixels // len(names)))
    return [Cut(name, middle(read_rgb_u8(Path(folder) / name), side)) for name in names]


def middle(rgb_u8: np.ndarray, side: int) -> np.ndarray:
    """The middle of a photograph, `side` px high and wide at most."""
    places = []
    for length in rgb_u8.shape[:2]:
        size = min(length, side)
        start = (length - size) // 2 // _BLOCK * _BLOCK
        places.append(slice(start, start + size))
    return np.ascontiguousarray(rgb_u8[tuple(places)])
