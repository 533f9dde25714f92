"""Learned kernels against true ones, beside what could be reached at all.

A coverage of 0.6 says little alone. So the true set is halved at random: one half is
the reference; the other half, "fresh", is what a perfect model would draw; the best
single fixed kernel is what a collapsed one can reach. As many learned kernels as fresh
ones are used. All numbers are means over several halvings.
"""

from typing import NamedTuple

import numpy as np

from pdm_tf.core.kernel_shapes import second_moments
from pdm_tf.metrics.degradation.coverage import (
    NEIGHBOURS,
    Coverage,
    best_single,
    centred,
    coverage,
    kernel_distances,
    resized,
)
from pdm_tf.metrics.degradation.moments import (
    MomentSpread,
    assignment_distance,
    bures_distances,
    moment_spread,
    spread_ratio,
)

SPLITS = 8


class Standing(NamedTuple):
    """How one set of kernels stands to the reference.

    Attributes:
      coverage: share of reference kernels that are covered (see `coverage`).
      density: see `coverage`.
      moment_distance_px: 2-Wasserstein distance of second moments, HR px.
      coverage_std: standard deviation of the coverage over the halvings.
      moment_distance_px_std: the same of the distance.
    """

    coverage: float
    density: float
    moment_distance_px: float
    coverage_std: float
    moment_distance_px_std: float


class KernelComparison(NamedTuple):
    """Learned kernels beside the yardsticks.

    Attributes:
      count: kernels in each half.
      neighbours: k of the coverage.
      learned: the learned kernels.
      best_single: the one kernel that does best, chosen for each number by itself from
        all true kernels (reference included) and their mean: an upper bound.
      fresh: as many other true kernels.
      spread_ratio: learned over true standard deviations of the widths.
      spread_px, true_spread_px: both by themselves, HR px.
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
    splits: int = SPLITS,
    seed: int = 0,
) -> KernelComparison:
    """Coverage, density, distance and spread, with yardsticks.

    Args:
      learned: [M, K, K] kernels, M at least N / 2.
      true: [N, K', K'] kernels, N at least 2 * (neighbours + 1).
      products: `window_products` of the photographs to judge on, for windows of the
        larger of K and K' plus 4.
      neighbours: k of the coverage.
      splits: halvings.
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
    for _ in range(splits):
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
