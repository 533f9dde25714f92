"""Bicubic lies where the LR pixels lie, and no network gains from its displacement."""

import numpy as np
import pytest

from pdm_tf.core.images import to_u8
from pdm_tf.core.imresize import imresize
from pdm_tf.evaluation.baseline import baseline_grid, bicubic_upscaler
from pdm_tf.evaluation.runner import evaluate_pairs
from pdm_tf.metrics.psnr import best_shift, psnr
from tests.unit.evaluation.fakes import BrokenPair, MemoryPair, bicubic_pair, photo


def sampled_pair(seed: int, scale: int = 4) -> MemoryPair:
    """A photograph and every scale-th pixel of it, blurred before: grid pixel0."""
    hr_u8 = photo(seed, 12 * scale, 16 * scale)
    wide = np.pad(hr_u8.astype(float), ((4, 4), (4, 4), (0, 0)), "symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(wide, (9, 9), axis=(0, 1))
    lr_u8 = to_u8(windows[::scale, ::scale].mean(axis=(-1, -2)) / 255)
    return MemoryPair(f"sampled{seed}", hr_u8, lr_u8)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("grid", ["half_pixel", "pixel0"])
def test_a_ramp_lies_where_its_pixels_lie(scale, grid):
    """LR pixel i is HR pixel scale * i, or the middle of its scale pixels."""
    lr_u8 = np.tile(np.arange(0, 240, 8, dtype=np.uint8)[:, None], (8, 1, 3))
    lr_u8 = lr_u8.reshape(8, 30, 3)
    made = bicubic_upscaler(scale, grid)(lr_u8)[4, :, 0].astype(float)
    places = scale * np.arange(30) + (0 if grid == "pixel0" else (scale - 1) / 2)
    expected = np.interp(np.arange(30 * scale), places, lr_u8[0, :, 0])
    inside = slice(3 * scale, -3 * scale)
    assert np.abs(made[inside] - expected[inside]).max() <= 0.5 + 1e-9


def test_on_the_usual_grid_it_is_matlabs():
    lr_u8 = photo(0, 20, 24)
    wanted = to_u8(imresize(lr_u8 / 255.0, 4))
    np.testing.assert_array_equal(bicubic_upscaler(4)(lr_u8), wanted)
    np.testing.assert_array_equal(bicubic_upscaler(4, "half_pixel")(lr_u8), wanted)
    np.testing.assert_array_equal(bicubic_upscaler(1, "pixel0")(lr_u8), lr_u8)


@pytest.mark.parametrize("scale", [2, 4])
def test_the_grid_is_found_by_the_pairs(scale):
    """Whatever the network: what is recorded decides, then the pairs."""
    sampled = [BrokenPair(), *(sampled_pair(seed, scale) for seed in range(3))]
    usual = [bicubic_pair(seed, scale=scale) for seed in range(3)]
    for network in (None, "pixel0", "half_pixel"):
        assert baseline_grid(sampled, scale, network=network) == "pixel0"
        assert baseline_grid(usual, scale, network=network) == "half_pixel"
    assert baseline_grid(usual, scale, recorded="pixel0") == "pixel0"
    alone = [MemoryPair("lr", None, usual[0].lr_u8)]
    assert baseline_grid(alone, scale, network="pixel0") == "pixel0"
    assert baseline_grid(alone, scale) == baseline_grid([], scale) == "half_pixel"


def test_displacement_is_no_gain():
    """On pixel0 plain bicubic is 1.5 px off and loses decibels that are no merit."""
    pair = sampled_pair(5)
    on_grid, usual = (
        bicubic_upscaler(4, g)(pair.lr_u8) for g in ("pixel0", "half_pixel")
    )
    assert psnr(on_grid, pair.hr_u8) > psnr(usual, pair.hr_u8) + 0.3
    assert best_shift(on_grid, pair.hr_u8)[1:] == (0, 0)
    assert max(best_shift(usual, pair.hr_u8)[1:]) in (1, 2)


def test_nobody_has_to_ask_for_the_right_grid():
    """Without further words, a network that is bicubic itself gains nothing."""
    pairs = [sampled_pair(seed) for seed in range(2)]
    result = evaluate_pairs(
        bicubic_upscaler(4, "pixel0"), pairs, metrics=["psnr"], crop_border=4, scale=4
    )
    assert result.grid == "pixel0"
    assert result.mean == result.baseline_mean
