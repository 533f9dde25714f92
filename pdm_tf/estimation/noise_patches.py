"""Noise of a camera, taken from flat places of its photographs.

Ji et al. 2020 (CVPRW, "Real-World Super-Resolution via Kernel Estimation and Noise
Injection"), section 3.2: a patch of a photograph that is flat shows noise alone. They
take patches whose grey variance is below 20 (of 255 squared) at a mean above a bound,
which on other cameras finds nothing, or texture. Here the bounds are percentiles of
what the photographs hold, so something is found in every photograph with an unclipped
patch, and two things are asked of a patch:

- its variance is among the least of its photograph;
- its variance is that of white noise rather than that of a picture: the ratio of the
  variance to the one that its finest detail alone would have as white noise
  (Immerkaer 1996, "Fast Noise Variance Estimation") is 1 for noise, and large for
  edges, shading and blurred texture.

Then the mean of each channel is removed. Patches of one photograph do not overlap.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pdm_tf.core.checks import require_not_below
from pdm_tf.core.errors import UserError

_GREY = np.array([0.299, 0.587, 0.114])
_STEPS = 4  # places tried along a patch's side
_CLIPPED_SHARE = 0.005  # of samples at the ends of the range
_LEVEL = 1.0 / 255.0
# Below it a variance is that of rounding to 8 bits, and ratios of two mean nothing.
_ROUNDING = _LEVEL**2 / 12.0


@dataclass(frozen=True)
class NoiseSettings:
    """Settings of the choice of patches.

    Attributes:
      patch: side of a patch in pixels.
      variance_percentile: patches with a greater variance than this percentile of
        their photograph's are left out.
      structure_percentile: of those left of all photographs, patches with a greater
        ratio than this percentile are left out.
      per_photograph: patches of one photograph, at most.

    Raises:
      UserError: a number is out of range.
    """

    patch: int = 32
    variance_percentile: float = 5.0
    structure_percentile: float = 25.0
    per_photograph: int = 8

    def __post_init__(self) -> None:
        require_not_below(self, patch=8, per_photograph=1)
        for name in ("variance_percentile", "structure_percentile"):
            if not 0 < getattr(self, name) <= 100:
                raise UserError(
                    f"--{name} must be above 0 and at most 100. "
                    f"Received: {getattr(self, name)}."
                )


class NoisePatch(NamedTuple):
    """A flat place of a photograph.

    Attributes:
      top, left: its corner.
      noise: [P, P, 3] float32 in units of [0, 1], of mean 0 for each channel.
      mean: of the grey values, in [0, 1].
      std: of the noise, over all channels, in units of [0, 1].
      structure: the ratio of the head of this file; about 1 for white noise.
    """

    top: int
    left: int
    noise: np.ndarray
    mean: float
    std: float
    structure: float


def flat_patches(rgb_u8: np.ndarray, settings: NoiseSettings) -> list[NoisePatch]:
    """Takes the flat places of one photograph, the flattest first.

    Args:
      rgb_u8: [H, W, 3] uint8.
      settings: of the choice; `structure_percentile` is for `without_structure`.

    Returns:
      `per_photograph` patches at most, and none of a photograph that is smaller than a
      patch or clipped everywhere.
    """
    side = settings.patch
    if min(rgb_u8.shape[:2]) < side + 2:
        return []
    image = rgb_u8.astype(np.float64) / 255.0
    grey = image @ _GREY
    stride = max(1, side // _STEPS)
    clipped = np.any((rgb_u8 == 0) | (rgb_u8 == 255), axis=2).astype(np.float64)
    # One pixel less on each side: the finest detail needs the neighbours.
    inner = (slice(1, -1), slice(1, -1))
    mean = _box_means(grey[inner], side, stride)
    square = _box_means(grey[inner] ** 2, side, stride)
    variance = (square - mean**2).clip(0.0)
    fine = _box_means(_fine_detail(grey) ** 2, side, stride) / 36.0
    structure = (variance + _ROUNDING) / (fine + _ROUNDING)
    usable = _box_means(clipped[inner], side, stride) <= _CLIPPED_SHARE
    if not usable.any():
        return []
    most = np.percentile(variance[usable], settings.variance_percentile)
    usable &= variance <= most
    order = sorted(zip(structure[usable], *np.nonzero(usable), strict=True))
    chosen: list[NoisePatch] = []
    for ratio, row, column in order:
        top, left = 1 + row * stride, 1 + column * stride
        if any(_overlap(top, left, other, side) for other in chosen):
            continue
        patch = image[top : top + side, left : left + side]
        noise = patch - patch.mean(axis=(0, 1))
        chosen.append(
            NoisePatch(
                int(top),
                int(left),
                noise.astype(np.float32),
                float(patch.mean(axis=(0, 1)) @ _GREY),
                float(noise.std()),
                float(ratio),
            )
        )
        if len(chosen) == settings.per_photograph:
            break
    return chosen


def without_structure(
    patches: Sequence[Sequence[NoisePatch]], settings: NoiseSettings
) -> list[list[NoisePatch]]:
    """Leaves out the patches of all photographs that look most like a picture.

    Args:
      patches: of each photograph.
      settings: `structure_percentile` says how many are kept.

    Returns:
      For each photograph those that are kept; at least one in all, if there was one.
    """
    ratios = [patch.structure for own in patches for patch in own]
    if not ratios:
        return [[] for _ in patches]
    most = np.percentile(ratios, settings.structure_percentile)
    return [[patch for patch in own if patch.structure <= most] for own in patches]


def fitting_patch_side(shortest_sides: Sequence[int], most: int = 32) -> int:
    """Returns the side of patches for photographs of these shortest sides.

    `most`, or where the photographs are small a sixth of the median's shortest side, in
    multiples of 4, and 8 at least: small photographs have small flat places. In 100
    photographs of 120 x 80 pixels with known noise the patches of 12 pixels had 1.12
    times its standard deviation, those of 24 pixels 1.7 times.
    """
    fitting = int(np.median(shortest_sides)) // 6 // 4 * 4
    return max(8, min(most, fitting))


def _fine_detail(grey: np.ndarray) -> np.ndarray:
    """The difference of two Laplacians, without borders: 36 times white noise's power.

    It answers to no plane and no edge along an axis.
    """
    down = grey[:-2] - 2.0 * grey[1:-1] + grey[2:]
    return down[:, :-2] - 2.0 * down[:, 1:-1] + down[:, 2:]


def _box_means(values: np.ndarray, side: int, stride: int) -> np.ndarray:
    """Means over side x side windows, every `stride`-th of them."""
    sums = np.pad(values, [[1, 0], [1, 0]]).cumsum(0).cumsum(1)
    boxes = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side]
    boxes = boxes + sums[:-side, :-side]
    return boxes[::stride, ::stride] / side**2


def _overlap(top: int, left: int, other: NoisePatch, side: int) -> bool:
    return abs(top - other.top) < side and abs(left - other.left) < side


def stacked_noise(patches: Sequence[Sequence[NoisePatch]]) -> np.ndarray:
    """[N, P, P, 3] float32, photograph by photograph."""
    return np.stack(list(_noises(patches)))


def _noises(patches: Sequence[Sequence[NoisePatch]]) -> Iterator[np.ndarray]:
    for own in patches:
        for patch in own:
            yield patch.noise
