"""Measures everything about a learned degradation, as JSON-ready numbers.

`measure_degradation` samples a PDM on given HR photographs and describes its kernels
and noise; given true kernels, true noise or real LR photographs it also compares with
those. The metrics themselves are in `metrics/degradation/`.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import to_float, to_u8
from pdm_tf.evaluation.image_set import evenly
from pdm_tf.metrics.degradation.coverage import (
    KernelComparison,
    compare_kernels,
    window_products,
)
from pdm_tf.metrics.degradation.moments import KernelStatistics, kernel_statistics
from pdm_tf.metrics.degradation.noise import (
    channel_correlation,
    level_ratios,
    noise_levels,
    noise_spectrum,
)
from pdm_tf.metrics.degradation.two_sample import (
    Accuracy,
    KernelDistance,
    classifier_accuracy,
    cut_patches,
    kernel_distance,
    patch_features,
)

KERNELS = 256  # drawn when no true set says how many
JUDGES = 8  # photographs whose blurred images decide distances between kernels
FAKES = 32  # photographs that are degraded
LR_SIDE = 64  # of the degraded crops
REALS = 64  # real LR photographs looked at
PATCHES = 8  # of each photograph, real or synthesised
_LEAST_SIDE = 20
_BATCH = 8


class NoiseFacts(NamedTuple):
    """Statistics of noise.

    Attributes:
      std: overall, about each image's own mean, in units of the image range.
      cast: root mean square of those means per channel, the same unit.
      level: [L] signal levels.
      std_by_level: [L] the same as `std` there, None with too few values.
      frequency: [F] cycles per LR pixel.
      spectrum: [F] power over mean power; 1 for white noise.
      channel_correlation: [3, 3] or [1, 1].
    """

    std: float
    cast: float
    level: list[float]
    std_by_level: list[float | None]
    frequency: list[float]
    spectrum: list[float]
    channel_correlation: list[list[float | None]]


class NoiseComparison(NamedTuple):
    """Learned and true noise, both as 8-bit files hold them.

    Attributes:
      learned: statistics of the learned noise.
      true: statistics of the true noise.
      ratio: learned over true standard deviation, overall.
      ratio_by_level: [L] the same at each signal level, None where not known.
      worst_deviation: largest |ratio - 1| over the known levels.
    """

    learned: NoiseFacts
    true: NoiseFacts
    ratio: float
    ratio_by_level: list[float | None]
    worst_deviation: float


class SampleComparison(NamedTuple):
    """Whether two sets of LR patches differ.

    Attributes:
      kernel_distance: MMD^2 and its p-value.
      classifier: accuracy in separating them, with its interval.
    """

    kernel_distance: KernelDistance
    classifier: Accuracy


class RealComparison(NamedTuple):
    """Synthesised LR patches compared with real ones.

    Attributes:
      synthesised: real against synthesised patches.
      real: one half of the real photographs against the other: the effect of scenes
        alone. None with fewer than 8 of them.
    """

    synthesised: SampleComparison
    real: SampleComparison | None


@dataclasses.dataclass(frozen=True)
class DegradationReport:
    """Numbers of one learned degradation; None for comparisons that were not possible.

    Attributes:
      kernels: statistics of the learned kernels.
      noise: statistics of the learned noise; None without a noise module.
      true_kernels: against true kernels.
      true_noise: against true noise.
      real_lr: against real LR photographs.
    """

    kernels: KernelStatistics
    noise: NoiseFacts | None
    true_kernels: KernelComparison | None = None
    true_noise: NoiseComparison | None = None
    real_lr: RealComparison | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns nested dicts, lists and numbers; None for non-finite numbers."""
        return {
            field.name: _plain(getattr(self, field.name))
            for field in dataclasses.fields(self)
        }


