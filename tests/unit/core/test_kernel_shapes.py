"""Shapes of kernels against Gaussians of known place and width, and SciPy's roots."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from pdm_tf.core.kernel_shapes import covariance_roots, kernel_moments, second_moments
from tests.oracles.kernel_oracle import gaussian, gaussians


def _gaussian(dy, dx, sigma_long, sigma_short, angle, side=41):
    y, x = np.mgrid[:side, :side] - side // 2
    y, x = y - dy, x - dx
    along = x * np.cos(angle) + y * np.sin(angle)
    across = -x * np.sin(angle) + y * np.cos(angle)
    return np.exp(-0.5 * ((along / sigma_long) ** 2 + (across / sigma_short) ** 2))


@pytest.mark.parametrize("angle", [0.0, 0.6, np.pi / 2, 2.5])
def test_moments_of_gaussians(angle):
    """Catches swapped axes (dy, dx) and a covariance of the wrong sign."""
    kernels = np.stack([_gaussian(1.5, -2.0, 4.0, 2.0, angle), 3 * _delta(9, 11)])
    moments = kernel_moments(kernels)
    np.testing.assert_allclose(moments.offset[0], [1.5, -2.0], atol=1e-3)
    np.testing.assert_allclose(moments.sigma[0], [4.0, 2.0], rtol=1e-3)
    np.testing.assert_allclose(moments.offset[1], [9 - 20, 11 - 20])
    np.testing.assert_allclose(moments.sigma[1], [0.0, 0.0], atol=1e-6)


def _delta(row, column, side=41):
    kernel = np.zeros((side, side))
    kernel[row, column] = 1.0
    return kernel


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        (np.ones((3, 3)), r"\(3, 3\)"),
        (np.ones((1, 4, 4)), "side 4"),
        (np.zeros((1, 3, 3)), "smallest sum 0"),
    ],
)
def test_moments_refuse(kernels, message):
    with pytest.raises(ValueError, match=message):
        kernel_moments(kernels)


def test_second_moments_are_the_covariance_wherever_the_kernel_lies():
    """Catches a second moment about the window's middle and swapped axes."""
    moved = gaussian(2.0, 1.0, 0.0, dy=1.5, dx=-2.0)
    np.testing.assert_allclose(
        second_moments(moved[None])[0], [[1.0, 0.0], [0.0, 4.0]], atol=2e-3
    )
    kernels = gaussians(20, 0)
    sigma = np.sqrt(np.linalg.eigvalsh(second_moments(kernels)))[:, ::-1]
    np.testing.assert_allclose(sigma, kernel_moments(kernels).sigma, atol=1e-9)


def test_roots_are_those_of_scipy():
    factors = np.random.default_rng(0).normal(size=[5, 2, 2])
    covariances = factors @ factors.transpose(0, 2, 1)
    for root, covariance in zip(
        covariance_roots(covariances), covariances, strict=True
    ):
        np.testing.assert_allclose(root, np.real(sqrtm(covariance)), atol=1e-9)
    np.testing.assert_array_equal(covariance_roots(np.zeros([1, 2, 2])), 0.0)
