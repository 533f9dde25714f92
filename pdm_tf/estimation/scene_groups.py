"""Which photographs of a folder show one scene, by their pixels alone.

Photographs of one scene that differ in blur, noise or JPEG look alike once they are
made small. A regressor mistakes a scene's content for blur in all of them alike, so
that they are no independent witnesses (`kernel_population`).
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

_SIDE = 12
# Correlation of two small photographs, colours together. Of 260 different photographs
# no two reached 0.86; one scene under blurs of 1 to 5 HR pixels and strong noise keeps
# 0.98, a wall of bricks 0.89.
LEAST_CORRELATION = 0.93
# Standard deviation of a small photograph, in levels, below which nothing is shown.
_LEAST_STD_255 = 3.0


def scene_groups(photographs: Sequence[np.ndarray]) -> np.ndarray:
    """Numbers the scenes of photographs [h, w, 3] uint8.

    Returns:
      [N] int, 0 for the first photograph's scene, and so on. Photographs of different
      shape, and those that show nothing, are of scenes of their own.
    """
    small = [_small(image) for image in photographs]
    shapes = [image.shape[:2] for image in photographs]
    group = np.arange(len(photographs))
    for index, one in enumerate(small):
        for other in range(index):
            alike = shapes[other] == shapes[index] and group[other] == other
            if alike and float(one @ small[other]) >= LEAST_CORRELATION:
                group[index] = other
                break
    return np.unique(group, return_inverse=True)[1]


def _small(image: np.ndarray) -> np.ndarray:
    """[_SIDE * _SIDE * 3] of mean 0 and length 1; 0 for one that shows nothing."""
    reduced = Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BOX)
    values = np.asarray(reduced, np.float64).reshape(-1, 3)
    values = (values - values.mean(0)).ravel()
    if values.std() < _LEAST_STD_255:
        return np.zeros_like(values)
    return values / np.linalg.norm(values)
