"""Border crop; luma against its definition and scikit-image."""

import numpy as np
import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.metrics.base import crop_border, luma
from tests.oracles import luma_oracle


def test_crop_border():
    """0 is allowed and keeps all (a slice [0:-0] would be empty); too much is not."""
    image = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    np.testing.assert_array_equal(crop_border(image, 0), image)
    np.testing.assert_array_equal(crop_border(image, 2), image[2:3, 2:5])
    for border in (-1, 3):
        with pytest.raises(UserError, match=f"crop_border={border}"):
            crop_border(image, border)


def test_luma_is_bt601():
    """Black 16, white 235, green brightest of the primaries; grey by its value."""
    colours = [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    image = np.array([colours], np.uint8)
    wanted = [16, 235, 16 + 65.481, 16 + 128.553, 16 + 24.966]
    np.testing.assert_allclose(luma(image)[0], wanted, rtol=1e-12)
    sr = np.random.default_rng(0).integers(0, 256, (21, 26, 3)).astype(np.uint8)
    np.testing.assert_allclose(luma(sr), luma_oracle.luma(sr), rtol=1e-12)
    np.testing.assert_array_equal(luma(sr[..., :1]), luma(np.repeat(sr[..., :1], 3, 2)))


def test_luma_equals_scikit_image():
    color = pytest.importorskip("skimage.color", reason="needs scikit-image")
    sr = np.random.default_rng(1).integers(0, 256, (21, 26, 3)).astype(np.uint8)
    np.testing.assert_allclose(luma(sr), color.rgb2ycbcr(sr)[..., 0], atol=1e-9)
