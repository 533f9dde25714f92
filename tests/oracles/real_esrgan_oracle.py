"""Real-ESRGAN's chain for one image, from the paper and the released settings.

In float64 with SciPy, one weight at a time for resizing, and Pillow for JPEG. What is
random is given: as numbers, and noise as a function of the image that it falls on.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from tests.oracles import filter_oracle, resample_oracle


@dataclass
class Round:
    """One round's draws; `noise` maps an image to what is added to it."""

    kernel: np.ndarray
    factor: float
    kind: str
    noise: Callable[[np.ndarray], np.ndarray]
    quality: int


def stored(image: np.ndarray, quality: int) -> np.ndarray:
    """As a JPEG file and back."""
    file, levels = io.BytesIO(), np.floor(np.clip(image, 0, 1) * 255 + 0.5)
    picture = Image.fromarray(levels.astype(np.uint8))
    picture.save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(file)) / 255.0


def one_round(image: np.ndarray, draws: Round, base: tuple[int, int]) -> np.ndarray:
    """Blur, resize relative to `base`, noise, clip."""
    image = filter_oracle.filtered(image, draws.kernel)
    size = [max(int(side * draws.factor), 1) for side in base]
    image = resample_oracle.resample(image, *size, draws.kind)
    return np.clip(image + draws.noise(image), 0, 1)


def degrade(
    hr: np.ndarray,
    scale: int,
    first: Round,
    second: Round,
    last_kernel: np.ndarray,
    last_kind: str,
    jpeg_last: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """[H, W, 3] in [0, 1] -> LR image in levels of 8 bit, and the target."""
    target = filter_oracle.sharpened(hr)
    height, width, _ = hr.shape
    small = (height // scale, width // scale)
    image = stored(one_round(target, first, (height, width)), first.quality)
    image = one_round(image, second, small)
    if not jpeg_last:
        image = stored(image, second.quality)
    image = resample_oracle.resample(image, *small, last_kind)
    image = filter_oracle.filtered(image, last_kernel)
    if jpeg_last:
        image = stored(image, second.quality)
    return np.floor(np.clip(image, 0, 1) * 255 + 0.5), target


def shot_noise(
    image: np.ndarray, grey: bool, poisson: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Deviation of `poisson(means)` from its means, scaled back to [0, 1]."""
    if grey:
        image = image @ [0.2989, 0.587, 0.114]
        image = image[..., None]
    levels = np.round(np.clip(image, 0, 1) * 255)
    photons = 2 ** np.ceil(np.log2(len(np.unique(levels))))
    light = levels / 255
    return poisson(light * photons) / photons - light
