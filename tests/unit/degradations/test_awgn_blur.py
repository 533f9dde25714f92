"""The general degradation model: kernels, noise level, and that a batch is rows."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.degradations import AwgnBlurConfig, AwgnBlurDegradation
from pdm_tf.ops.blur_kernels import gaussian_kernels
from tests.oracles import blur_oracle, gaussian_oracle

SEED = tf.constant([11, 12])


@pytest.mark.parametrize("centre", [0.0, 0.5])
def test_kernels_are_gaussians(centre):
    """An angle in the wrong direction or swapped axes would show."""
    sigmas, theta = np.array([[3.0, 1.2], [0.8, 2.0]]), np.array([[0.4], [2.0]])
    kernels = gaussian_kernels(
        tf.constant(sigmas, tf.float32), tf.constant(theta, tf.float32), 15, centre
    ).numpy()
    for index in range(2):
        first = np.array([np.sin(theta[index, 0]), np.cos(theta[index, 0])])
        second = np.array([np.cos(theta[index, 0]), -np.sin(theta[index, 0])])
        covariance = sigmas[index, 0] ** 2 * np.outer(first, first)
        covariance += sigmas[index, 1] ** 2 * np.outer(second, second)
        wanted = gaussian_oracle.kernel(15, covariance, centre)
        found = kernels[index].reshape(15, 15)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("grid", ["pixel0", "half_pixel"])
def test_lr_is_blur_plus_noise(grid):
    degradation = AwgnBlurDegradation(4, AwgnBlurConfig(kernel_size=9, grid=grid))
    hr = np.random.default_rng(0).random((2, 32 + 8, 24 + 8, 3)).astype(np.float32)
    degraded = degradation.synthesise(tf.constant(hr), SEED)
    for row in range(2):
        kernel = degraded.kernel[row].numpy().reshape(9, 9)
        wanted = blur_oracle.blur(hr[row], kernel, 4, grid, "valid")
        np.testing.assert_allclose(degraded.clean_lr[row], wanted, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(degraded.lr, degraded.clean_lr + degraded.noise)


def test_settings_bound_what_is_drawn():
    config = AwgnBlurConfig(
        sigma_min_px=1.0, sigma_max_px=2.0, noise_min_255=5.0, noise_max_255=10.0
    )
    kernels, noise = AwgnBlurDegradation(4, config).draw(400, 24, 24, SEED)
    stds = 255 * np.std(noise, axis=(1, 2, 3))
    assert 4.7 < stds.min() < 5.5 and 9.5 < stds.max() < 10.6
    assert np.mean(stds) == pytest.approx(7.5, abs=0.3)
    eigenvalues = [
        np.linalg.eigvalsh(gaussian_oracle.covariance_of(k.reshape(21, 21)))
        for k in kernels.numpy().astype(np.float64)
    ]
    sigmas = np.sqrt(eigenvalues)
    assert 0.99 < sigmas.min() < 1.1 and 1.9 < sigmas.max() < 2.01
    assert np.mean(sigmas) == pytest.approx(1.5, abs=0.05)


def test_one_blur_and_no_noise():
    config = AwgnBlurConfig(sigma_min_px=1.5, sigma_max_px=1.5, noise_max_255=0.0)
    kernels, noise = AwgnBlurDegradation(2, config).draw(3, 8, 8, SEED)
    np.testing.assert_allclose(kernels[0], kernels[1], rtol=0, atol=1e-7)
    assert not np.any(noise)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"kernel_size": 4}, "`kernel_size` of AwgnBlurConfig must be odd"),
        ({"sigma_min_px": 0.0}, "`sigma_min_px` of AwgnBlurConfig must be positive"),
        ({"sigma_min_px": 5.0}, "Received: 5.0 and 4.0"),
        ({"noise_min_255": 20.0}, "Received: 20.0 and 15.0"),
        ({"grid": "pixel"}, "`grid` of AwgnBlurConfig must be one of pixel0"),
    ],
)
def test_settings_that_cannot_work(settings, words):
    with pytest.raises(ValueError, match=words):
        AwgnBlurConfig(**settings)
