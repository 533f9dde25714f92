"""Distances against blurred photographs; coverage against the paper's expectation."""

import numpy as np
import pytest
from scipy.ndimage import correlate

from pdm_tf import samples
from pdm_tf.core.images import list_images, read_rgb_u8
from pdm_tf.core.kernel_shapes import second_moments
from pdm_tf.metrics.degradation.coverage import (
    best_single,
    centred,
    coverage,
    kernel_distances,
    resized,
    window_products,
)
from tests.oracles.kernel_oracle import gaussian, gaussians


@pytest.fixture(scope="module")
def photographs():
    paths = list_images(samples.PHOTOS_FOR_HR)[:2]
    return [read_rgb_u8(path)[:150, :133] / 255.0 for path in paths]


@pytest.mark.parametrize("scale", [4, 3])
def test_distance_is_that_of_the_blurred_images(photographs, scale):
    """Equal to blurring with SciPy and subsampling, to 1e-9: catches windows off the LR
    grid, flipped taps and channels that weigh differently."""
    kernels = np.random.default_rng(0).uniform(size=[3, 9, 9])
    kernels[0, :, :2] = 0.0  # not symmetric, so that a flip would show
    kernels /= kernels.sum(axis=(1, 2), keepdims=True)
    products = window_products(photographs, 9, scale)
    found = kernel_distances(kernels[:1], kernels, products)

    def lr(kernel, photograph):
        blurred = np.stack(
            [correlate(photograph[..., c], kernel) for c in range(3)], axis=-1
        )
        return blurred[4:-4, 4:-4][::scale, ::scale].ravel()

    images = [np.concatenate([lr(k, photo) for photo in photographs]) for k in kernels]
    expected = [np.sqrt(np.mean((images[0] - image) ** 2)) for image in images]
    np.testing.assert_allclose(found[0], expected, rtol=1e-9, atol=1e-8)
    assert found[0, 1] > 1e-3


def test_centring_moves_exactly_and_keeps_the_width():
    """Centre of mass to 1e-9, second moments to 1e-9: linear interpolation fails."""
    kernel = gaussian(1.6, 1.0, 0.4, dy=0.7, dx=-1.4)[None]
    moved = centred(kernel)[0]
    assert moved.shape == (25, 25)
    place = np.arange(25) - 12
    assert moved.sum() == pytest.approx(1.0)
    assert moved.sum(1) @ place == pytest.approx(0.0, abs=1e-9)
    assert moved.sum(0) @ place == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(
        second_moments(moved[None]), second_moments(kernel), atol=1e-9
    )


def test_distance_after_centring_does_not_see_translation(photographs):
    """Whole pixels not at all; half a pixel under a twentieth of what it was."""
    products = window_products(photographs, 25, 4)
    here = gaussian(1.5, 1.2)
    whole, half = gaussian(1.5, 1.2, dx=3.0), gaussian(1.5, 1.2, dy=0.5)
    both = np.stack([whole, half])
    left = kernel_distances(centred(here[None]), centred(both), products)[0]
    was = kernel_distances(resized(here[None], 25), resized(both, 25), products)[0]
    assert left[0] < 1e-7 and left[1] < was[1] / 20


def test_coverage_by_hand():
    """Points on a line: radii to the nearest neighbour are 1, 1 and 3."""
    real, fake = np.array([0.0, 1.0, 4.0]), np.array([0.4, 0.6, 9.0])
    within, across = np.abs(real[:, None] - real), np.abs(real[:, None] - fake)
    found = coverage(within, across, neighbours=1)
    # 0 and 1 are covered twice each; 4 (radius 3) by neither 0.6 nor 9.
    assert found == (2 / 3, 4 / 3)
    with pytest.raises(ValueError, match="more than 3"):
        coverage(within, across, neighbours=3)


def test_coverage_of_equal_distributions_is_what_the_paper_expects():
    """Naeem et al. 2020, section 3.3: 1 - (N-1)...(N-k) / ((M+N-1)...(M+N-k)), and
    density 1, whatever the distribution."""
    draw = np.random.default_rng(0)
    found = []
    for _ in range(40):
        real, fake = draw.normal(size=[2, 100, 3])
        within = np.linalg.norm(real[:, None] - real, axis=-1)
        across = np.linalg.norm(real[:, None] - fake, axis=-1)
        found.append(coverage(within, across))
    steps = np.arange(1, 6)
    expected = 1.0 - np.prod((100 - steps) / (200 - steps))
    mean = np.mean(found, axis=0)
    assert mean[0] == pytest.approx(expected, abs=0.01)
    assert mean[1] == pytest.approx(1.0, abs=0.05)


def test_yardsticks_order_as_they_should(photographs):
    """As many fresh true kernels, then a narrower family, then the best single one."""
    products = window_products(photographs, 25, 4)
    true, fresh = centred(gaussians(60, 0)), centred(gaussians(60, 1))
    narrow = centred(np.stack([gaussian(w, w) for w in np.linspace(1.5, 1.7, 60)]))
    within = kernel_distances(true, true, products)
    of = [
        coverage(within, kernel_distances(true, x, products)) for x in (fresh, narrow)
    ]
    index, single = best_single(within, kernel_distances(true, fresh, products))
    assert of[0].coverage > 0.9 > 0.5 > of[1].coverage
    assert 0.05 < single.coverage < of[0].coverage / 2
    alone = coverage(within, kernel_distances(true, fresh[index : index + 1], products))
    assert alone == single


def test_refusals(photographs):
    with pytest.raises(ValueError, match="at least 999"):
        window_products(photographs, 999, 4)
    with pytest.raises(ValueError, match=r"\(9, 9\)"):
        kernel_distances(np.ones([1, 5, 5]), np.ones([1, 5, 5]), np.ones([9, 9]))
