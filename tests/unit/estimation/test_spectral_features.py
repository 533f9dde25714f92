"""The features: what they measure, and that a moved photograph only reorders them."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pdm_tf.core.images import list_images, read_rgb_u8, to_u8
from pdm_tf.estimation.spectral_features import (
    FEATURES,
    LEAST_SIDE,
    STRIDE,
    SYMMETRIES,
    WINDOW,
    features,
    features_of,
)
from pdm_tf.samples import PHOTOS_FOR_HR
from tests.unit.evaluation.fakes import photo

BINS = 129


def sample_photo():
    return read_rgb_u8(list_images(PHOTOS_FOR_HR)[2])[100:196, 80:184]


def test_log_powers_by_loops():
    """The first statistics, mean and log-mean of the power, frequency by frequency."""
    image = photo(0, 40, 56)
    luma = image / 255.0 @ [0.299, 0.587, 0.114]
    arch = np.sin(np.pi * (np.arange(WINDOW) + 0.5) / WINDOW) ** 2
    powers = []
    for top in range(0, 40 - WINDOW + 1, STRIDE):
        for left in range(0, 56 - WINDOW + 1, STRIDE):
            window = luma[top : top + WINDOW, left : left + WINDOW]
            moved = (window - window.mean()) * np.outer(arch, arch)
            powers.append(np.abs(np.fft.fft2(moved)) ** 2 + 1e-5)
    powers = np.array(powers)
    got = features(image)
    expected = np.sort(np.log(powers).mean(0).ravel())
    # Each frequency but the mean occurs once in the vector, with its twin in the DFT.
    for value in got[:BINS]:
        assert np.abs(expected - value).min() < 2e-3
    for value in got[BINS : 2 * BINS]:
        assert np.abs(np.log(powers.mean(0)) - value).min() < 2e-3


def test_a_blur_moves_log_powers_by_its_response():
    """exp(-sigma^2 w^2) at the horizontal frequency of one cycle in 4 pixels."""
    random = np.random.default_rng(0)
    rough = gaussian_filter(random.standard_normal((256, 256)), 0.6, mode="wrap")
    rough = 0.5 + 0.12 * rough / rough.std()
    blurred = gaussian_filter(rough, (0.0, 0.8), mode="wrap")
    sharp, soft = (
        features(to_u8(np.repeat(x[..., None], 3, 2)))[:BINS] for x in (rough, blurred)
    )
    change = soft - sharp
    # Along y (the first eight frequencies) nothing changes, along x by
    # exp(-(0.8 * 2 pi f)^2), but for what windows leak from lower frequencies.
    assert np.abs(change[:8]).max() < 0.1
    expected = -((0.8 * 2 * np.pi * 4 / WINDOW) ** 2)
    assert np.abs(change - expected).min() < 0.2


@pytest.mark.parametrize("index", [1, 2, 3])
def test_moved_photographs(index):
    image = sample_photo()
    moved = image[:, ::-1] if index == 1 else image.swapaxes(0, 1)
    moved = moved[:, ::-1] if index == 3 else moved
    before, after = features(image), features(np.ascontiguousarray(moved))
    np.testing.assert_allclose(after, before[SYMMETRIES[index]], atol=2e-3)
    assert np.abs(after - before).max() > 0.05


def test_batches_and_single_ones():
    images = np.stack([photo(seed, 48, 64) for seed in range(3)])
    got = features_of(images)
    assert got.shape == (3, FEATURES)
    assert got.dtype == np.float32
    for image, row in zip(images, got, strict=True):
        np.testing.assert_allclose(features(image), row, atol=1e-5)


@pytest.mark.parametrize("level", [0, 77, 255])
def test_flat_photographs_have_finite_features(level):
    assert np.isfinite(features(np.full((48, 48, 3), level, np.uint8))).all()


def test_a_large_photograph_costs_a_bounded_number_of_windows():
    """And says the same as a part of it, if it is the same everywhere."""
    random = np.random.default_rng(1)
    rough = to_u8(0.5 + 0.1 * random.standard_normal((720, 720, 3)))
    whole, part = features(rough)[:BINS], features(rough[:160, :160])[:BINS]
    assert np.abs(whole - part).mean() < 0.1


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((LEAST_SIDE - 1, 64, 3), np.uint8),
        np.zeros((64, 64, 3), np.float32),
        np.zeros((64, 64), np.uint8),
        np.zeros((64, 64, 4), np.uint8),
    ],
)
def test_what_is_no_photograph_is_refused(image):
    with pytest.raises(ValueError, match="Received"):
        features(image)
