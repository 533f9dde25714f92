"""Measures everything about a learned degradation, as JSON-ready numbers.

`measure_degradation` samples a degradation on given HR photographs and describes its
kernels, its noise and what its LR images keep of the photographs; given true kernels,
true noise or real LR photographs it also compares with those. What a network does not
have (`Degradation.untold`) is None, and the reason is in `DegradationReport.reasons`.
The metrics themselves are in `metrics/degradation/`.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import to_float, to_u8
from pdm_tf.core.lr_fidelity import LRFidelity, lr_fidelity
from pdm_tf.degradations.base import Degradation
from pdm_tf.evaluation.image_set import evenly
from pdm_tf.metrics.degradation.coverage import (
    KernelComparison,
    compare_kernels,
    window_products,
)
from pdm_tf.metrics.degradation.effective import effective_kernel
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
# Effective kernels estimated, each on an LR image of this side: enough for a coverage
# to within 0.05, in seconds.
ESTIMATES = 64
_ESTIMATE_SIDE = 48
_LEAST_SIDE = 20
# LR pixels cut off each side of what a network without kernels makes of a crop, if it
# sees as far: it takes what lies beyond for zero, which is no property of what it has
# learned.
_FRAME = 8
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
      kernels: statistics of the learned kernels; None for a network without any.
      noise: statistics of the learned noise, as `Degradation.observe` tells it.
      fidelity: the LR images against the reduced photographs.
      true_kernels: against true kernels.
      estimated_kernels: estimates of the linear kernels that explain the LR images best
        (`metrics.degradation.effective`), against up to twice `ESTIMATES` of the true
        kernels: for every degradation, to compare those with kernels and without.
      true_noise: against true noise.
      real_lr: against real LR photographs.
      reasons: "kernels", "noise", "true_kernels" or "true_noise" -> why the network
        cannot have it; empty for one that has everything.
    """

    kernels: KernelStatistics | None
    noise: NoiseFacts | None
    fidelity: LRFidelity
    true_kernels: KernelComparison | None = None
    estimated_kernels: KernelComparison | None = None
    true_noise: NoiseComparison | None = None
    real_lr: RealComparison | None = None
    reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns nested dicts, lists and numbers; None for non-finite numbers."""
        return {
            field.name: _plain(getattr(self, field.name))
            for field in dataclasses.fields(self)
        }


def measure_degradation(
    degradation: Degradation,
    photographs: Sequence[np.ndarray],
    *,
    true_kernels: np.ndarray | None = None,
    true_noise: Sequence[tuple[np.ndarray, np.ndarray]] = (),
    real_lr: Sequence[np.ndarray] = (),
    seed: int = 0,
) -> DegradationReport:
    """Measures a degradation; the same arguments give the same numbers.

    Args:
      degradation: learned, as `load_bundle` returns its network.
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
    crops, frame = _crops(degradation, evenly(photographs, FAKES))
    kernels = None
    if degradation.kernel_facts is not None:
        count = KERNELS if true_kernels is None else len(true_kernels)
        kernels = _drawn(degradation, crops, count, seed)
    seen = _degraded(degradation, crops, frame, seed)
    clean, noise = seen.clean, seen.noise
    comparison = estimated = noise_comparison = reals = None
    try:
        if true_kernels is not None:
            judges = [to_float(x) for x in evenly(photographs, JUDGES)]
            compare = _Against(true_kernels, judges, degradation.scale, seed)
            comparison = None if kernels is None else compare(kernels)
            estimates = _estimated(degradation, photographs, true_kernels, seed)
            if estimates is not None:
                compare = compare.thinned(2 * len(estimates))
                estimated = compare(estimates)
        if len(true_noise) and noise is not None:
            noise_comparison = _compare_noise(clean, seen.stored_noise, true_noise)
        if len(real_lr):
            reals = compare_with_real(seen.lr_u8, evenly(real_lr, REALS), seed)
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"The degradation can't be compared: {error}") from error
    reasons = dict(degradation.untold)
    reasons |= {f"true_{name}": reason for name, reason in reasons.items()}
    return DegradationReport(
        kernels=None if kernels is None else kernel_statistics(kernels),
        noise=None if noise is None else _noise_facts(clean, noise),
        fidelity=lr_fidelity(
            to_float(np.stack(seen.lr_u8)), seen.hr, degradation.scale, degradation.grid
        ),
        true_kernels=comparison,
        estimated_kernels=estimated,
        true_noise=noise_comparison,
        real_lr=reals,
        reasons=reasons,
    )


