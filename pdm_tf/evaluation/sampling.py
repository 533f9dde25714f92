"""Samples a learned degradation: kernels, and degraded HR patches.

Everything is drawn from a seed, so that a report can be repeated.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from pdm_tf.bundles.bundle import Bundle
from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.images import to_float, to_u8
from pdm_tf.core.seeds import stream_seed
from pdm_tf.data.sources import list_entries
from pdm_tf.evaluation.image_set import evenly

KERNELS = 256
PATCHES = 64
SIDE = 48  # of an LR patch, or less if the images are smaller
_SMALLEST = 8
_IMAGES = 64  # read at most, evenly over the folder
_BATCH = 16


@dataclasses.dataclass(frozen=True)
class Photographs:
    """Some images of a folder or of shards.

    Attributes:
      place: their origin, in words.
      count: images in that place.
      names: of those read.
      images_u8: [H, W, 3] uint8 each.
      problems: (name, reason) of unreadable ones.
    """

    place: str
    count: int
    names: tuple[str, ...]
    images_u8: tuple[np.ndarray, ...]
    problems: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class DegradationSamples:
    """Samples of a learned degradation, and of the images it was learned from.

    Attributes:
      kernels: [N, K, K] float32, drawn from it.
      real_lr_u8: [P, s, s, 3] uint8, patches of observed images, or None.
      fake_lr_u8: [P, s, s, 3] uint8, HR patches that it degraded, rounded to 8 bits.
      clean_lr: [P, s, s, 3] float32, the same before noise.
      noise: [P, s, s, 1 or 3] float32, or None without a noise module.
    """

    kernels: np.ndarray
    real_lr_u8: np.ndarray | None
    fake_lr_u8: np.ndarray
    clean_lr: np.ndarray
    noise: np.ndarray | None


def read_photographs(location: str | Path, limit: int = _IMAGES) -> Photographs:
    """Reads up to `limit` images, evenly over the sorted names.

    Raises:
      UserError: no such place, or none of the images can be read.
    """
    entries = list_entries(location)
    chosen = evenly(entries, limit)
    names, images, problems = [], [], []
    for entry in chosen:
        try:
            images.append(entry.read())
            names.append(entry.name)
        except ImageError as error:
            problems.append((entry.name, error.reason))
    if not images:
        raise UserError(
            f"{location} must hold images that can be read. Received: "
            f"{problems[0][0]} {problems[0][1]}, and {len(problems) - 1} more like it."
        )
    return Photographs(
        str(location), len(entries), tuple(names), tuple(images), tuple(problems)
    )


def sample_degradation(
    bundle: Bundle,
    hr: Photographs,
    real_lr: Photographs | None,
    *,
    seed: int = 0,
) -> DegradationSamples:
    """Draws KERNELS kernels, and degrades PATCHES random patches of HR photographs.

    Args:
      bundle: of a PDM.
      hr: photographs to degrade.
      real_lr: photographs it was learned from, if at hand.
      seed: of all that is random.

    Raises:
      UserError: no HR or LR photograph is large enough for a patch.
    """
    pdm = bundle.network
    margin, scale = bundle.config.margin, bundle.scale
    largest_lr = _largest_side(real_lr) if real_lr else SIDE
    largest_hr = _largest_side(hr)
    side = min(SIDE, largest_lr, (largest_hr - 2 * margin) // scale)
    if side < _SMALLEST:
        raise UserError(
            f"A report needs LR photographs of at least {_SMALLEST} pixels a side and "
            f"HR photographs of at least {_SMALLEST * scale + 2 * margin}. Received: "
            f"{largest_lr} in {real_lr.place if real_lr else 'none'}, "
            f"{largest_hr} in {hr.place}."
        )
    real = None
    if real_lr:
        real = random_patches(real_lr.images_u8, side, PATCHES, seed, "report/real_lr")
    needed = side * scale + 2 * margin
    sharp = to_float(random_patches(hr.images_u8, needed, PATCHES, seed, "report/hr"))
    degraded = [
        pdm.synthesise(
            tf.constant(sharp[start : start + _BATCH]), tf.constant((seed, start))
        )
        for start in range(0, PATCHES, _BATCH)
    ]
    has_noise = degraded[0].noise is not None
    return DegradationSamples(
        kernels=np.asarray(pdm.sample_kernels(KERNELS, seed=seed, hr=sharp)),
        real_lr_u8=real,
        fake_lr_u8=to_u8(np.concatenate([found.lr for found in degraded])),
        clean_lr=np.concatenate([found.clean_lr for found in degraded]),
        noise=np.concatenate([d.noise for d in degraded]) if has_noise else None,
    )


def random_patches(
    images_u8: Sequence[np.ndarray], side: int, count: int, seed: int, stream: str
) -> np.ndarray:
    """[count, side, side, 3] uint8 from images that are large enough, in turn."""
    draw = np.random.default_rng(stream_seed(seed, stream))
    usable = [image for image in images_u8 if min(image.shape[:2]) >= side]
    out = []
    for index in range(count):
        image = usable[index % len(usable)]
        top = draw.integers(0, image.shape[0] - side + 1)
        left = draw.integers(0, image.shape[1] - side + 1)
        out.append(image[top : top + side, left : left + side])
    return np.stack(out)


def _largest_side(photographs: Photographs) -> int:
    """Finds the side of the largest square in any of the images, in pixels."""
    return max(min(image.shape[:2]) for image in photographs.images_u8)
