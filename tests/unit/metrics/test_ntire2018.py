"""The NTIRE2018 score: every displacement against brute force, both modes."""

import math

import numpy as np
import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.metrics import ntire2018
from pdm_tf.metrics.ntire2018 import (
    MARGIN,
    psnr_ntire2018,
    psnr_ntire2018_release,
    scores32,
    squared_errors,
    ssim_ntire2018,
    ssim_ntire2018_release,
    ssim_scores,
    windows,
)
from tests.oracles import ntire2018_oracle as oracle
from tests.unit.evaluation.fakes import photo


def _pair(seed=0, height=166, width=187):
    """A picture and a noisy copy; sides that are no multiples of 4."""
    hr = photo(seed, height, width)
    noise = np.random.default_rng(seed).normal(0, 15, hr.shape)
    return np.clip(hr + noise, 0, 255).astype(np.uint8), hr


@pytest.mark.parametrize("size", [(160, 160), (166, 187), (203, 171)], ids=str)
def test_every_psnr_equals_brute_force(size):
    """Catches a wrong centre, a swapped sign or axis, wrap-around of the FFT."""
    sr, hr = _pair(1, *size)
    errors = squared_errors(windows(sr, hr, "x"))
    wanted = oracle.psnr_table(sr, hr)
    assert errors.shape == (81, 81) and len(wanted) == 6561
    np.testing.assert_array_equal(errors, np.rint(errors))
    for (dy, dx), value in wanted.items():
        found = 10 * math.log10(255**2 * 60 * 60 * 3 / errors[40 + dy, 40 + dx])
        assert found == pytest.approx(value, abs=1e-9)
    assert psnr_ntire2018(sr, hr) == pytest.approx(max(wanted.values()), abs=1e-9)


def test_sums_are_exact_for_extreme_values():
    rng = np.random.default_rng(5)
    sr, hr = (rng.integers(0, 2, (2, 160, 164, 3)) * 255).astype(np.uint8)
    w = windows(sr, hr, "x")
    errors = squared_errors(w)
    for i, j in [(0, 0), (80, 80), (3, 77), (40, 40)]:
        window = w.hr[i : i + 60, j : j + 60].astype(np.int64)
        assert errors[i, j] == np.sum((w.sr.astype(np.int64) - window) ** 2)


