"""Kernel numbers against Gaussians of known place and width."""

import numpy as np
import pytest

from pdm_tf.evaluation.kernels import kernel_comparison, kernel_moments


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


def test_comparison_draws_every_group():
    """Two groups of different kernel sizes below each other."""
    picture = kernel_comparison(
        [
            ("learned", np.stack([_delta(3, 3, 7)] * 5)),
            ("true", np.stack([_delta(10, 10, 21)] * 30)),
        ],
        columns=4,
        rows=2,
    )
    alone = kernel_comparison(
        [("learned", np.stack([_delta(3, 3, 7)] * 5))], columns=4, rows=2
    )
    assert picture.dtype == np.uint8 and picture.shape[0] > alone.shape[0]
