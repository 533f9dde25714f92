"""Best-shift PSNR: every displacement found, with its sign; exact against loops."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdm_tf.core.errors import UserError
from pdm_tf.metrics.psnr import psnr
from pdm_tf.metrics.shift_psnr import MAX_SHIFT, best_shift, psnr_shift, squared_errors
from tests.oracles import shift_oracle


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
def test_equals_loops(seed, m, extra, channels, top):
    """Catches a swapped axis, a window one pixel off, a wrong tie rule (top=2)."""
    rng = np.random.default_rng(seed)
    shape = (2, 2 * m + extra[0], 2 * m + extra[1], channels)
    sr, hr = rng.integers(0, top, shape).astype(np.uint8)
    value, (dy, dx) = shift_oracle.best(sr, hr, m)
    found = best_shift(sr, hr, m)
    assert found.psnr == pytest.approx(value, rel=1e-12)
    assert found.dy**2 + found.dx**2 == dy**2 + dx**2
    table = shift_oracle.scores(sr, hr, m)
    assert table[found.dy, found.dx] == pytest.approx(value, rel=1e-12)


def test_sums_are_exact_integers():
    """Extreme values at a real size: no rounding in the expanded square."""
    rng = np.random.default_rng(3)
    sr, hr = (rng.integers(0, 2, (2, 120, 90, 3)) * 255).astype(np.uint8)
    errors = squared_errors(sr, hr, 6)
    window = sr[6 + 5 : 114 + 5, 6 - 6 : 84 - 6].astype(np.int64)
    expected = np.sum((window - hr[6:114, 6:84].astype(np.int64)) ** 2)
    assert errors[6 + 5, 6 - 6] == expected


def test_no_shift_is_plain_psnr_and_more_shifts_never_hurt():
    """m = 0 is plain PSNR; on one interior the best can't be below the middle."""
    rng = np.random.default_rng(4)
    sr, hr = rng.integers(0, 256, (2, 40, 30, 3)).astype(np.uint8)
    assert best_shift(sr, hr, 0).psnr == pytest.approx(psnr(sr, hr), rel=1e-12)
    assert psnr_shift(sr, hr) >= psnr(sr[6:-6, 6:-6], hr[6:-6, 6:-6]) - 1e-9


def test_constant_images_stay_in_place():
    """All displacements tie: the report must say (0, 0), not a corner."""
    grey = np.full((20, 20, 3), 90, np.uint8)
    assert best_shift(grey, grey.copy()) == (math.inf, 0, 0)
    value = best_shift(grey, np.full_like(grey, 100))
    assert value == (pytest.approx(20 * math.log10(25.5)), 0, 0)


def test_refuses_too_small_and_negative():
    small = np.zeros((12, 40, 3), np.uint8)
    with pytest.raises(UserError, match="13x13 pixels.*40x12"):
        best_shift(small, small)
    with pytest.raises(UserError, match="max_shift.*-1"):
        best_shift(small, small, -1)


@pytest.mark.slow
def test_fast_enough():
    """481x321 in under half a second (it runs at each validation)."""
    rng = np.random.default_rng(0)
    sr, hr = rng.integers(0, 256, (2, 321, 481, 3)).astype(np.uint8)
    start = time.perf_counter()
    best_shift(sr, hr)
    assert time.perf_counter() - start < 0.5