def measure_degradation(
    pdm: keras.Model,
    photographs: Sequence[np.ndarray],
    *,
    true_kernels: np.ndarray | None = None,
    true_noise: Sequence[tuple[np.ndarray, np.ndarray]] = (),
    real_lr: Sequence[np.ndarray] = (),
    seed: int = 0,
) -> DegradationReport:
    """Measures a degradation model; the same arguments give the same numbers.

    Args:
      pdm: a `degradations.PDM`, as `load_bundle` returns it.
      photographs: HR photographs [H, W, 3] uint8, of the kind it was trained on; up to
        `FAKES` are used, spread over the list.
      true_kernels: [N, K, K], or None.
      true_noise: (clean, noise) [h, w, 3] per image, as `noise_of_pair` gives them:
        including the effect of storing as 8 bits, as in the learned noise.
      real_lr: LR photographs [h, w, 3] uint8 whose degradation is to be learned.
      seed: of latents and patches.

    Raises:
      UserError: no photograph is large enough, or too few kernels or photographs.
    """
    count = KERNELS if true_kernels is None else len(true_kernels)
    crops, frame = _crops(pdm.config, evenly(photographs, FAKES))
    kernels = _drawn(pdm, crops, count, seed)
    fakes, clean, noise = _degraded(pdm, crops, frame, seed)
    facts = None if noise is None else _noise_facts(clean, noise)
    comparison = noise_comparison = reals = None
    try:
        if true_kernels is not None:
            side = max(kernels.shape[1], np.shape(true_kernels)[1]) + 4
            judges = [to_float(x) for x in evenly(photographs, JUDGES)]
            products = window_products(judges, side, pdm.config.scale)
            comparison = compare_kernels(kernels, true_kernels, products, seed=seed)
        if len(true_noise) and noise is not None:
            # Truth is known as files hold it: rounded, and cut off at black and white,
            # where half of the noise is lost. So the learned noise is stored too.
            stored = to_float(np.stack(fakes)) - clean
            noise_comparison = _compare_noise(clean, stored, true_noise)
        if len(real_lr):
            reals = compare_with_real(fakes, evenly(real_lr, REALS), seed)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"The degradation can't be compared: {error}") from error
    statistics = kernel_statistics(kernels)
    return DegradationReport(statistics, facts, comparison, noise_comparison, reals)


def learned_kernels(
    pdm: keras.Model, photographs: Sequence[np.ndarray], count: int, seed: int = 0
) -> np.ndarray:
    """Returns the kernels of `measure_degradation`, [count, K, K] float64.

    Args:
      pdm, photographs, seed: as there.
      count: how many; for the same ones, the number of true kernels.

    Raises:
      UserError: no photograph is large enough.
    """
    crops, _ = _crops(pdm.config, evenly(photographs, FAKES))
    return _drawn(pdm, crops, count, seed)


def _drawn(pdm: keras.Model, crops: np.ndarray, count: int, seed: int) -> np.ndarray:
    return np.asarray(pdm.sample_kernels(count, seed, hr=crops), np.float64)


def compare_with_real(
    fakes_u8: Sequence[np.ndarray], reals_u8: Sequence[np.ndarray], seed: int = 0
) -> RealComparison:
    """Runs two-sample tests between LR images, and between halves of the real ones.

    Args:
      fakes_u8, reals_u8: [h, w, 3] uint8 each, at least 4 of both.
      seed: of patches, permutations and folds.
    """
    fake, fake_owner = _features(fakes_u8, seed)
    real, real_owner = _features(reals_u8, seed)
    between = _two_sample(real, fake, real_owner, fake_owner, seed)
    among = None
    if len(np.unique(real_owner)) >= 8:
        first = real_owner % 2 == 0
        halves = real[first], real[~first], real_owner[first], real_owner[~first]
        among = _two_sample(*halves, seed)
    return RealComparison(between, among)


def _two_sample(
    real: np.ndarray,
    fake: np.ndarray,
    real_owner: np.ndarray,
    fake_owner: np.ndarray,
    seed: int,
) -> SampleComparison:
    sets = real, fake, real_owner, fake_owner
    return SampleComparison(
        kernel_distance(*sets, seed=seed), classifier_accuracy(*sets, seed=seed)
    )


