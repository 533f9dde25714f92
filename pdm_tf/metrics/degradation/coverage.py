"""Coverage of the true kernels by the learned ones, measured on blurred images.

Distance between two kernels: root mean square difference of the LR images that they
make of given HR photographs, in units of the image range. With d = a - b and C the mean
outer product of the photographs' K x K windows at the LR pixels,

    mean_p (sum_t d_t x_p+t)^2 = d^T C d,

so C is computed once, every pair of kernels costs a quadratic form, and the result
equals that of blurring. Differences that photographs do not show do not count.

Kernels are centred first (`centred`): unpaired training cannot see a translation, and
a kernel's position is measured separately. So the distance ignores whole-pixel
translations entirely, and sub-pixel ones up to the error of interpolation.

Coverage and density: Naeem et al. 2020 (arXiv:2002.09797), Eqs. 4 and 5, with
k = 5 as they recommend. A true kernel counts as covered when a learned one is no
further from it than its k-th nearest true neighbour: the threshold is the true
distribution's own spacing, not a number chosen here. As many fresh true kernels reach
about 1 - 2^-k = 0.97.

*Yardsticks* (`compare_kernels`). A coverage of 0.6 says little alone. So the true set
is halved at random: one half is the reference; the other half, "fresh", stands for the
draws of a perfect model; the best single fixed kernel for the best collapsed one. As
many learned kernels as fresh ones are used. All numbers are means over several
halvings.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from pdm_tf.core.kernel_shapes import kernel_moments, normalised, second_moments
from pdm_tf.metrics.degradation.moments import (
    MomentSpread,
    assignment_distance,
    bures_distances,
    moment_spread,
    spread_ratio,
)

NEIGHBOURS = 5
_ROOM = 2  # taps on each side that interpolation spreads into
SPLITS = 8  # halvings of the true kernels


def centred(kernels: np.ndarray) -> np.ndarray:
    """Moves every kernel's centre of mass to the middle tap.

    By cubic interpolation (Keys 1981, a = -1/2), which reproduces quadratics: the shift
    is exact and the second moments stay as they were, where linear interpolation would
    widen the kernel. Some taps become slightly negative.

    Args:
      kernels: [N, K, K] as for `kernel_moments`.

    Returns:
      [N, K+4, K+4] float64 of sum 1. Mass that leaves this window is cut and the rest
      scaled up: only for kernels pushed against a border.
    """
    kernels, offset = normalised(kernels), kernel_moments(kernels).offset
    side = kernels.shape[1]
    out = np.arange(side + 2 * _ROOM) - (side // 2 + _ROOM)
    place = np.arange(side) - side // 2
    # Tap `place` of the kernel comes to lie at place - offset.
    rows, columns = (
        _keys(out[None, :, None] - place[None, None, :] + offset[:, axis, None, None])
        for axis in (0, 1)
    )
    moved = rows @ kernels @ columns.transpose(0, 2, 1)
    return moved / moved.sum(axis=(1, 2), keepdims=True)


def _keys(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -1/2."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x**2 + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1.0, near, np.where(x < 2.0, far, 0.0))


def window_products(
    photographs: Iterable[np.ndarray], side: int, scale: int
) -> np.ndarray:
    """Mean outer product of the windows that kernels see, C of the head of this file.

    Args:
      photographs: [H, W, 3] float in [0, 1] each; those smaller than a window in one
        direction have none.
      side: side of the windows, odd: that of `centred` kernels.
      scale: every scale-th window in both directions, as LR pixels.

    Returns:
      [side^2, side^2] float64, over all channels.

    Raises:
      ValueError: no photograph has a window.
    """
    large = [x for x in photographs if min(x.shape[:2]) >= side]
    if not large:
        raise ValueError(
            "`photographs` must have one of at least "
            f"{side} x {side} pixels. Received none."
        )
    total, count = np.zeros([side**2, side**2]), 0
    for photograph in large:
        windows = np.lib.stride_tricks.sliding_window_view(
            np.asarray(photograph, np.float64), (side, side), axis=(0, 1)
        )[::scale, ::scale]
        flat = windows.reshape(-1, side**2)
        total += flat.T @ flat
        count += len(flat)
    return total / count


def kernel_distances(
    first: np.ndarray, second: np.ndarray, products: np.ndarray
) -> np.ndarray:
    """RMS differences of the LR images that kernels make.

    Args:
      first: [N, L, L], second: [M, L, L], `centred` (or not, where places matter).
      products: [L^2, L^2] of `window_products`.

    Returns:
      [N, M] float64, in units of the image range.

    Raises:
      ValueError: the sides do not fit.
    """
    taps = [np.reshape(x, [len(x), -1]) for x in (first, second)]
    if not taps[0].shape[1] == taps[1].shape[1] == len(products):
        raise ValueError(
            "Kernels and window products must have one size. Received: "
            f"{first.shape}, {second.shape} and {products.shape}."
        )
    # About the mean, which no difference sees: |a|^2 + |b|^2 - 2ab of the kernels
    # themselves would lose its digits.
    middle = np.concatenate(taps).mean(axis=0)
    a, b = (x - middle for x in taps)
    of_a, of_b = a @ products, b @ products
    squares = np.add.outer(np.sum(of_a * a, axis=1), np.sum(of_b * b, axis=1))
    return np.sqrt((squares - 2.0 * of_a @ b.T).clip(0.0))


def resized(kernels: np.ndarray, side: int) -> np.ndarray:
    """[N, K, K] with zeros around them, to a larger odd side."""
    room = (side - kernels.shape[1]) // 2
    return np.pad(kernels, [(0, 0), (room, room), (room, room)])


class Coverage(NamedTuple):
    """Coverage and density of a reference set by another one.

    Attributes:
      coverage: share of reference kernels with another's kernel within their radius.
      density: mean number of radii that one of the others lies within, over k; near 1
        for equal distributions, larger where the others crowd in dense regions.
    """

    coverage: float
    density: float


def neighbour_radii(within: np.ndarray, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """Distance of each to its k-th nearest neighbour in its own set.

    Args:
      within: [N, N] distances within the reference set.
      neighbours: k, itself not counted.

    Raises:
      ValueError: fewer than k + 1 of them.
    """
    if len(within) <= neighbours:
        raise ValueError(
            f"The reference set must have more than {neighbours} kernels. "
            f"Received: {len(within)}."
        )
    others = within + np.where(np.eye(len(within), dtype=bool), np.inf, 0.0)
    return np.sort(others, axis=1)[:, neighbours - 1]


def coverage(
    within: np.ndarray, across: np.ndarray, neighbours: int = NEIGHBOURS
) -> Coverage:
    """Coverage and density of a reference set.

    Args:
      within: [N, N] distances within the reference set (true kernels).
      across: [N, M] distances from it to the other set (learned kernels).
      neighbours: k.
    """
    inside = across <= neighbour_radii(within, neighbours)[:, None]
    return Coverage(
        coverage=float(inside.any(axis=1).mean()),
        density=float(inside.sum(axis=0).mean() / neighbours),
    )


def best_single(
    within: np.ndarray, candidates: np.ndarray, neighbours: int = NEIGHBOURS
) -> tuple[int, Coverage]:
    """Finds the one fixed kernel that covers most, as the best collapsed model would.

    Args:
      within: [N, N] distances within the reference set.
      candidates: [N, C] distances from it to the kernels to choose from.
      neighbours: k.

    Returns:
      (index of the candidate, its coverage and density).
    """
    inside = candidates <= neighbour_radii(within, neighbours)[:, None]
    best = int(inside.mean(axis=0).argmax())
    return best, coverage(within, candidates[:, best : best + 1], neighbours)


class Standing(NamedTuple):
    """The relation of one set of kernels to the reference.

    Attributes:
      coverage: share of reference kernels that are covered (see `coverage`).
      density: see `coverage`.
      moment_distance_px: 2-Wasserstein distance of second moments, HR px.
      coverage_std: standard deviation of the coverage over the halvings.
      moment_distance_px_std: likewise for the distance.
    """

    coverage: float
    density: float
    moment_distance_px: float
    coverage_std: float
    moment_distance_px_std: float


class KernelComparison(NamedTuple):
    """Learned kernels compared with the yardsticks.

    Attributes:
      count: kernels in each half.
      neighbours: k of the coverage.
      learned: the learned kernels.
      best_single: the one kernel that does best, chosen for each number by itself from
        all true kernels (reference included) and their mean: an upper bound.
      fresh: as many other true kernels.
      spread_ratio: learned over true standard deviations of the widths.
      spread_px, true_spread_px: the two standard deviations, HR px.
      radius: median radius of a reference kernel, RMS of the LR images' difference in
        units of 1/255.
    """

    count: int
    neighbours: int
    learned: Standing
    best_single: Standing
    fresh: Standing
    spread_ratio: MomentSpread
    spread_px: MomentSpread
    true_spread_px: MomentSpread
    radius: float


def compare_kernels(
    learned: np.ndarray,
    true: np.ndarray,
    products: np.ndarray,
    *,
    neighbours: int = NEIGHBOURS,
    seed: int = 0,
) -> KernelComparison:
    """Coverage, density, distance and spread, with yardsticks.

    Args:
      learned: [M, K, K] kernels, M at least N / 2.
      true: [N, K', K'] kernels, N at least 2 * (neighbours + 1).
      products: `window_products` of the photographs to judge on, for windows of the
        larger of K and K' plus 4.
      neighbours: k of the coverage.
      seed: of them.

    Raises:
      ValueError: too few kernels.
    """
    half = len(true) // 2
    if half <= neighbours or len(learned) < half:
        raise ValueError(
            f"Needed are {2 * (neighbours + 1)} true kernels or more and at least half "
            f"as many learned ones. Received: {len(true)} and {len(learned)}."
        )
    side = max(learned.shape[1], true.shape[1])
    ours, theirs = (centred(resized(kernels, side)) for kernels in (learned, true))
    single = np.concatenate([theirs, theirs.mean(axis=0, keepdims=True)])
    to_true, to_ours = (
        kernel_distances(theirs, kernels, products) for kernels in (single, ours)
    )
    # Second moments before centring: the same, and of kernels without negative taps.
    moments = second_moments(true)
    apart = bures_distances(moments, moments)
    apart_ours = bures_distances(moments, second_moments(learned))
    random = np.random.default_rng(seed)
    rows: dict[str, list] = {"learned": [], "best_single": [], "fresh": []}
    radii = []
    for _ in range(SPLITS):
        order = random.permutation(len(true))
        reference, fresh = order[:half], order[half : 2 * half]
        drawn = random.permutation(len(learned))[:half]
        within = to_true[np.ix_(reference, reference)]
        radii.append(np.median(np.sort(within, axis=1)[:, neighbours]))

        def standing(covered: Coverage, distance: float) -> tuple:
            return covered.coverage, covered.density, distance

        for name, across, ground in (
            ("learned", to_ours[np.ix_(reference, drawn)], apart_ours[:, drawn]),
            ("fresh", to_true[np.ix_(reference, fresh)], apart[:, fresh]),
        ):
            covered = coverage(within, across, neighbours)
            distance = assignment_distance(ground[reference])
            rows[name].append(standing(covered, distance))
        _, covered = best_single(within, to_true[reference], neighbours)
        alone = np.sqrt(np.square(apart[reference]).mean(axis=0)).min()
        rows["best_single"].append(standing(covered, alone))
    return KernelComparison(
        count=half,
        neighbours=neighbours,
        **{name: _standing(np.array(values)) for name, values in rows.items()},
        spread_ratio=spread_ratio(learned, true),
        spread_px=moment_spread(learned),
        true_spread_px=moment_spread(true),
        radius=float(np.mean(radii) * 255.0),
    )


def _standing(rows: np.ndarray) -> Standing:
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    return Standing(*map(float, [*mean, deviation[0], deviation[2]]))
