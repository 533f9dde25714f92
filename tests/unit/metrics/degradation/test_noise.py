"""Noise statistics of noise whose statistics are known."""

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from pdm_tf.metrics.degradation.noise import (
    channel_correlation,
    level_ratios,
    noise_levels,
    noise_spectrum,
)


def _shot(seed, gain=1.0, shape=(40, 32, 32, 3)):
    """Clean values and noise of variance 0.01^2 + 0.002 * signal."""
    draw = np.random.default_rng(seed)
    clean = draw.uniform(size=shape)
    return clean, gain * draw.normal(size=shape) * np.sqrt(1e-4 + 0.002 * clean)


def test_levels_follow_signal_dependent_noise():
    clean, noise = _shot(0)
    found = noise_levels(clean, noise)
    np.testing.assert_allclose(
        found.std, np.sqrt(1e-4 + 0.002 * found.level), rtol=0.03
    )
    assert found.count.sum() == clean.size
    doubled = noise_levels(*_shot(1, gain=2.0))
    np.testing.assert_allclose(level_ratios(doubled, found), 2.0, rtol=0.05)


def test_levels_need_values():
    """A bin of few values has no standard deviation, and no ratio."""
    clean, noise = _shot(0)
    dark = noise_levels(clean * 0.49, noise)
    assert np.isfinite(dark.std).tolist() == [True] * 4 + [False] * 4
    bright = noise_levels(1.0 - clean * 0.49, noise)
    with pytest.raises(ValueError, match="share a signal level"):
        level_ratios(dark, bright)
    assert np.isfinite(level_ratios(dark, noise_levels(clean, noise))).sum() == 4


def test_grey_noise_counts_for_each_channel():
    clean, noise = _shot(0)
    grey = noise[..., :1]
    repeated = noise_levels(clean, np.repeat(grey, 3, axis=-1))
    np.testing.assert_array_equal(noise_levels(clean, grey).std, repeated.std)


def test_spectrum_of_white_smooth_and_no_noise():
    white = np.random.default_rng(0).normal(size=[40, 32, 32, 3])
    frequency, power = noise_spectrum(white + 5.0)  # a cast does not count
    np.testing.assert_allclose(power, 1.0, atol=0.1)
    np.testing.assert_allclose(frequency, (np.arange(8) + 0.5) / 16)
    smooth = uniform_filter(white, [0, 3, 3, 0], mode="wrap")
    # Transfer function of the 3x3 box along an axis: (1 + 2 cos 2 pi f) / 3 each way.
    f = np.fft.fftfreq(32)
    transfer = np.outer(*[(1 + 2 * np.cos(2 * np.pi * f)) / 3] * 2) ** 2
    ring = np.floor(np.hypot(*np.meshgrid(f, f)) * 16).astype(int)
    ring[0, 0] = -1
    expected = [transfer[ring == r].mean() for r in range(8)]
    expected /= (transfer.sum() - 1) / (32 * 32 - 1)
    np.testing.assert_allclose(noise_spectrum(smooth)[1], expected, rtol=0.1, atol=0.01)
    assert not noise_spectrum(np.zeros([1, 17, 17, 3]))[1].any()
    with pytest.raises(ValueError, match="16 pixels"):
        noise_spectrum(white[:, :16])


def test_channel_correlation():
    draw = np.random.default_rng(0)
    one, two = draw.normal(size=[2, 30, 32, 32])
    noise = np.stack([one, 0.6 * one + 0.8 * two, np.zeros_like(one)], axis=-1)
    found = channel_correlation(noise)
    assert found[0, 1] == pytest.approx(0.6, abs=0.02) and found[0, 0] == pytest.approx(
        1.0
    )
    assert np.isnan(found[2]).all()
