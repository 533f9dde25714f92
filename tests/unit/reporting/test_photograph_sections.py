"""The page's statements on noise, for noise whose truth is known."""

import numpy as np
import pytest

from pdm_tf.reporting.photograph_sections import (
    amplification,
    colour_cast,
    content_correlation,
    noise_section,
    radial_spectrum,
    strength_curve,
)

DRAW = np.random.default_rng(3)
CLEAN = DRAW.random((32, 48, 48, 3)).astype(np.float32)
WHITE = DRAW.standard_normal((32, 48, 48, 3)) * 0.02


def test_spectrum_of_white_noise_is_its_variance_everywhere():
    grey = np.repeat(DRAW.standard_normal((64, 48, 48, 1)) * 3.0, 3, axis=-1)
    powers = np.array([power for _, power in radial_spectrum(grey)])
    np.testing.assert_allclose(powers, 9.0, rtol=0.25)
    assert powers.mean() == pytest.approx(9.0, rel=0.05)


def test_spectrum_of_a_wave_has_its_peak_at_the_wave():
    x = np.arange(48)
    wave = np.tile(np.sin(2 * np.pi * 0.25 * x), (2, 48, 1))[..., None]
    curve = radial_spectrum(wave)
    assert max(curve, key=lambda p: p[1])[0] == pytest.approx(0.25, abs=0.02)


def test_strength_follows_the_brightness():
    """Shot noise, variance 0.002 times the signal."""
    noise = DRAW.standard_normal(CLEAN.shape) * np.sqrt(0.002 * CLEAN)
    curve = strength_curve(CLEAN, noise)
    assert len(curve) == 16
    for level, spread in curve:
        assert spread == pytest.approx(255 * np.sqrt(0.002 * level / 255), rel=0.08)


def test_grey_noise_counts_for_all_channels():
    noise = WHITE[..., :1]
    for _, spread in strength_curve(CLEAN, noise):
        assert spread == pytest.approx(0.02 * 255, rel=0.08)
    assert "mean of red" not in noise_section(CLEAN, noise).body


def test_cast_and_content_are_separated_from_noise():
    assert colour_cast(WHITE) < 0.001
    tint = np.where(np.arange(32) % 2, 0.01, -0.01)[:, None, None, None]
    assert colour_cast(WHITE + tint) == pytest.approx(0.01, rel=0.05)
    assert abs(content_correlation(CLEAN, WHITE)) < 0.03
    assert content_correlation(CLEAN, WHITE + 0.2 * CLEAN) > 0.5
    assert content_correlation(CLEAN, WHITE - 0.2 * CLEAN) < -0.5


@pytest.mark.parametrize(("spread", "factor"), [(1.0, 1), (0.02, 8), (1e-9, 64)])
def test_amplification_fills_the_range(spread, factor):
    noise = np.array([-spread, spread])
    assert amplification(noise) == factor
