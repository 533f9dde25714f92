"""A PDM of an estimate draws what was measured, by its config alone."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.bundles.bundle import load_bundle, save_bundle
from pdm_tf.core.kernel_shapes import second_moments
from pdm_tf.core.source_estimate import (
    JpegPopulation,
    KernelPopulation,
    NoisePopulation,
    SourceEstimate,
    axes_of,
    log_covariances,
)
from pdm_tf.degradations import GaussianStart, KernelModuleConfig, pdm_config_of
from pdm_tf.degradations.from_estimate import gaussian_start
from pdm_tf.degradations.trunk import GaussianLogits

NOISE = NoisePopulation((-4.5, -6.4), ((0.2, 0.02), (0.02, 0.3)), 0.4, photographs=9)


def rows(matrix):
    return tuple(tuple(row) for row in np.asarray(matrix, float).tolist())


def population(mean, deviations, photographs=100.0):
    covariance = np.diag(np.square(deviations))
    return KernelPopulation(
        tuple(mean), rows(covariance), rows(covariance / photographs), photographs
    )


def estimate(mean=(1.2, 0.0, 0.0), deviations=(0.5, 0.35, 0.35), scale=4, **changes):
    kernels = population(mean, deviations)
    return SourceEstimate(scale, changes.pop("grid", "pixel0"), kernels, **changes)


def small(scale=4):
    kernel = KernelModuleConfig(filters=4, num_blocks=1, latent_channels=8)
    return kernel.at_scale(scale)


CASES = {
    "blur": ((1.5, 0.0, 0.0), (0.5, 0.35, 0.35), 4, "pixel0"),
    "half_pixel": ((1.5, 0.0, 0.0), (0.5, 0.35, 0.35), 4, "half_pixel"),
    "mild": ((0.65, 0.0, 0.0), (0.42, 0.3, 0.3), 4, "pixel0"),
    "one direction": ((1.2, 0.4, -0.3), (0.3, 0.2, 0.2), 4, "pixel0"),
    "nearly one kernel": ((1.0, 0.2, 0.0), (0.02, 0.01, 0.01), 4, "pixel0"),
    "x2": ((0.3, 0.0, 0.0), (0.3, 0.2, 0.2), 2, "pixel0"),
}


@pytest.mark.parametrize("case", CASES)
def test_kernels_of_the_untrained_pdm_have_the_populations_widths(case):
    mean, deviations, scale, grid = CASES[case]
    source = estimate(mean, deviations, scale, grid=grid)
    pdm = pdm_config_of(source, small(scale)).build()
    found = axes_of(log_covariances(second_moments(pdm.sample_kernels(1500, seed=3))))
    wanted = axes_of(source.kernels.draw(4000))
    for name in ("long", "short"):
        ours, theirs = getattr(found, name), getattr(wanted, name)
        np.testing.assert_allclose(ours.mean(), theirs.mean(), rtol=0.03)
        np.testing.assert_allclose(ours.std(), theirs.std(), rtol=0.1, atol=0.01)


def test_no_direction_is_preferred_where_the_population_prefers_none():
    start = gaussian_start(population((1.5, 0, 0), (0.5, 0.35, 0.35)), 21)
    np.testing.assert_allclose(start.mean[1:], 0.0, atol=1e-3)
    covariance = np.asarray(start.covariance)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=2e-3)
    np.testing.assert_allclose(covariance[1, 1], covariance[2, 2], rtol=0.08)


@pytest.mark.parametrize("size", [-3.0, 4.0])
def test_what_the_window_cannot_show_gives_the_nearest(size):
    """Kernels of 0.05 px, and of 7 px in a window of 21, without a word of numpy."""
    with np.errstate(all="raise", under="ignore"):
        start = gaussian_start(population((size, 0, 0), (0.5, 0.3, 0.3)), 21)
    assert -5.0 < start.mean[0] < 3.1
    assert np.linalg.eigvalsh(start.covariance)[-1] <= 2.0 + 1e-9


def test_the_means_error_is_that_of_the_module():
    """Where a coordinate moves the kernels as theta does, the error is the same."""
    start = gaussian_start(population((2.0, 0, 0), (0.3, 0.2, 0.2), 25), 41)
    np.testing.assert_allclose(
        np.diag(start.mean_error), np.square([0.3, 0.2, 0.2]) / 25, rtol=0.1
    )
    assert start.photographs == 25


def test_noise_is_the_measured_one_and_not_trained():
    pdm = pdm_config_of(estimate(noise=NOISE), small()).build()
    assert pdm.noise_module.trainable_variables == []
    config = pdm.config.noise
    assert config.log_mean == NOISE.log_mean and config.correlation_px == 0.4
    hr = tf.fill([64, 148, 148, 3], 0.5)
    stds = pdm.synthesise(hr, tf.constant([1, 2])).noise.numpy().std(axis=(1, 2, 3))
    assert np.median(stds) * 255 == pytest.approx(NOISE.std_255(0.5), rel=0.15)


def test_jpeg_draws_the_measured_qualities_and_has_nothing_to_learn():
    jpeg = JpegPopulation((30, 40, 90), "444", "header")
    pdm = pdm_config_of(estimate(jpeg=jpeg), small()).build()
    assert pdm.jpeg_module.trainable_variables == []
    assert pdm.config.jpeg.subsampling == "444"
    hr = tf.fill([24, 84, 84, 3], 0.5)
    qualities = pdm.synthesise(hr, tf.constant([1, 2])).quality.numpy()
    assert set(qualities) == {30.0, 40.0, 90.0}


def test_without_noise_and_jpeg_there_are_no_such_modules():
    config = pdm_config_of(estimate(), small())
    assert config.noise is None and config.jpeg is None


def test_everything_else_is_the_default_of_the_scale():
    found = pdm_config_of(estimate(scale=2)).kernel
    wanted = KernelModuleConfig().at_scale(2)
    changes = {"start": found.start, "initial_std": 0.0}
    assert found == dataclasses.replace(wanted, **changes)


def test_a_bundle_of_it_draws_the_same(tmp_path):
    pdm = pdm_config_of(estimate(noise=NOISE), small()).build(name="pdm")
    loaded = load_bundle(save_bundle(pdm, tmp_path, step=0)).network
    assert loaded.config == pdm.config
    kernels = (network.sample_kernels(8) for network in (pdm, loaded))
    np.testing.assert_array_equal(*kernels)


def test_spatial_kernels_and_mixtures_start_there_too():
    for changes in ({"spatial": True}, {"spatial": True, "basis": 200}):
        kernel = dataclasses.replace(small(), **changes)
        pdm = pdm_config_of(estimate(), kernel).build()
        if pdm.config.kernel.basis:
            z = tf.zeros([1, 3, 3, 8])
            kernels = pdm.kernel_module(z)[1].numpy().reshape(-1, 21, 21)
        else:
            kernels = pdm.sample_kernels(300)
        found = axes_of(log_covariances(second_moments(kernels)))
        wanted = axes_of(estimate().kernels.draw(4000))
        np.testing.assert_allclose(found.long.mean(), wanted.long.mean(), rtol=0.1)
        np.testing.assert_allclose(found.long.std(), wanted.long.std(), rtol=0.25)


def test_the_head_tells_its_distribution():
    """In closed form, for one latent an image and for windows of latents."""
    start = GaussianStart(
        (0.5, 0.1, -0.2),
        rows([[0.3, 0.05, 0.0], [0.05, 0.2, 0.02], [0.0, 0.02, 0.1]]),
        rows(np.eye(3)),
        10.0,
    )
    for window in (1, 3):
        head = GaussianLogits(5, 1.0, 0.7, 0.0, window, start)
        head(tf.zeros([1, 4, 4, 6]))
        mean, covariance = head.distribution()
        np.testing.assert_allclose(mean, start.mean, atol=1e-6)
        np.testing.assert_allclose(covariance, start.covariance, atol=1e-6)
        head.to_covariance.kernel.assign_add(
            0.05 * tf.random.stateless_normal(head.to_covariance.kernel.shape, [1, 2])
        )
        z = tf.random.stateless_normal([4000, 3, 3, 6], [3, 4])
        drawn = 3.0 * head.to_covariance(z)[:, 1, 1].numpy()
        mean, covariance = head.distribution()
        np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.05)
        np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.04)
        json.dumps(head.get_config())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": (0.0, np.inf, 0.0)}, "three finite numbers"),
        ({"covariance": rows(np.zeros([3, 3]))}, "positive definite"),
        ({"covariance": rows(np.eye(2))}, "3 x 3"),
        ({"mean_error": rows(-np.eye(3))}, "positive definite"),
        ({"photographs": 0.0}, "above 0"),
    ],
)
def test_impossible_starts_are_refused(changes, message):
    start = GaussianStart((0.0, 0.0, 0.0), rows(np.eye(3)), rows(np.eye(3)), 1.0)
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(start, **changes)


@pytest.mark.parametrize("changes", [{"initial": "gaussian"}, {"latent": "zero"}])
def test_a_start_needs_a_distribution_of_gaussians(changes):
    start = gaussian_start(population((1.0, 0, 0), (0.3, 0.2, 0.2)), 21)
    with pytest.raises(ValueError, match="distribution of Gaussians"):
        KernelModuleConfig(start=start, **changes)
