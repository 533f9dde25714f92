"""Samples, measures and scores a run's networks for a report.

The results are arrays and JSON, from which `reporting.run_page` makes a page. Kernels
and patches are drawn from a seed, so that a report can be repeated.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pdm_tf.bundles.bundle import Bundle
from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.images import to_float, to_u8
from pdm_tf.core.kernel_shapes import kernel_moments
from pdm_tf.core.pair_names import USUAL, PairRules
from pdm_tf.core.seeds import stream_seed
from pdm_tf.data.pair_check import displaced, displacement
from pdm_tf.data.pairs import load_pairs
from pdm_tf.data.sources import list_entries
from pdm_tf.evaluation.baseline import baseline_grid, bicubic_upscaler
from pdm_tf.evaluation.degradation import DegradationReport, measure_degradation
from pdm_tf.evaluation.image_set import evenly
from pdm_tf.evaluation.regions import Comparison, compare_region
from pdm_tf.evaluation.results import Item
from pdm_tf.evaluation.runner import Upscaler, evaluate_pairs

METRICS = ("psnr", "ssim", "psnr_shift")
KERNELS = 256
PATCHES = 64
SIDE = 48  # of an LR patch, or less if the images are smaller
_SMALLEST = 8
_PAIRS = 16  # of training, looked at
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
      kernels: [N, K, K] float32, drawn from it; None for one without kernels.
      real_lr_u8: [P, s, s, 3] uint8, patches of observed images, or None.
      fake_lr_u8: [P, s, s, 3] uint8, HR patches that it degraded, rounded to 8 bits.
      clean_lr: [P, s, s, 3] float32, the same before noise.
      noise: [P, s, s, 1 or 3] float32, or None where none can be told.
    """

    kernels: np.ndarray | None
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
      bundle: of a learned degradation.
      hr: photographs to degrade.
      real_lr: photographs it was learned from, if at hand.
      seed: of all that is random.

    Raises:
      UserError: no HR or LR photograph is large enough for a patch.
    """
    network = bundle.network
    margin, scale = network.crop_margin, bundle.scale
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
        network.observe(
            tf.constant(sharp[start : start + _BATCH]), tf.constant((seed, start))
        )
        for start in range(0, PATCHES, _BATCH)
    ]
    has_noise = degraded[0].noise is not None
    kernels = None
    if network.kernel_facts is not None:
        kernels = np.asarray(network.sample_kernels(KERNELS, seed=seed, hr=sharp))
    return DegradationSamples(
        kernels=kernels,
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


class DegradationFindings(NamedTuple):
    """Samples of a learned degradation, and all its measurements.

    Attributes:
      kernels: [N, K, K], drawn from it; None for a network without kernels.
      true_kernels: [M, K, K], the true ones, or None.
      centre_px: offset of a centred kernel from its middle tap, HR pixels.
      one_kernel: whether the settings ask for a single kernel.
      clean_lr: [P, s, s, 3] float, patches before noise.
      noise: [P, s, s, 1 or 3] float, added to them, or what two draws differ in (see
        `Degradation.observe`); None where none can be told.
      fake_lr_u8: [P, s, s, 3] uint8, HR patches that it degraded.
      real_lr_u8: [P, s, s, 3] uint8, patches of observed images, or None.
      measured: `DegradationReport.to_json`; {} if nothing could be measured.
      missing: why something could not be measured, or "".
      untold: "kernels" or "noise" -> why this network has none.
      moved: largest change of the kernels' mean widths and spreads since before any
        training, in parts of the mean width then; None for a network without kernels,
        or that is asked for one kernel.
    """

    kernels: np.ndarray | None
    true_kernels: np.ndarray | None
    centre_px: float
    one_kernel: bool
    clean_lr: np.ndarray
    noise: np.ndarray | None
    fake_lr_u8: np.ndarray
    real_lr_u8: np.ndarray | None
    measured: dict[str, Any]
    missing: str
    untold: Mapping[str, str]
    moved: float | None = None


@dataclasses.dataclass(frozen=True)
class MadePair:
    """A pair that was made and is in no file; an `Item` of an evaluation."""

    name: str
    hr_u8: np.ndarray
    lr_u8: np.ndarray

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        return self.hr_u8, self.lr_u8


@dataclasses.dataclass(frozen=True)
class Pairs:
    """Pairs to score a network on.

    Attributes:
      place: their origin, in words.
      available: how many there are.
      items: those to score.
      problems: (name, reason) of files that are in no pair.
      grid: where LR pixels lie, if that is known.
    """

    place: str
    available: int
    items: Sequence[Item]
    problems: Sequence[tuple[str, str]]
    grid: str | None

    def lr_photographs(self) -> Photographs:
        """The LR images of the pairs that can be read."""
        names, images = [], []
        for item in self.items:
            try:
                images.append(item.load()[1])
                names.append(item.name)
            except ImageError:
                continue  # named when it is scored
        return Photographs(self.place, self.available, tuple(names), tuple(images), ())


class PairScores(NamedTuple):
    """Scores on pairs.

    Attributes:
      report: `EvaluationResult.to_report`.
      problems: (name, reason) of unusable images.
    """

    report: dict[str, Any]
    problems: Sequence[tuple[str, str]]


def degradation_findings(
    bundle: Bundle,
    hr: Photographs,
    real_lr: Photographs | None,
    true_kernels: np.ndarray | None,
    seed: int,
) -> DegradationFindings:
    """Draws from a learned degradation, and measures it.

    Args:
      bundle: of a learned degradation.
      hr: photographs to degrade.
      real_lr: photographs it was learned from, if at hand.
      true_kernels: [N, K, K], or None.
      seed: of everything drawn.

    Raises:
      UserError: no photograph is large enough for a patch.
    """
    drawn = sample_degradation(bundle, hr, real_lr, seed=seed)
    report, missing = _measured(bundle, hr, real_lr, true_kernels, seed)
    facts = bundle.network.kernel_facts
    return DegradationFindings(
        kernels=drawn.kernels,
        true_kernels=true_kernels,
        centre_px=facts.centre_px if facts else 0.0,
        one_kernel=bool(facts and facts.single),
        clean_lr=drawn.clean_lr,
        noise=drawn.noise,
        fake_lr_u8=drawn.fake_lr_u8,
        real_lr_u8=drawn.real_lr_u8,
        measured=report.to_json() if report else {},
        missing=missing,
        untold=dict(bundle.network.untold),
        moved=None
        if drawn.kernels is None or facts.single
        else _moved(bundle, drawn.kernels, hr, seed),
    )


def _moved(bundle: Bundle, kernels: np.ndarray, hr: Photographs, seed: int) -> float:
    """How far kernels are from those that the network's settings start with."""
    fresh = bundle.config.build()
    needed = SIDE * bundle.scale + 2 * fresh.crop_margin
    needed = min(needed, _largest_side(hr))
    sharp = to_float(random_patches(hr.images_u8, needed, 4, seed, "report/hr"))
    started = np.asarray(fresh.sample_kernels(len(kernels), seed=seed, hr=sharp))
    now, then = (kernel_moments(some).sigma for some in (kernels, started))
    scale = then.mean()
    changes = [
        abs(of(now, axis=0) - of(then, axis=0)).max() for of in (np.mean, np.std)
    ]
    return float(max(changes) / scale)


