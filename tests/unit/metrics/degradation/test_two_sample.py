"""Two-sample tests: quiet where there is no difference, loud where there is one."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import binomtest

from pdm_tf.metrics.degradation.two_sample import (
    classifier_accuracy,
    cut_patches,
    kernel_distance,
    patch_features,
    wilson_interval,
)

PHOTOGRAPHS, PER_PHOTOGRAPH = 16, 6


def _owners():
    return np.arange(PHOTOGRAPHS).repeat(PER_PHOTOGRAPH)


def _features(seed, shift=0.0):
    """Features with a strong part that a photograph's patches share."""
    draw = np.random.default_rng(seed)
    shared = 2.0 * draw.normal(size=[PHOTOGRAPHS, 4]).repeat(PER_PHOTOGRAPH, axis=0)
    return shared + draw.normal(size=shared.shape) + shift


def test_mmd_is_the_double_sum():
    """Gretton et al. 2012, Eq. 3, term by term."""
    real, fake = _features(0)[:7], _features(1)[:5]
    owners = np.arange(7), np.arange(5)
    both = np.concatenate([real, fake])
    x = (both - both.mean(0)) / both.std(0)
    square = ((x[:, None] - x) ** 2).sum(-1)
    width = np.median(np.sqrt(square[np.triu_indices(12, 1)]))
    k = np.exp(-square / (2 * width**2))
    expected = sum(k[i, j] for i in range(7) for j in range(7) if i != j) / 42
    expected += sum(k[i, j] for i in range(7, 12) for j in range(7, 12) if i != j) / 20
    expected -= 2 * k[:7, 7:].mean()
    found = kernel_distance(real, fake, *owners, permutations=5)
    assert found.mmd2 == pytest.approx(expected, abs=1e-12)


def test_p_values_are_uniform_without_a_difference():
    """Photographs share much: permuting single patches would reject half the time."""
    owners = _owners()
    values = [
        kernel_distance(
            _features(2 * i), _features(2 * i + 1), owners, owners, permutations=60
        ).p_value
        for i in range(40)
    ]
    assert np.mean(np.array(values) <= 0.05) <= 0.15
    assert 0.35 < np.mean(values) < 0.65
    shifted = kernel_distance(_features(0), _features(1, 2.0), owners, owners)
    assert shifted.p_value < 0.01


def test_classifier_is_at_chance_without_a_difference():
    owners = _owners()
    inside = []
    for i in range(30):
        found = classifier_accuracy(
            _features(2 * i), _features(2 * i + 1), *[owners] * 2
        )
        inside.append(found.low <= 0.5 <= found.high)
        assert 2 * PHOTOGRAPHS <= found.effective <= 2 * len(owners)
    assert np.mean(inside) >= 0.85
    far = classifier_accuracy(_features(0), _features(1, 6.0), owners, owners)
    assert far.accuracy > 0.95 and far.low > 0.8
    with pytest.raises(ValueError, match="Received: 1"):
        classifier_accuracy(_features(0), _features(1), owners, 0 * owners)


def test_unequal_numbers_do_not_make_an_accuracy():
    """Nine of ten patches are real: saying "real" always would be right 90 % of the
    time, and is 0.5 here."""
    owners = _owners()
    real = np.concatenate([_features(s) for s in range(5)])
    many = np.concatenate([owners + 100 * s for s in range(5)])
    found = classifier_accuracy(real, _features(9), many, owners)
    assert found.accuracy < 0.65


@pytest.mark.parametrize(("share", "count"), [(0.5, 40), (0.9, 20), (1.0, 12)])
def test_wilson_interval_is_that_of_scipy(share, count):
    test = binomtest(round(share * count), count)
    expected = test.proportion_ci(method="wilson")
    found = wilson_interval(share, count)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_features_see_blur_noise_and_colour_but_not_brightness():
    draw = np.random.default_rng(0)
    patches = gaussian_filter(draw.uniform(size=[20, 16, 16, 3]), [0, 1, 1, 0])
    base = patch_features(patches)
    assert base.shape == (20, 30)
    np.testing.assert_allclose(patch_features(patches + 0.2), base, atol=1e-8)
    blurred = patch_features(gaussian_filter(patches, [0, 1, 1, 0]))
    assert (blurred - base)[:, 9:18].mean() < -0.5  # upper rings of luminance
    grey = 0.02 * draw.normal(size=[20, 16, 16, 1])
    change = np.abs(patch_features(patches + grey) - base)
    assert change[:, 18:].max() < 1e-8 and change[:, :18].max() > 0.1
    rows = np.zeros([1, 16, 16, 3])
    rows[:, ::2] = 1.0  # changes along y alone
    by_direction = patch_features(rows)[0, :18].reshape(6, 3).max(axis=0)
    assert by_direction[0] > by_direction[1:].max() + 2
    with pytest.raises(ValueError, match=r"\(20, 8, 8, 3\)"):
        patch_features(patches[:, :8, :8])


def test_patches_come_from_the_images_named():
    images = [
        np.full([20, 30, 3], 1.0),
        np.zeros([8, 40, 3]),
        np.full([16, 16, 3], 3.0),
    ]
    patches, owner = cut_patches(images, 4)
    assert owner.tolist() == [0] * 4 + [2] * 4  # the second is too small
    np.testing.assert_array_equal(patches[:, 0, 0, 0], [1.0] * 4 + [3.0] * 4)
    again = cut_patches(images, 4)[0]
    np.testing.assert_array_equal(patches, again)
    with pytest.raises(ValueError, match="16 x 16"):
        cut_patches(images[1:2], 4)
