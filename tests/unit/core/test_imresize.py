"""Bicubic as MATLAB defines it: against loops, by hand, and against Pillow inside."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pdm_tf.core.imresize import imresize, resize_weights
from tests.oracles import imresize_oracle


@pytest.mark.parametrize("scale", [1 / 8, 1 / 4, 1 / 3, 1 / 2, 0.7, 1.0, 1.5, 2.0, 4.0])
@pytest.mark.parametrize("shape", [(13, 9, 3), (4, 17, 1)])
def test_equals_the_definition(scale, shape):
    """Half-pixel shift, stretch, border and order of axes, at odd sizes too."""
    image = np.random.default_rng(0).random(shape)
    got, expected = imresize(image, scale), imresize_oracle.imresize(image, scale)
    assert got.shape == expected.shape and got.dtype == np.float64
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


def test_weights_by_hand():
    """Doubling: pixel 2 lies at input 0.75 (Keys 1981, a = -0.5, at 1.75 .. 1.25)."""
    weights, indices = resize_weights(6, 12, 2.0)
    row = {}
    for weight, index in zip(weights[5], indices[5], strict=True):
        row[index] = row.get(index, 0.0) + weight
    # Output 5 lies at 2.25: distances 1.25, 0.25, 0.75, 1.75 to pixels 1, 2, 3, 4.
    expected = {1: -0.0703125, 2: 0.8671875, 3: 0.2265625, 4: -0.0234375}
    for index, weight in expected.items():
        assert row[index] == pytest.approx(weight, abs=1e-15)


@given(
    in_length=st.integers(1, 40),
    scale=st.sampled_from([0.1, 0.25, 1 / 3, 0.5, 0.9, 1, 1.3, 2, 3, 4, 7.5]),
)
@settings(max_examples=60, deadline=None)
def test_weights_sum_to_one_and_stay_inside(in_length, scale):
    weights, indices = resize_weights(in_length, max(1, int(in_length * scale)), scale)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-12)
    assert weights.shape == indices.shape
    assert indices.min() >= 0 and indices.max() < in_length


@pytest.mark.parametrize("scale", [0.25, 0.5, 2, 3])
def test_constant_stays_constant_to_the_border(scale):
    np.testing.assert_allclose(imresize(np.full((11, 8), 0.3), scale), 0.3, atol=1e-12)


@pytest.mark.parametrize("scale", [0.25, 0.5, 2, 4])
def test_ramp_stays_a_ramp_inside(scale):
    """A wrong phase (output i at i / scale) would move it by a fraction of a pixel."""
    length = 64
    ramp = np.tile(np.arange(length, dtype=float), (8, 1))
    result = imresize(ramp, scale)[0]
    expected = (np.arange(result.size) + 0.5) / scale - 0.5
    inside = slice(int(3 * max(scale, 1)), -int(3 * max(scale, 1)))
    np.testing.assert_allclose(result[inside], expected[inside], atol=1e-10)


def test_shrinks_with_antialiasing():
    """Alternating columns must vanish at 1/4, not alias into something."""
    stripes = np.tile([0.0, 1.0], (32, 32))
    np.testing.assert_allclose(imresize(stripes, 0.25)[:, 3:-3], 0.5, atol=0.02)


@pytest.mark.parametrize("size", [(16, 24), (128, 192)])
def test_equals_pillow_away_from_the_border(size):
    """Pillow has the same kernel and phase, but cuts it off at the border."""
    image = np.random.default_rng(1).random((64, 96)).astype(np.float32)
    pillow = np.asarray(
        Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC)
    )
    ours = imresize(image, output_shape=size)
    inside = np.s_[8:-8, 8:-8] if size[0] > 64 else np.s_[3:-3, 3:-3]
    np.testing.assert_allclose(ours[inside], pillow[inside], atol=2e-6)  # float32
    assert np.abs(ours - pillow).max() > 1e-3  # the border does differ


def test_sizes():
    assert imresize(np.zeros((9, 10, 3)), 0.25).shape == (3, 3, 3)  # rounded up
    assert imresize(np.zeros((9, 12)), 1 / 3).shape == (3, 4)
    assert imresize(np.zeros((9, 12)), output_shape=(5, 20)).shape == (5, 20)


def test_identity_and_integers():
    image = np.random.default_rng(2).integers(0, 256, (5, 6, 3), np.uint8)
    np.testing.assert_allclose(imresize(image, 1.0), image, atol=1e-12)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"scale": 0},
        {"scale": -1},
        {"scale": float("nan")},
        {"output_shape": (0, 4)},
    ],
)
def test_refuses(arguments):
    with pytest.raises(ValueError, match="Received"):
        imresize(np.zeros((4, 4)), **arguments)
