"""Pairs in memory, for tests that need no files."""

from dataclasses import dataclass

import numpy as np

from pdm_tf.core.errors import ImageError
from pdm_tf.core.images import to_u8
from pdm_tf.core.imresize import imresize


def photo(seed: int, height: int, width: int) -> np.ndarray:
    """A picture with smooth parts, edges and texture, [H, W, 3] uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    phase = rng.uniform(0, 6.3, 3)
    base = 0.5 + 0.3 * np.sin(x[..., None] / 9 + phase) * np.cos(y[..., None] / 7)
    base[height // 3 : height // 2, width // 4 : width // 2] *= 0.3
    return to_u8(base + 0.05 * rng.standard_normal(base.shape))


@dataclass
class MemoryPair:
    """A pair that is there; `loads` counts how often it was decoded."""

    name: str
    hr_u8: np.ndarray
    lr_u8: np.ndarray
    loads: int = 0

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        self.loads += 1
        return self.hr_u8, self.lr_u8


class BrokenPair:
    """A pair whose file is damaged."""

    name = "broken"

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        raise ImageError("broken.png", "is truncated")


def bicubic_pair(
    seed: int, height: int = 48, width: int = 64, scale: int = 4
) -> MemoryPair:
    """A picture and its bicubic reduction."""
    hr_u8 = photo(seed, height, width)
    lr_u8 = to_u8(imresize(hr_u8 / 255.0, 1 / scale))
    return MemoryPair(f"image{seed}", hr_u8, lr_u8)
