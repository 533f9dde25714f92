"""Crops of one photograph for KernelGAN, drawn where there is detail.

Bell-Kligler et al. 2019 (arXiv:1909.06581), supplement; the weights are those of the
authors' code. A map of the photograph's gradients, the strongest 3 % of which count
most, is averaged over half a crop; a crop's middle is drawn in proportion to it.

Everything is a function of (photograph, seed): the positions of all steps are drawn
first, then the noise, one step after the other.
"""

from typing import NamedTuple

import numpy as np
from scipy.signal import fftconvolve

from pdm_tf.core.imresize import imresize

_WINDOW = 5  # pixels that gradients are averaged over, and that edges are left out by
_STRONGEST = 0.97
_GREY = np.array([0.299, 0.587, 0.114])
_NOISE = 1.0 / 255.0


class Crops(NamedTuple):
    """What one step of KernelGAN sees of a photograph, in [-1, 1].

    Attributes:
      large: [c, c, 3], for the generator.
      bicubic: [d, d, 3], what bicubic reduction makes of `large`, where the generator's
        output lies.
      real: [d, d, 3], for the discriminator; with noise.
      noise: [d, d, 3], to be added to what the generator makes.
    """

    large: np.ndarray
    bicubic: np.ndarray
    real: np.ndarray
    noise: np.ndarray


class GradientCrops:
    """The crops of one photograph, in the order of the steps.

    Args:
      rgb_u8: [H, W, 3] uint8, both sides at least `large`.
      large: side of the generator's crops, even.
      small: side of the discriminator's crops; `large` without the generator's kernel,
        halved.
      steps: how many there will be.
      random: where all draws come from.

    Raises:
      ValueError: a photograph smaller than a crop.
    """

    def __init__(
        self,
        rgb_u8: np.ndarray,
        large: int,
        small: int,
        steps: int,
        random: np.random.Generator,
    ) -> None:
        height, width = (size - size % 2 for size in rgb_u8.shape[:2])
        if min(height, width) < large:
            raise ValueError(
                "Both sides of the photograph must be at least `large`. "
                f"Received: {rgb_u8.shape}, large={large}."
            )
        picture = rgb_u8[:height, :width].astype(np.float64) / 255.0
        half = imresize(picture, 0.5)
        self._picture = (2.0 * picture - 1.0).astype(np.float32)
        self._half = (2.0 * half - 1.0).astype(np.float32)
        self._large, self._small, self._random = large, small, random
        coarse = gradient_map(half).repeat(2, axis=0).repeat(2, axis=1)
        self._of_generator = _draw_places(coarse, large, steps, random)
        fine = gradient_map(picture)
        self._of_discriminator = _draw_places(fine, small, steps, random)

    def at(self, step: int) -> Crops:
        """Returns the crops of a step; to be called once for each, in order."""
        top, left = self._of_generator[step]
        large = self._picture[top : top + self._large, left : left + self._large]
        # The generator's pixel i lies at (K - 1) / 2 + 2 i + 1/2, between two pixels;
        # so do bicubic's. Both leave (large - 2 small) / 4 pixels out on each side.
        shave = (self._large // 2 - self._small) // 2
        y, x = top // 2 + shave, left // 2 + shave
        bicubic = self._half[y : y + self._small, x : x + self._small]
        y, x = self._of_discriminator[step]
        real = self._picture[y : y + self._small, x : x + self._small]
        noise = self._random.standard_normal((2, *real.shape), np.float32) * _NOISE
        # As the authors' code: the noise of the real crops is 1/255 of [0, 1], that of
        # the others 1/255 of [-1, 1].
        return Crops(large, bicubic, real + 2.0 * noise[0], noise[1])


def gradient_map(image: np.ndarray) -> np.ndarray:
    """How much detail there is around each pixel.

    Args:
      image: [H, W, 3] in [0, 1].

    Returns:
      [H, W] float64, not negative, of mean 1; all 0 for an image without gradients.
    """
    gy, gx = np.gradient(image @ _GREY)
    maps = [_inner(part, _WINDOW) for part in (np.hypot(gy, gx), abs(gy), abs(gx))]
    strength, *directions = maps
    total = _of_sum_1(strength)
    for part in directions:
        total = total + _of_sum_1(_strongest(part))
    total = _box_mean(total, _WINDOW)
    mean = total.mean()
    return total / mean if mean > 0 else total


def _strongest(values: np.ndarray) -> np.ndarray:
    """0 for all but the strongest 3 %, which are about equal."""
    ordered = np.sort(values, axis=None)
    pivot = min(int(_STRONGEST * ordered.size), ordered.size - 2)
    low, high = ordered[pivot], ordered[pivot + 1]
    if high <= low:
        high = low + 1e-5
    return np.clip(values, low, high) - low


def _of_sum_1(values: np.ndarray) -> np.ndarray:
    total = values.sum()
    return values / total if total > 0 else values


def _inner(values: np.ndarray, edge: int) -> np.ndarray:
    """The values with `edge` zeros on each side."""
    kept = np.zeros_like(values)
    kept[edge:-edge, edge:-edge] = values[edge:-edge, edge:-edge]
    return kept


def _box_mean(values: np.ndarray, side: int) -> np.ndarray:
    """Means over squares around each pixel, zeros beyond the edges."""
    box = np.full((side, side), 1.0 / side**2)
    return fftconvolve(values, box, "same").clip(0.0)


def _draw_places(
    detail: np.ndarray, side: int, count: int, random: np.random.Generator
) -> np.ndarray:
    """Draws [count, 2] corners (top, left) of crops, all even."""
    middles = _inner(_box_mean(detail, side // 2), side // 2)
    total = middles.sum()
    # Without any detail, or for a photograph of the crop's size: all are alike.
    chances = None if total <= 0 else middles.ravel() / total
    drawn = random.choice(detail.size, count, p=chances)
    places = np.stack(np.unravel_index(drawn, detail.shape), 1) - side // 2
    places = places.clip(0, np.array(detail.shape) - side)
    return places - places % 2
