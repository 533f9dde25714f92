"""Draws of the prior, and what they do to photographs."""

import io

import numpy as np
import pytest
from PIL import Image

from pdm_tf.core.kernel_shapes import kernel_moments, second_moments
from pdm_tf.core.source_estimate import axes_of, log_covariances
from pdm_tf.estimation.source_prior import (
    Jpeg,
    Noise,
    SourcePrior,
    degrade_crop,
    degrade_photograph,
    disk_kernel,
    gaussian_kernel,
    kernel_side,
    kernels_of_theta,
    path_kernel,
)
from pdm_tf.samples.blur_track import blur_and_subsample
from tests.oracles.kernel_oracle import gaussian, gaussians
from tests.unit.evaluation.fakes import photo

DELTA = np.ones((1, 1))


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_blur_and_grid_are_those_of_the_sample_track(scale):
    """Written apart, tap by tap; but for the border, which is mirrored otherwise."""
    image, kernel = photo(0, 96, 84), gaussian(2.5, 1.2, 0.7, dy=0.5)
    got = degrade_photograph(image, kernel, scale, random=rng())
    expected = blur_and_subsample(image, kernel, scale)
    edge = -(-10 // scale)
    inner = (slice(edge, -edge),) * 2
    assert np.abs(got[inner].astype(int) - expected[inner]).max() <= 1
    assert np.mean(got[inner] != expected[inner]) < 1e-3


def test_a_crop_with_its_margin_is_a_part_of_the_photograph():
    image, kernel = photo(1, 120, 132), gaussians(1, 3)[0]
    whole = degrade_photograph(image, kernel, 4, random=rng())
    part = degrade_crop(image[14 : 14 + 60, 26 : 26 + 52], kernel, 4, random=rng())
    assert np.abs(part.astype(int) - whole[6:16, 9:17]).max() <= 1


def test_noise_is_read_and_shot():
    flat = np.full((240, 240, 3), 51, np.uint8)  # 0.2
    noise = Noise(read=0.02, shot=0.004)
    lr = degrade_photograph(flat, DELTA, 1, noise=noise, random=rng()) / 255.0
    assert lr.std() == pytest.approx(noise.std(0.2), rel=0.02)
    assert noise.std(0.2) == pytest.approx(np.sqrt(0.02**2 + 0.004 * 0.2))
    assert lr.mean() == pytest.approx(0.2, abs=1e-3)


def test_smoothed_noise_keeps_its_strength_and_correlates():
    flat = np.full((300, 300, 3), 128, np.uint8)
    noise = Noise(read=0.05, correlation_px=0.8)
    lr = degrade_photograph(flat, DELTA, 1, noise=noise, random=rng()) - 128.0
    assert lr.std() / 255.0 == pytest.approx(0.05, rel=0.02)
    # Two smoothed noises at distance 1: exp(-1 / (4 sigma^2)), of Gaussians.
    near = np.mean(lr[1:] * lr[:-1]) / lr.var()
    assert near == pytest.approx(np.exp(-1 / (4 * 0.8**2)), abs=0.03)
    across = np.mean(lr[..., 0] * lr[..., 1]) / lr.var()
    assert abs(across) < 0.02


def test_grey_noise_is_shared_by_the_colours():
    flat = np.full((300, 300, 3), 128, np.uint8)
    noise = Noise(read=0.05, grey=0.6)
    lr = degrade_photograph(flat, DELTA, 1, noise=noise, random=rng()) - 128.0
    assert np.mean(lr[..., 0] * lr[..., 2]) / lr.var() == pytest.approx(0.6, abs=0.02)
    assert lr.std() / 255.0 == pytest.approx(0.05, rel=0.02)


def test_jpeg_is_that_of_a_file():
    image = photo(2, 64, 80)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=40, subsampling=2)
    got = degrade_photograph(image, DELTA, 1, jpeg=Jpeg(40), random=rng())
    np.testing.assert_array_equal(got, np.asarray(Image.open(file)))


