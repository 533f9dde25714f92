"""gaussian_jpeg: awgn_blur and then JPEG of a random quality, in windows too."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pdm_tf.core.images import to_u8
from pdm_tf.degradations import (
    DEGRADATIONS,
    AwgnBlurConfig,
    AwgnBlurDegradation,
    GaussianJpegConfig,
    JPEGModuleConfig,
    KernelModuleConfig,
    NoiseModuleConfig,
    PDMConfig,
)
from pdm_tf.degradations.whole_image import degrade_image
from tests.support.weights import shake
from tests.unit.data.folders import noise

SMALL = dict(kernel_size=5, quality_min=20, quality_max=40)


def small(**changes):
    config = GaussianJpegConfig(**{**SMALL, **changes})
    return DEGRADATIONS["gaussian_jpeg"](2, config)


@pytest.mark.parametrize("subsampling", ["420", "444"])
def test_is_awgn_blur_stored_by_a_real_codec(subsampling):
    degradation = small(subsampling=subsampling, noise_max_255=6.0)
    hr = np.random.default_rng(0).random([3, 52, 64, 3]).astype(np.float32)
    seed = tf.constant([5, 6])
    degraded = degradation.synthesise(hr, seed)
    plain = AwgnBlurDegradation(2, AwgnBlurConfig(kernel_size=5, noise_max_255=6.0))
    wanted = plain.synthesise(hr, seed)
    np.testing.assert_array_equal(degraded.clean_lr, wanted.clean_lr)
    for lr, before, quality in zip(
        degraded.lr.numpy(), wanted.lr.numpy(), degraded.quality.numpy(), strict=True
    ):
        file = io.BytesIO()
        Image.fromarray(to_u8(before)).save(
            file,
            "JPEG",
            quality=int(quality),
            subsampling={"420": 2, "444": 0}[subsampling],
        )
        off = np.abs(to_u8(lr).astype(int) - np.asarray(Image.open(file)))
        assert off.max() <= 1 and (off > 0).mean() < 1e-3


def test_qualities_fill_the_interval_evenly_and_differ():
    quality = small().draw(4000, 2, 2, tf.constant([1, 2]))[-1].numpy()
    counts = np.bincount(quality.astype(int))
    assert counts[:20].sum() == 0 and len(counts) == 41
    assert counts[20:].min() > 130 and counts[20:].max() < 260  # 4000 / 21 = 190


@pytest.mark.parametrize("subsampling", ["420", "444"])
def test_windows_leave_no_trace(subsampling):
    degradation = small(subsampling=subsampling)
    hr_u8 = noise(150, 118, 3)
    whole = degrade_image(degradation, hr_u8, (3, 4), tile=400)
    parts = degrade_image(degradation, hr_u8, (3, 4), tile=16)
    np.testing.assert_array_equal(whole.lr_u8, parts.lr_u8)
    assert 20 <= whole.quality <= 40


@pytest.mark.parametrize("subsampling", ["420", "444"])
def test_a_learned_degradation_with_jpeg_leaves_none_either(subsampling):
    """Blocks of a window are whole, noise of what it sees included."""
    pdm = PDMConfig(
        scale=2,
        kernel=KernelModuleConfig(
            kernel_size=5, latent_channels=4, filters=4, num_blocks=1
        ),
        noise=NoiseModuleConfig(filters=4, num_blocks=1, initial_std=0.1),
        jpeg=JPEGModuleConfig(subsampling=subsampling, initial_median=30.0),
    ).build()
    shake(pdm, amount=0.1)
    degradation = pdm
    hr_u8 = noise(150, 118, 3)
    whole = degrade_image(degradation, hr_u8, (3, 4), tile=400)
    parts = degrade_image(degradation, hr_u8, (3, 4), tile=16)
    # The noise's convolutions round differently on other sizes: 1e-7 at the border of
    # two levels moves a coefficient now and then.
    off = np.abs(whole.lr_u8.astype(int) - parts.lr_u8)
    assert (off > 0).mean() < 0.01 and off.max() < 20


@pytest.mark.parametrize(
    "changes",
    [
        {"quality_min": 0},
        {"quality_max": 101},
        {"quality_min": 50},
        {"subsampling": "411"},
        {"sigma_min_px": 0.0},
    ],
)
def test_settings_that_cannot_work_are_refused(changes):
    with pytest.raises(ValueError, match="Received"):
        small(**changes)
