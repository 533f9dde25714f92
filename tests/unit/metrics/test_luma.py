"""Y-channel PSNR and SSIM against the definition and scikit-image."""

import math

import numpy as np
import pytest

from pdm_tf.metrics.luma import luma, psnr_y, ssim_y
from tests.oracles import luma_oracle, ssim_oracle


def _pair(seed, height=21, width=26):
    rng = np.random.default_rng(seed)
    hr = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    sr = np.clip(hr + rng.normal(0, 20, hr.shape), 0, 255).astype(np.uint8)
    return sr, hr


def test_luma_is_bt601():
    """Black 16, white 235, green brightest of the primaries; grey by its value."""
    colours = [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    image = np.array([colours], np.uint8)
    wanted = [16, 235, 16 + 65.481, 16 + 128.553, 16 + 24.966]
    np.testing.assert_allclose(luma(image)[0], wanted, rtol=1e-12)
    sr, _ = _pair(0)
    np.testing.assert_allclose(luma(sr), luma_oracle.luma(sr), rtol=1e-12)
    np.testing.assert_array_equal(luma(sr[..., :1]), luma(np.repeat(sr[..., :1], 3, 2)))


def test_luma_equals_scikit_image():
    color = pytest.importorskip("skimage.color", reason="needs scikit-image")
    sr, _ = _pair(1)
    np.testing.assert_allclose(luma(sr), color.rgb2ycbcr(sr)[..., 0], atol=1e-9)


def test_psnr_y_equals_the_definition():
    """B27: Y of uint8 multiplied by 255 wrapped around."""
    sr, hr = _pair(2)
    assert psnr_y(sr, hr) == pytest.approx(luma_oracle.psnr_y(sr, hr), abs=1e-10)
    metrics = pytest.importorskip("skimage.metrics", reason="needs scikit-image")
    wanted = metrics.peak_signal_noise_ratio(luma(hr), luma(sr), data_range=255)
    assert psnr_y(sr, hr) == pytest.approx(wanted, abs=1e-10)
    assert psnr_y(hr, hr) == math.inf


def test_ssim_y_equals_the_definition():
    sr, hr = _pair(3)
    wanted = ssim_oracle.ssim_map(luma_oracle.luma(sr), luma_oracle.luma(hr)).mean()
    assert ssim_y(sr, hr) == pytest.approx(wanted, abs=1e-10)
    metrics = pytest.importorskip("skimage.metrics", reason="needs scikit-image")
    _, whole = metrics.structural_similarity(
        luma(sr),
        luma(hr),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        full=True,
    )
    assert ssim_y(sr, hr) == pytest.approx(whole[5:-5, 5:-5].mean(), abs=1e-10)


def test_colour_alone_does_not_count():
    """Two colours of one Y: infinitely good in Y, not in RGB."""
    hr = np.zeros((12, 12, 3), np.uint8)
    hr[:] = (60, 0, 0)
    sr = hr[..., ::-1]
    y = luma(hr)[0, 0] - 16
    assert psnr_y(sr, hr) == pytest.approx(
        20 * math.log10(255 / (y * (1 - 24.966 / 65.481))), abs=1e-9
    )