def compare_regions(
    upscale: Upscaler, scale: int, grid: str, photographs: Photographs, count: int
) -> list[Comparison]:
    """Upscales the most textured region of some photographs, evenly chosen by name.

    Args:
      upscale: of the network.
      scale: its factor.
      grid: where it puts LR pixels, and bicubic too.
      photographs: LR ones.
      count: of how many.
    """
    available = len(photographs.names)
    chosen = np.linspace(0, available - 1, min(count, available)).round().astype(int)
    bicubic = bicubic_upscaler(scale, grid)
    return [
        compare_region(
            photographs.names[i], photographs.images_u8[i], scale, upscale, bicubic
        )
        for i in chosen
    ]


def open_pairs(
    hr_dir: str,
    lr_dir: str,
    scale: int,
    limit: int = 0,
    rules: PairRules = USUAL,
) -> Pairs:
    """Opens the pairs of two folders.

    Args:
      hr_dir, lr_dir: the folders.
      scale: HR size / LR size.
      limit: pairs at most, the first by name; 0: all.
      rules: what the person says of the pairs.

    Raises:
      UserError: no pairs.
    """
    found = load_pairs(hr_dir, lr_dir, scale, rules=rules)
    return Pairs(
        f"{hr_dir} and {lr_dir}",
        len(found.pairs),
        found.pairs[: limit or None],
        found.problems,
        found.grid,
    )


def score_pairs(upscale: Upscaler, scale: int, pairs: Pairs) -> PairScores:
    """Scores on pairs, beside bicubic.

    Args:
      upscale: of the network.
      scale: its factor.
      pairs: to score on.

    Returns:
      Its report has "displaced", a sentence, if the pairs do not lie on their grid.

    Raises:
      UserError: none can be used.
    """
    places = []
    result = evaluate_pairs(
        upscale,
        pairs.items,
        metrics=METRICS,
        crop_border=scale,
        scale=scale,
        grid=baseline_grid(pairs.items, scale, recorded=pairs.grid),
        progress=True,
        on_image=lambda image: places.append(image.displacement),
    )
    report = result.to_report()
    if beside := displaced(places, scale, pairs.grid, "validation pairs"):
        report["displaced"] = beside
    return PairScores(report, [*pairs.problems, *result.problems])


def displaced_in_training(pairs: Pairs, scale: int, grid: str | None) -> str:
    """A sentence on pairs of training that do not lie on their grid; "" if they do.

    Args:
      pairs: of training; some are read, evenly by name.
      scale: HR size / LR size.
      grid: that training was told; None: what is recorded with the pairs.
    """
    places = []
    for item in evenly(pairs.items, _PAIRS):
        try:
            places.append(displacement(*item.load()))
        except ImageError:
            continue  # named by training
    return displaced(places, scale, grid or pairs.grid, "pairs of training")


def _measured(
    bundle: Bundle,
    hr: Photographs,
    real_lr: Photographs | None,
    true_kernels: np.ndarray | None,
    seed: int,
) -> tuple[DegradationReport | None, str]:
    """Returns all metrics, or those without comparisons, and why some are missing."""
    network, photographs = bundle.network, hr.images_u8
    try:
        report = measure_degradation(
            network,
            photographs,
            true_kernels=true_kernels,
            real_lr=real_lr.images_u8 if real_lr else (),
            seed=seed,
        )
        return report, ""
    except UserError as error:
        missing = str(error)
    try:
        return measure_degradation(network, photographs, seed=seed), missing
    except UserError as error:
        return None, str(error)
