"""Blur by any kernel and sharpening against SciPy, low and high pass by hand."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.ops.filtering import (
    filter_image,
    high_pass,
    low_pass,
    mirrored_range,
    usm_sharpened,
)
from tests.oracles import filter_oracle


@pytest.mark.parametrize("size", [(40, 31), (64, 64), (7, 45)])
@pytest.mark.parametrize("side", [1, 5, 21])
def test_equals_correlation_with_mirrored_edges(size, side):
    rng = np.random.default_rng(side)
    image, kernel = rng.random((*size, 3)), rng.random((side, side)) / side**2
    found = filter_image(tf.constant(image, tf.float32), tf.constant(kernel, "float32"))
    wanted = filter_oracle.filtered(image, kernel)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)


def test_an_image_may_be_smaller_than_the_window():
    np.testing.assert_array_equal(mirrored_range(4, 5), np.pad(range(4), 5, "reflect"))
    np.testing.assert_array_equal(mirrored_range(1, 2), [0] * 5)
    image = np.random.default_rng(0).random((3, 1, 3))
    kernel = np.random.default_rng(1).random((9, 9))
    kernel /= kernel.sum()
    padded = np.pad(image, [(4, 4), (4, 4), (0, 0)], "reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (9, 9), (0, 1))
    wanted = np.einsum("yxcab,ab->yxc", windows, kernel)
    found = filter_image(tf.constant(image, tf.float32), tf.constant(kernel, "float32"))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)


def test_sharpening_equals_its_formula():
    """Noise alone stays as it is, and edges overshoot up to the clipping."""
    rng = np.random.default_rng(2)
    image = np.full((70, 60, 3), 0.4) + 0.01 * rng.random((70, 60, 3))
    image[20:, 15:] += [0.5, 0.2, 0.05]
    found = usm_sharpened(tf.constant(image, tf.float32)).numpy()
    wanted = filter_oracle.sharpened(image)
    # A detail on the threshold may fall on its other side; none does here.
    np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-6)
    assert found.max() <= 1.0 and np.abs(found - image).max() > 0.05


@pytest.mark.parametrize(("side", "sigma_px"), [(3, 0.0), (5, 1.2)])
def test_low_and_high_pass_of_a_batch(side, sigma_px):
    """Against the mirrored correlation with the two-dimensional window."""
    images = np.random.default_rng(2).random((2, 9, 7, 3)).astype(np.float32)
    taps = np.ones(side)
    if sigma_px:
        taps = np.exp(-0.5 * ((np.arange(side) - side // 2) / sigma_px) ** 2)
    kernel = np.outer(taps, taps) / taps.sum() ** 2
    radius = side // 2
    pad = [(0, 0), (radius, radius), (radius, radius), (0, 0)]
    padded = np.pad(np.float64(images), pad, mode="reflect")
    expected = np.zeros(images.shape)
    for i in range(side):
        for j in range(side):
            expected += kernel[i, j] * padded[:, i : i + 9, j : j + 7]
    found = low_pass(tf.constant(images), side, sigma_px)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    rest = high_pass(tf.constant(images), side, sigma_px)
    np.testing.assert_allclose(rest, images - expected, rtol=0, atol=1e-6)
