"""PSNR: exact against integer arithmetic; joint over channels; the edges."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdm_tf.core.errors import UserError
from pdm_tf.metrics.arrays import crop_border
from pdm_tf.metrics.psnr import psnr
from tests.oracles import psnr_oracle


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.sampled_from([1, 3]),
)
def test_equals_integer_arithmetic(seed, height, width, channels):
    """Catches uint8 wrap-around, a wrong peak, a mean taken over the wrong axes."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 256, (2, height, width, channels)).astype(np.uint8)
    assert psnr(a, b) == pytest.approx(psnr_oracle.psnr(a, b), rel=1e-12)


def test_known_values():
    """An error of 255 everywhere is 0 dB, of 1 everywhere 20 log10(255)."""
    black = np.zeros((4, 5, 3), np.uint8)
    assert psnr(black, np.full_like(black, 255)) == pytest.approx(0.0, abs=1e-12)
    assert psnr(black, np.full_like(black, 1)) == pytest.approx(20 * math.log10(255))


def test_joint_over_channels_not_a_mean_of_three():
    """Error in one channel alone: a mean of per-channel PSNRs would be infinite."""
    a = np.zeros((4, 4, 3), np.uint8)
    b = a.copy()
    b[..., 0] = 3
    assert psnr(a, b) == pytest.approx(10 * math.log10(255**2 / 3))


def test_bgr_swap_changes_colour_images_and_not_grey_ones():
    """Channel order matters where channels differ (reference 1.15, item 9)."""
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    grey = np.repeat(colour[..., :1], 3, axis=-1)
    assert psnr(colour[..., ::-1], colour) < 30
    assert psnr(grey[..., ::-1], grey) == math.inf


def test_identical_is_infinite():
    image = np.full((3, 3, 3), 128, np.uint8)
    assert psnr(image, image.copy()) == math.inf


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8), "one shape"),
        (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 3), np.uint8), "float32"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8), r"\(4, 4\)"),
    ],
)
def test_refuses(a, b, message):
    with pytest.raises(UserError, match=message):
        psnr(a, b)


def test_crop_border():
    """0 is allowed and keeps all (a slice [0:-0] would be empty); too much is not."""
    image = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    np.testing.assert_array_equal(crop_border(image, 0), image)
    np.testing.assert_array_equal(crop_border(image, 2), image[2:3, 2:5])
    for border in (-1, 3):
        with pytest.raises(UserError, match=f"crop_border={border}"):
            crop_border(image, border)