def test_jpegs_grid_begins_at_its_offset():
    """Compressed again along the same blocks almost nothing changes."""
    jpeg = Jpeg(30, "444", (3, 5))
    image = degrade_photograph(photo(3, 96, 96), DELTA, 1, jpeg=jpeg, random=rng())

    def change(top, left):
        part = np.ascontiguousarray(image[top:-8, left:-8])
        again = degrade_photograph(part, DELTA, 1, jpeg=Jpeg(30, "444"), random=rng())
        return np.abs(again.astype(int) - part).mean()

    assert change(3, 5) < 0.5 * min(change(0, 0), change(5, 3), change(4, 5))


def test_kernels_have_the_shape_that_is_asked_for():
    theta = log_covariances(second_moments(gaussians(20, 0, side=31)))
    again = log_covariances(second_moments(kernels_of_theta(theta, 31)))
    np.testing.assert_allclose(again, theta, atol=0.02)
    made = gaussian_kernel(3.0, 1.0, 0.4, 31)
    np.testing.assert_allclose(made, gaussian(3.0, 1.0, 0.4, side=31), atol=1e-12)
    axes = axes_of(log_covariances(second_moments(made[None])))
    assert axes.angle_deg[0] == pytest.approx(np.degrees(0.4), abs=0.5)


def test_a_disk_is_flat_inside_and_empty_outside():
    disk = disk_kernel(5.0, 0.4, 21)
    assert disk[10, 10] == pytest.approx(disk[10, 13], rel=1e-3)
    assert disk[10, 18] < 1e-3 * disk[10, 10]
    # A disk's variance along an axis is r^2 / 4.
    assert second_moments(disk[None])[0, 0, 0] == pytest.approx(25 / 4, rel=0.06)


def test_paths_are_longer_than_wide_and_centred():
    paths = np.stack([path_kernel(14.0, 0.6, 21, rng(seed)) for seed in range(40)])
    moments = kernel_moments(paths)
    assert np.median(moments.sigma[:, 0] / moments.sigma[:, 1]) > 2.0
    assert np.abs(moments.offset).max() < 1.5


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_draws_are_kernels_and_grow_with_the_scale(scale):
    prior, random = SourcePrior(scale), rng(scale)
    kernels = np.stack([prior.draw(random).kernel for _ in range(300)])
    assert kernels.shape[1:] == (kernel_side(scale),) * 2
    assert kernels.min() >= 0.0
    np.testing.assert_allclose(kernels.sum((1, 2)), 1.0)
    widths = kernel_moments(kernels).sigma[:, 0] * 4 / scale
    assert 1.2 < np.median(widths) < 2.2
    assert np.quantile(widths, 0.95) > 3.5


def test_shares_of_noise_and_jpeg():
    prior = SourcePrior(4, noise_share=0.5, jpeg_share=0.25, qualities=(35, 60))
    random = rng()
    draws = [prior.draw(random) for _ in range(800)]
    jpegs = [x.jpeg.quality for x in draws if x.jpeg.quality]
    assert len(jpegs) / 800 == pytest.approx(0.25, abs=0.05)
    assert set(jpegs) == {35, 60}
    assert np.mean([x.noise.read > 0 for x in draws]) == pytest.approx(0.5, abs=0.05)
    never = SourcePrior(4, jpeg_share=0.0)
    assert not any(never.draw(random).jpeg.quality for _ in range(100))


def test_a_draw_repeats():
    first, again = (SourcePrior(4).draw(rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.kernel, again.kernel)
    assert (first.noise, first.jpeg) == (again.noise, again.jpeg)


@pytest.mark.parametrize(
    "settings",
    [
        {"jpeg_share": 1.5},
        {"gaussians": 0.8, "paths": 0.4},
        {"scale": 0},
        {"qualities": (0,)},
    ],
)
def test_impossible_priors(settings):
    with pytest.raises(ValueError, match="Received"):
        SourcePrior(**{"scale": 4, **settings})


def test_a_photograph_smaller_than_the_blur_is_refused():
    with pytest.raises(ValueError, match="larger than 10"):
        degrade_photograph(photo(0, 8, 40), gaussian(2, 1), 4, random=rng())
