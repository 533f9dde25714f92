"""Distances between sets of kernels against SciPy's general formulas."""

import itertools

import numpy as np
import pytest
from scipy.linalg import sqrtm

from pdm_tf.core.kernel_shapes import second_moments
from pdm_tf.metrics.degradation.moments import (
    assignment_distance,
    bures_distances,
    kernel_statistics,
    moment_spread,
    spread_ratio,
)
from tests.oracles.kernel_oracle import gaussian


def moment_distance(learned, true):
    """2-Wasserstein distance of the second moments, as `compare_kernels` takes it."""
    moments = second_moments(learned), second_moments(true)
    return assignment_distance(bures_distances(*moments))


def _covariances(count, seed):
    root = np.random.default_rng(seed).normal(size=[count, 2, 2])
    return root @ root.transpose(0, 2, 1)


def test_bures_distance_is_that_of_the_matrix_formula():
    first, second = _covariances(5, 0), _covariances(4, 1)
    found = bures_distances(first, second)
    for (i, a), (j, b) in itertools.product(enumerate(first), enumerate(second)):
        root = sqrtm(a)
        square = np.trace(a + b - 2 * np.real(sqrtm(root @ b @ root)))
        assert found[i, j] == pytest.approx(np.sqrt(square), abs=1e-7)
    points = np.zeros([1, 2, 2])  # a delta: the distance is the other's own size
    np.testing.assert_allclose(
        bures_distances(points, first)[0] ** 2, np.trace(first, axis1=1, axis2=2)
    )


def test_assignment_is_the_best_of_all_permutations():
    distances = np.random.default_rng(0).uniform(size=[6, 6])
    best = min(
        np.mean([distances[i, j] ** 2 for i, j in enumerate(order)])
        for order in itertools.permutations(range(6))
    )
    assert assignment_distance(distances) == pytest.approx(np.sqrt(best), abs=1e-12)
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        assignment_distance(np.zeros([3, 4]))


def test_moment_distance_has_the_unit_of_a_width():
    """Every kernel 0.5 px wider in both directions: sqrt(2) * 0.5; order is nothing;
    places are nothing; a turn of all by 90 degrees is something."""
    widths = np.linspace(1.0, 2.0, 6)
    first = np.stack([gaussian(w, w) for w in widths])
    wider = np.stack([gaussian(w + 0.5, w + 0.5, dy=1.0) for w in widths[::-1]])
    assert moment_distance(wider, first) == pytest.approx(0.5 * np.sqrt(2), rel=0.01)
    assert moment_distance(first, first[::-1]) == pytest.approx(0.0, abs=1e-6)
    along, across = gaussian(3.0, 1.0)[None], gaussian(3.0, 1.0, np.pi / 2)[None]
    assert moment_distance(along, across) == pytest.approx(2.0 * np.sqrt(2), rel=0.01)


def test_spread_ratio_sees_what_varies():
    """Half as much variation is 0.5; turning kernels vary only as matrices."""
    true = np.stack([gaussian(1.5 + w, 1.0 + w / 2) for w in (-0.4, 0.0, 0.4)])
    half = np.stack([gaussian(1.5 + w, 1.0 + w / 2) for w in (-0.2, 0.0, 0.2)])
    np.testing.assert_allclose(spread_ratio(half, true), [0.5] * 3, rtol=0.05)
    one = np.stack([true[0]] * 3)
    np.testing.assert_allclose(spread_ratio(one, true), [0.0] * 3, atol=1e-9)
    with pytest.raises(ValueError, match="must differ"):
        spread_ratio(true, one)
    angles = np.arange(8) * np.pi / 8
    turned = moment_spread(np.stack([gaussian(2.0, 1.0, a) for a in angles]))
    assert max(turned.long, turned.short) < 0.01
    # The root is 1.5 I + 0.5 (cos 2a, sin 2a): Frobenius sqrt(2) * 0.5 from its mean.
    assert turned.oriented == pytest.approx(np.sqrt(2) * 0.5, rel=0.01)


def test_kernel_statistics_of_known_kernels():
    delta = np.zeros([2, 5, 5])
    delta[0, 2, 2] = delta[1, 0, 3] = 1.0
    found = kernel_statistics(delta)
    assert found.entropy == 0.0 and found.largest_tap == 1.0
    assert found.border_mass == 0.5 and found.centroid == (-1.0, 0.5)
    assert found.centroid_std == (1.0, 0.5) and found.spread == (0.0, 0.0, 0.0)
    box = kernel_statistics(np.ones([1, 5, 5]))
    assert box.entropy == pytest.approx(np.log(25))
    assert box.border_mass == pytest.approx(16 / 25)
    assert box.width == pytest.approx((np.sqrt(2), np.sqrt(2)))
