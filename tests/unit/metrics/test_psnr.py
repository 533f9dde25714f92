"""PSNR, exact against integer arithmetic: of RGB, of Y, at the best displacement.

At the best displacement: every one is found, with its sign, exact against loops."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdm_tf.core.errors import UserError
from pdm_tf.metrics.base import luma
from pdm_tf.metrics.psnr import (
    MAX_SHIFT,
    best_shift,
    psnr,
    psnr_shift,
    psnr_y,
    squared_errors_by_shift,
)
from tests.oracles import luma_oracle, psnr_oracle, shift_oracle


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


def _pair(seed, height=21, width=26):
    rng = np.random.default_rng(seed)
    hr = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    sr = np.clip(hr + rng.normal(0, 20, hr.shape), 0, 255).astype(np.uint8)
    return sr, hr


def test_psnr_y_equals_the_definition():
    """B27: Y of uint8 multiplied by 255 wrapped around."""
    sr, hr = _pair(2)
    assert psnr_y(sr, hr) == pytest.approx(luma_oracle.psnr_y(sr, hr), abs=1e-10)
    metrics = pytest.importorskip("skimage.metrics", reason="needs scikit-image")
    wanted = metrics.peak_signal_noise_ratio(luma(hr), luma(sr), data_range=255)
    assert psnr_y(sr, hr) == pytest.approx(wanted, abs=1e-10)
    assert psnr_y(hr, hr) == math.inf


def test_colour_alone_does_not_count():
    """Two colours of one Y: infinitely good in Y, not in RGB."""
    hr = np.zeros((12, 12, 3), np.uint8)
    hr[:] = (60, 0, 0)
    sr = hr[..., ::-1]
    y = luma(hr)[0, 0] - 16
    assert psnr_y(sr, hr) == pytest.approx(
        20 * math.log10(255 / (y * (1 - 24.966 / 65.481))), abs=1e-9
    )


@pytest.mark.parametrize("dy", range(-MAX_SHIFT, MAX_SHIFT + 1))
@pytest.mark.parametrize("dx", range(-MAX_SHIFT, MAX_SHIFT + 1))
def test_translated_copy_is_infinite_with_its_sign(dy, dx):
    """B23 of the released code: positive displacements were never tried."""
    rng = np.random.default_rng(7)
    scene = rng.integers(0, 256, (60, 50, 3)).astype(np.uint8)
    hr = scene[15:45, 12:40]
    sr = scene[15 - dy : 45 - dy, 12 - dx : 40 - dx]  # content moved by (+dy, +dx)
    assert best_shift(sr, hr) == (math.inf, dy, dx)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    m=st.integers(0, 4),
    extra=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    channels=st.sampled_from([1, 3]),
    top=st.sampled_from([2, 256]),
)
def test_best_shift_equals_loops(seed, m, extra, channels, top):
    """Catches a swapped axis, a window one pixel off, a wrong tie rule (top=2)."""
    rng = np.random.default_rng(seed)
    shape = (2, 2 * m + extra[0], 2 * m + extra[1], channels)
    sr, hr = rng.integers(0, top, shape).astype(np.uint8)
    value, (dy, dx) = shift_oracle.best(sr, hr, m)
    found = best_shift(sr, hr, m)
    assert found.psnr == pytest.approx(value, rel=1e-12)
    assert found.dy**2 + found.dx**2 == dy**2 + dx**2
    assert shift_oracle.at(sr, hr, found.dy, found.dx) == pytest.approx(value)
    assert found.psnr >= psnr(sr, hr)


def test_squared_errors_by_shift_are_exact_integers():
    """Extreme values at a real size: no rounding in the expanded square."""
    rng = np.random.default_rng(3)
    sr, hr = (rng.integers(0, 2, (2, 120, 90, 3)) * 255).astype(np.uint8)
    errors = squared_errors_by_shift(sr, hr, 6)
    window = sr[6 + 5 : 114 + 5, 6 - 6 : 84 - 6].astype(np.int64)
    expected = np.sum((window - hr[6:114, 6:84].astype(np.int64)) ** 2)
    assert errors[6 + 5, 6 - 6] == expected


def test_a_bad_border_cannot_put_it_below_plain_psnr():
    """The middle is worse than the border: over the middle alone it would be lower."""
    rng = np.random.default_rng(4)
    hr = rng.integers(60, 190, (40, 30, 3)).astype(np.uint8)
    sr = hr + 1
    sr[6:-6, 6:-6] = hr[6:-6, 6:-6] + 40
    assert psnr(sr[6:-6, 6:-6], hr[6:-6, 6:-6]) < psnr(sr, hr) - 1
    assert best_shift(sr, hr) == (psnr(sr, hr), 0, 0)
    assert best_shift(sr, hr, 0).psnr == psnr_shift(sr, hr) == psnr(sr, hr)


def test_constant_images_have_no_shift():
    """All displacements tie: the report must say (0, 0), not a corner."""
    grey = np.full((20, 20, 3), 90, np.uint8)
    assert best_shift(grey, grey.copy()) == (math.inf, 0, 0)
    value = best_shift(grey, np.full_like(grey, 100))
    assert value == (pytest.approx(20 * math.log10(25.5)), 0, 0)


def test_best_shift_refuses_too_small_and_negative():
    small = np.zeros((12, 40, 3), np.uint8)
    with pytest.raises(UserError, match="13x13 pixels.*40x12"):
        best_shift(small, small)
    with pytest.raises(UserError, match="max_shift.*-1"):
        best_shift(small, small, -1)


@pytest.mark.slow
def test_best_shift_is_fast_enough():
    """481x321 in under half a second (it runs at each validation)."""
    rng = np.random.default_rng(0)
    sr, hr = rng.integers(0, 256, (2, 321, 481, 3)).astype(np.uint8)
    start = time.perf_counter()
    best_shift(sr, hr)
    assert time.perf_counter() - start < 0.5
