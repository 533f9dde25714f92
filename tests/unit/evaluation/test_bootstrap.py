"""Bootstrap intervals: the definition, pairs, and the edges."""

import math

import numpy as np
import pytest

from pdm_tf.evaluation.bootstrap import (
    bootstrap_interval,
    intervals_of,
    paired_interval,
    share_interval,
)
from tests.oracles import bootstrap_oracle


def skewed(count, seed):
    return np.random.default_rng(seed).gamma(1.5, 2.0, count) + 20


def test_equals_the_definition_on_the_same_draws():
    """Catches another method than BCa, other draws than those of the seed."""
    values = skewed(23, 0)
    rng = np.random.default_rng(7)
    means = values[rng.integers(0, 23, (3000, 23))].mean(1)
    wanted = bootstrap_oracle.bca(values.tolist(), means.tolist(), 0.9)
    found = bootstrap_interval(values, level=0.9, resamples=3000, seed=7)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_pairs_are_compared_image_by_image():
    """Images differ by 10 dB, the two models by 0.3: only pairs can tell."""
    rng = np.random.default_rng(2)
    level = rng.normal(25, 10, 50)
    model, other = level + 0.3 + rng.normal(0, 0.1, (50,)), level
    low, high = paired_interval(model, other)
    assert 0 < low < 0.3 < high < 0.4
    wide = bootstrap_interval(model)
    assert wide[1] - wide[0] > 20 * (high - low)
    with pytest.raises(ValueError, match="Received: 2 and 3"):
        paired_interval([1, 2], [1, 2, 3])


def test_same_values_same_interval_and_other_seeds_little_else():
    values = skewed(20, 3)
    first = bootstrap_interval(values)
    assert bootstrap_interval(values) == first
    other = bootstrap_interval(values, seed=1)
    assert other != first
    np.testing.assert_allclose(other, first, atol=0.1 * (first[1] - first[0]))


@pytest.mark.parametrize(
    ("values", "interval"),
    [
        ([], None),
        ([3.0], None),
        ([3.0, math.inf], None),
        ([3.0, 3.0, math.inf], (3.0, 3.0)),
    ],
)
def test_edges(values, interval):
    assert bootstrap_interval(values) == interval


@pytest.mark.parametrize("values", [[1.0, 2.0], [0.0, 0.0, 0.0, 0.0, 9.0]])
def test_few_images_stay_within_their_range(values):
    low, high = bootstrap_interval(values)
    assert min(values) <= low < high <= max(values)


def test_report_layout():
    model = {"psnr": [30.0, 31.0, math.inf], "ssim": [0.8, 0.9, 1.0]}
    other = {"psnr": [29.0, 30.5, 31.0], "ssim": [0.7, 0.8, 0.9]}
    report = intervals_of(model, other, "bicubic")
    assert report["mean"]["psnr"] == list(bootstrap_interval([30.0, 31.0]))
    assert report["gain"]["bicubic"]["psnr"] == list(bootstrap_interval([1.0, 0.5]))
    assert report["gain"]["bicubic"]["ssim"] == pytest.approx([0.1, 0.1])
    assert report["baseline"]["bicubic"]["ssim"] == list(
        bootstrap_interval(other["ssim"])
    )
    assert (report["level"], report["seed"]) == (0.95, 0)
    alone = intervals_of(model, {}, "bicubic")
    assert alone["baseline"] == alone["gain"] == {}


def test_intervals_of_shares_cover_the_truth_as_often_as_they_say():
    """True share 0.6; of 60 intervals of 90 %, at least 46: 1 in 1,000 by chance."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(60):
        floor = rng.normal(22, 2, 40)
        gain = rng.normal(1.5, 0.5, 40)
        values = floor + 0.6 * gain + rng.normal(0, 0.2, 40)
        low, high = share_interval(
            values, floor, floor + gain, level=0.9, resamples=500
        )
        covered += low <= 0.6 <= high
        assert high - low < 0.25
    assert 46 <= covered < 60


def test_no_interval_of_a_share_of_nothing():
    rng = np.random.default_rng(0)
    floor = rng.normal(22, 2, 20)
    around = floor + rng.normal(0, 1, 20)
    assert share_interval(floor + 1, floor, around) is None
    assert share_interval([1.0], [0.0], [2.0]) is None
    values, top = list(floor + 1), list(floor + 2)
    values[3] = math.inf
    assert share_interval(values, list(floor), top) == pytest.approx((0.5, 0.5))