def test_ssim_equals_the_definition_at_corners_and_centre():
    """One window at a time; at the extremes of both axes and within."""
    sr, hr = _pair(2)
    scores = ssim_scores(windows(sr, hr, "x"))
    assert scores.shape == (41, 41)
    for dy, dx in [(-40, -40), (40, 40), (-40, 38), (0, 0), (2, -6)]:
        found = scores[(dy + 40) // 2, (dx + 40) // 2]
        assert found == pytest.approx(oracle.ssim_at(sr, hr, dy, dx), abs=1e-10)


def test_every_ssim_equals_scikit_image():
    """All 1,681 even displacements."""
    metrics = pytest.importorskip("skimage.metrics", reason="needs scikit-image")
    sr, hr = (x[..., 1:2] for x in _pair(3))
    scores = ssim_scores(windows(sr, hr, "x"))
    window, reference, y, x = oracle.windows(sr, hr)
    wanted = {}
    for dy in range(-40, 41, 2):
        for dx in range(-40, 41, 2):
            _, whole = metrics.structural_similarity(
                window[..., 0],
                oracle.moved(reference, y, x, dy, dx)[..., 0],
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                data_range=255,
                full=True,
            )
            wanted[dy, dx] = whole[5:-5, 5:-5].mean()
            found = scores[(dy + 40) // 2, (dx + 40) // 2]
            assert found == pytest.approx(wanted[dy, dx], abs=1e-10)
    assert ssim_ntire2018(sr, hr) == pytest.approx(max(wanted.values()), abs=1e-10)
    released = oracle.released_ssim(wanted)
    assert ssim_ntire2018_release(sr, hr) == pytest.approx(released, abs=1e-10)


def _hard_pairs():
    """Where float32, or the search for the best, could go wrong: (name, sr, hr)."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:164, :168]
    black_white = (rng.integers(0, 2, (2, 164, 168, 3)) * 255).astype(np.uint8)
    yield "black and white noise", *black_white
    half = np.where((x < 84)[..., None], 0, 255) + np.zeros(3)
    speckled = np.clip(half + rng.integers(-1, 2, half.shape), 0, 255)
    yield "flat halves", half.astype(np.uint8), speckled.astype(np.uint8)
    bright = 250 + rng.integers(0, 5, (2, 164, 168, 3))
    yield "bright and faint", *bright.astype(np.uint8)
    grey = np.full((164, 168, 3), 90, np.uint8)
    yield "constant", grey, grey + 1
    stripes = ((x // 2 % 2) * 255)[..., None].repeat(3, -1).astype(np.uint8)
    yield "periodic", stripes, stripes
    other = photo(12, 164, 168)
    yield "unrelated", photo(13, 164, 168), other
    yield "the same", other, other
    mixed = other.copy()
    mixed[..., 0] = photo(14, 164, 168)[..., 0]
    yield "one channel spoilt", mixed, other
    yield "inverted", 255 - other, other


@pytest.mark.parametrize(
    ("sr", "hr"),
    [pair[1:] for pair in _hard_pairs()],
    ids=[p[0] for p in _hard_pairs()],
)
def test_the_search_gives_the_largest_of_the_table(sr, hr):
    """Within float64; and what float32 rounds stays a tenth of what is allowed for."""
    w = windows(sr, hr, "x")
    table = ssim_scores(w)
    assert ssim_ntire2018(sr, hr) == pytest.approx(table.max(), abs=1e-12)
    near = np.mean([scores32(w.sr[..., c], w.hr[..., c], 2) for c in range(3)], axis=0)
    assert np.abs(near - table).max() < MARGIN / 10


def test_a_best_that_the_first_channels_hide_is_found():
    """The channels looked at first favour one displacement, the last one another."""
    scene = photo(15, 260, 260)
    hr = scene[45:209, 45:213]
    sr = np.stack(
        [scene[45 + 8 : 209 + 8, 45:213, 0], scene[45 - 20 : 209 - 20, 45:213, 1]]
        + [scene[45 - 20 : 209 - 20, 45:213, 2]],
        axis=-1,
    )
    table = ssim_scores(windows(sr, hr, "x"))
    assert np.unravel_index(np.argmax(table), table.shape) == (10, 20)
    assert ssim_ntire2018(sr, hr) == pytest.approx(table.max(), abs=1e-12)


@pytest.mark.parametrize("dy", [-40, -7, 0, 1, 40])
@pytest.mark.parametrize("dx", [-40, -1, 0, 13, 40])
def test_a_translated_copy_is_infinite_but_not_in_the_release(dy, dx):
    """B23: of displacements to the right only the last row survives."""
    scene = np.random.default_rng(8).integers(0, 256, (260, 260, 3)).astype(np.uint8)
    hr = scene[45:215, 45:215]
    sr = scene[45 + dy : 215 + dy, 45 + dx : 215 + dx]  # sr[y, x] = hr[y + dy, x + dx]
    assert psnr_ntire2018(sr, hr) == math.inf
    kept = dx <= 0 or dy == 40
    assert (psnr_ntire2018_release(sr, hr) == math.inf) == kept


def test_release_equals_its_table_slot_by_slot():
    assert ntire2018.released_survivors().sum() == 3361
    sr, hr = _pair(4)
    wanted = oracle.released_psnr(sr, hr)
    assert psnr_ntire2018_release(sr, hr) == pytest.approx(wanted, abs=1e-9)
    dark = sr // 40, hr  # nearer to black than to the reference
    wanted = oracle.released_psnr(*dark)
    assert psnr_ntire2018_release(*dark) == pytest.approx(wanted, abs=1e-9)
    assert wanted > psnr_ntire2018(*dark) + 3


def test_release_never_has_a_negative_ssim():
    """An inverted checkerboard: negative wherever the shift is even."""
    y, x = np.mgrid[:160, :160]
    board = np.repeat(((y + x) % 2 * 255)[..., None], 3, -1).astype(np.uint8)
    assert ssim_ntire2018(255 - board, board) < -0.9
    assert ssim_ntire2018_release(255 - board, board) == 0.0


def test_only_the_centre_counts_and_159_pixels_are_refused():
    sr, hr = _pair(6, 240, 240)
    spoilt = sr.copy()
    spoilt[:80] = 0
    assert psnr_ntire2018(spoilt, hr) == psnr_ntire2018(sr, hr)
    with pytest.raises(UserError, match="160x160 pixels.*200x159"):
        psnr_ntire2018(sr[:159, :200], hr[:159, :200])