def _features(
    images_u8: Sequence[np.ndarray], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    patches, owner = cut_patches(list(images_u8), PATCHES, seed)
    return patch_features(to_float(patches)), owner


def _crops(config: Any, photographs: Sequence[np.ndarray]) -> tuple[np.ndarray, int]:
    """Cuts HR crops [N, H, W, 3] with context for the blur; returns its LR pixels too.

    Around a crop lies the margin that the blur eats; a blur that mirrors gets as many
    pixels, whose results (the second value, on each side) are cut off again.
    """
    scale, radius = config.scale, config.kernel.kernel_size // 2
    room = config.margin or -(-radius // scale) * scale
    sides = [(min(x.shape[:2]) - 2 * room) // scale for x in photographs]
    usable = [x for x, s in zip(photographs, sides, strict=True) if s >= _LEAST_SIDE]
    if not usable:
        raise UserError(
            "HR photographs must have one of "
            f"{_LEAST_SIDE * scale + 2 * room} pixels a side or more. Received none."
        )
    side = min(LR_SIDE, *(s for s in sides if s >= _LEAST_SIDE))
    crops = np.stack([to_float(_middle(x, side * scale + 2 * room)) for x in usable])
    return crops, 0 if config.margin else room // scale


def _degraded(
    pdm: keras.Model, crops: np.ndarray, frame: int, seed: int
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray | None]:
    """LR images [h, w, 3] uint8, clean LR [B, h, w, 3], noise [B, h, w, C] or None."""
    size = (crops.shape[1] - 2 * pdm.config.margin) // pdm.config.scale
    lr, clean, noise = [], [], []
    for first in range(0, len(crops), _BATCH):
        hr = crops[first : first + _BATCH]
        degraded = pdm.synthesise(hr, tf.constant([seed, first + 1]))
        lr.append(np.asarray(degraded.lr))
        clean.append(np.asarray(degraded.clean_lr))
        if degraded.noise is not None:
            noise.append(np.asarray(degraded.noise))
    inner = slice(frame, size - frame)
    joined = [np.concatenate(x)[:, inner, inner] for x in (lr, clean, noise) if x]
    return list(to_u8(joined[0])), joined[1], joined[2] if noise else None


def _noise_facts(clean: np.ndarray, noise: np.ndarray) -> NoiseFacts:
    cast, own = _split(noise)
    levels = noise_levels(clean, own)
    frequency, spectrum = noise_spectrum(noise)
    return NoiseFacts(
        std=float(own.std()),
        cast=float(np.sqrt(np.square(cast).mean())),
        level=levels.level.tolist(),
        std_by_level=_plain(levels.std),
        frequency=frequency.tolist(),
        spectrum=spectrum.tolist(),
        channel_correlation=_plain(channel_correlation(noise)),
    )


def _compare_noise(
    clean: np.ndarray,
    noise: np.ndarray,
    true_noise: Sequence[tuple[np.ndarray, np.ndarray]],
) -> NoiseComparison:
    """Computes both as stored: an LR image minus the blurred HR image."""
    side = min(min(x.shape[:2]) for x, _ in true_noise)
    true_clean, true = (
        np.stack([_middle(pair[part], side) for pair in true_noise]) for part in (0, 1)
    )
    ours, theirs = _noise_facts(clean, noise), _noise_facts(true_clean, true)
    levels = noise_levels(clean, _split(noise)[1])
    ratios = level_ratios(levels, noise_levels(true_clean, _split(true)[1]))
    return NoiseComparison(
        learned=ours,
        true=theirs,
        ratio=ours.std / theirs.std,
        ratio_by_level=_plain(ratios),
        worst_deviation=float(np.nanmax(np.abs(ratios - 1.0))),
    )


def _split(noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Splits noise into each image's own mean [B, 1, 1, C] and the rest."""
    mean = noise.mean(axis=(1, 2), keepdims=True)
    return mean, noise - mean


def _middle(image: np.ndarray, side: int) -> np.ndarray:
    top, left = ((size - side) // 2 for size in image.shape[:2])
    return image[top : top + side, left : left + side]


def _plain(value: Any) -> Any:
    """Tuples with names as dictionaries, arrays as lists, nan as None."""
    if hasattr(value, "_asdict"):
        return {name: _plain(item) for name, item in value._asdict().items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
