"""SSIM: the definition window by window, scikit-image, and the edges."""

import numpy as np
import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.metrics.base import luma
from pdm_tf.metrics.ssim import gaussian_weights, ssim, ssim_y
from tests.oracles import luma_oracle, ssim_oracle


def _pair(seed: int, height: int, width: int, channels: int = 3, noise: float = 20.0):
    """A smooth random picture and a noisy, brighter copy of it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    phase = rng.uniform(0, 6.3, channels)
    clean = 128 + 70 * np.sin(x[..., None] / 3 + phase) * np.cos(y[..., None] / 5)
    noisy = clean * 0.9 + 15 + rng.normal(0, noise, clean.shape)
    return tuple(np.clip(v, 0, 255).round().astype(np.uint8) for v in (noisy, clean))


@pytest.mark.parametrize(
    ("height", "width", "channels"), [(11, 11, 3), (11, 17, 1), (24, 19, 3)]
)
def test_equals_definition(height, width, channels):
    """Catches a wrong window, constant, border rule, or a transposed filter."""
    a, b = _pair(1, height, width, channels)
    assert ssim(a, b) == pytest.approx(ssim_oracle.ssim(a, b), abs=1e-10)


@pytest.mark.parametrize(
    ("height", "width", "noise"),
    [(53, 67, 0.0), (53, 67, 5.0), (74, 30, 60.0), (75, 30, 60.0), (150, 41, 9.0)],
)
def test_equals_scikit_image_on_valid_region(height, width, noise):
    """The convention of the field: same map, mirrored border cut off.

    Heights around the product's strip of 64 windows: no row lost or counted twice.
    """
    metrics = pytest.importorskip("skimage.metrics", reason="needs scikit-image")
    a, b = _pair(2, height, width, noise=noise)
    _, ssim_map = metrics.structural_similarity(
        a,
        b,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        channel_axis=-1,
        full=True,
    )
    expected = ssim_map[5:-5, 5:-5].mean()
    assert ssim(a, b) == pytest.approx(expected, abs=1e-10)


def test_window_sums_to_one_and_is_the_marginal_of_the_square():
    """Separable: the outer product is the paper's normalised 11x11 window."""
    weights = gaussian_weights()
    np.testing.assert_allclose(weights.sum(), 1.0, rtol=1e-15)
    np.testing.assert_allclose(
        np.outer(weights, weights), ssim_oracle.window_2d(), rtol=1e-12
    )


def test_identical_is_one_and_constants_follow_the_formula():
    """No variance: only the luminance term is left; nothing divides by zero."""
    a, _ = _pair(3, 20, 20)
    assert ssim(a, a.copy()) == pytest.approx(1.0, abs=1e-12)
    for x, y in ((0, 0), (0, 255), (100, 110), (255, 255)):
        c1 = (0.01 * 255) ** 2
        expected = (2 * x * y + c1) / (x**2 + y**2 + c1)
        images = [np.full((16, 13, 3), v, np.uint8) for v in (x, y)]
        assert ssim(*images) == pytest.approx(expected, abs=1e-9)


def test_invariances():
    """Symmetric in its arguments, and blind to flips and quarter turns of both."""
    a, b = _pair(4, 25, 31)
    value = ssim(a, b)
    assert ssim(b, a) == pytest.approx(value, abs=1e-12)
    assert ssim(a[:, ::-1], b[:, ::-1]) == pytest.approx(value, abs=1e-12)
    assert ssim(np.rot90(a), np.rot90(b)) == pytest.approx(value, abs=1e-12)


def test_inverted_image_is_negative():
    """Structure of opposite sign must not be clipped to zero."""
    a, _ = _pair(5, 30, 30, noise=0.0)
    assert ssim(255 - a, a) < 0


def test_smaller_than_the_window_is_refused():
    with pytest.raises(UserError, match="11x11 pixels.*10x40"):
        ssim(np.zeros((40, 10, 3), np.uint8), np.zeros((40, 10, 3), np.uint8))


def test_ssim_y_equals_the_definition():
    rng = np.random.default_rng(3)
    hr = rng.integers(0, 256, (21, 26, 3)).astype(np.uint8)
    sr = np.clip(hr + rng.normal(0, 20, hr.shape), 0, 255).astype(np.uint8)
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