def synthesised(
    degradation: Degradation, photographs: Sequence[np.ndarray], seed: int = 0
) -> list[np.ndarray]:
    """LR images [h, w, 3] uint8 of up to `FAKES` photographs, as they are tested.

    Args:
      degradation, photographs, seed: as of `measure_degradation`.

    Raises:
      UserError: no photograph is large enough.
    """
    crops, frame = _crops(degradation, evenly(photographs, FAKES))
    return _degraded(degradation, crops, frame, seed).lr_u8


class _Against(NamedTuple):
    """Compares kernels with true ones, judged on photographs [H, W, 3] float."""

    true: np.ndarray
    judges: Sequence[np.ndarray]
    scale: int
    seed: int

    def __call__(self, kernels: np.ndarray) -> KernelComparison:
        side = max(kernels.shape[1], np.shape(self.true)[1]) + 4
        products = window_products(self.judges, side, self.scale)
        return compare_kernels(kernels, self.true, products, seed=self.seed)

    def thinned(self, count: int) -> "_Against":
        """The same with `count` of the true kernels at most."""
        return self._replace(true=np.stack(evenly(self.true, count)))


def _estimated(
    degradation: Degradation,
    photographs: Sequence[np.ndarray],
    true_kernels: np.ndarray,
    seed: int,
) -> np.ndarray | None:
    """Effective kernels [N, K, K], each of a draw of its own at a place of its own.

    None where no photograph is large enough.
    """
    scale, own = degradation.scale, degradation.crop_margin
    side = np.shape(true_kernels)[1]
    around = -(-(side // 2 + scale) // scale)  # LR pixels that an estimate sees beyond
    frame = max(_frame(degradation), around - own // scale, 1)
    needed = (_ESTIMATE_SIDE + 2 * frame) * scale + 2 * own
    usable = [x for x in photographs if min(x.shape[:2]) >= needed]
    if not usable:
        return None
    draw = np.random.default_rng(seed)
    count = min(ESTIMATES, len(true_kernels) // 2)
    found = []
    for first in range(0, count, _BATCH):
        crops = []
        for index in range(first, min(first + _BATCH, count)):
            image = usable[index % len(usable)]
            top, left = (draw.integers(0, n - needed + 1) for n in image.shape[:2])
            crops.append(image[top : top + needed, left : left + needed])
        hr = to_float(np.stack(crops))
        degraded = degradation.synthesise(tf.constant(hr), tf.constant([seed, first]))
        lr = to_float(to_u8(degraded.lr.numpy()))[:, frame:-frame, frame:-frame]
        found += [
            effective_kernel(x, y, side, scale, degradation.grid)
            for x, y in zip(hr, lr, strict=True)
        ]
    return np.stack(found)


def learned_kernels(
    degradation: Degradation,
    photographs: Sequence[np.ndarray],
    count: int,
    seed: int = 0,
) -> np.ndarray | None:
    """Returns the kernels of `measure_degradation`, [count, K, K] float64.

    Args:
      degradation, photographs, seed: as there.
      count: how many; for the same ones, the number of true kernels.

    Returns:
      None for a network without kernels.

    Raises:
      UserError: no photograph is large enough.
    """
    if degradation.kernel_facts is None:
        return None
    crops, _ = _crops(degradation, evenly(photographs, FAKES))
    return _drawn(degradation, crops, count, seed)


def _drawn(
    degradation: Degradation, crops: np.ndarray, count: int, seed: int
) -> np.ndarray:
    return np.asarray(degradation.sample_kernels(count, seed, hr=crops), np.float64)


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


def _crops(
    degradation: Degradation, photographs: Sequence[np.ndarray]
) -> tuple[np.ndarray, int]:
    """Cuts HR crops [N, H, W, 3] with context for the blur; returns its LR pixels too.

    Around a crop lies the margin that the blur eats. A blur that mirrors gets as many
    pixels, and a network that sees further up to `_FRAME` LR pixels, whose results (the
    second value, on each side) are cut off again.
    """
    scale, own, frame = degradation.scale, degradation.crop_margin, _frame(degradation)
    room = own + frame * scale
    sides = [(min(x.shape[:2]) - 2 * room) // scale for x in photographs]
    usable = [x for x, s in zip(photographs, sides, strict=True) if s >= _LEAST_SIDE]
    if not usable:
        raise UserError(
            "HR photographs must have one of "
            f"{_LEAST_SIDE * scale + 2 * room} pixels a side or more. Received none."
        )
    side = min(LR_SIDE, *(s for s in sides if s >= _LEAST_SIDE))
    crops = np.stack([to_float(_middle(x, side * scale + 2 * room)) for x in usable])
    return crops, frame


def _frame(degradation: Degradation) -> int:
    """LR pixels on each side of a crop's image that are not the degradation's own."""
    mirrored = degradation.margin - degradation.crop_margin
    frame = -(-mirrored // degradation.scale)
    if degradation.kernel_facts is None:
        frame = max(frame, min(_FRAME, degradation.context or 0))
    return frame


class _Seen(NamedTuple):
    """What a degradation makes of crops, without their frame.

    Attributes:
      hr: [B, h * s, w * s, 3] float, the photographs.
      lr_u8: LR images [h, w, 3] uint8.
      clean: [B, h, w, 3] float, before the noise.
      noise: [B, h, w, C] float, or None.
      adds: whether the noise is what is added to the clean image; else it is what two
        draws differ in, see `Degradation.observe`.
    """

    hr: np.ndarray
    lr_u8: list[np.ndarray]
    clean: np.ndarray
    noise: np.ndarray | None
    adds: bool

    @property
    def stored_noise(self) -> np.ndarray:
        """The noise of the LR images as 8 bits hold them.

        Truth is known as files hold it: rounded, and cut off at black and white, where
        half of the noise is lost. So the learned noise is stored too.
        """
        if self.adds:
            return to_float(np.stack(self.lr_u8)) - self.clean
        # clean = (a + b) / 2 and noise = (a - b) / sqrt(2), hence a and b.
        half = self.noise / math.sqrt(2.0)
        first, second = (
            to_float(to_u8(x)) for x in (self.clean + half, self.clean - half)
        )
        return (first - second) / math.sqrt(2.0)


def _degraded(
    degradation: Degradation, crops: np.ndarray, frame: int, seed: int
) -> _Seen:
    """Degrades the crops; `frame` LR pixels of each side are cut off."""
    scale, own = degradation.scale, degradation.crop_margin
    size = (crops.shape[1] - 2 * own) // scale
    lr, clean, noise = [], [], []
    for first in range(0, len(crops), _BATCH):
        hr = crops[first : first + _BATCH]
        degraded = degradation.observe(tf.constant(hr), tf.constant([seed, first + 1]))
        lr.append(np.asarray(degraded.lr))
        clean.append(np.asarray(degraded.clean_lr))
        if degraded.noise is not None:
            noise.append(np.asarray(degraded.noise))
    inner = slice(frame, size - frame)
    joined = [np.concatenate(x)[:, inner, inner] for x in (lr, clean, noise) if x]
    shown = slice(own + frame * scale, own + (size - frame) * scale)
    return _Seen(
        crops[:, shown, shown],
        list(to_u8(joined[0])),
        joined[1],
        joined[2] if noise else None,
        degradation.kernel_facts is not None,
    )


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
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if hasattr(value, "_asdict"):
        return {name: _plain(item) for name, item in value._asdict().items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
