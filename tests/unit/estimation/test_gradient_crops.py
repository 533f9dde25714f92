"""Where KernelGAN's crops are taken, and that its three views fit together."""

import numpy as np
import pytest
from scipy.signal import convolve2d

from pdm_tf.core.imresize import imresize
from pdm_tf.estimation.gradient_crops import GradientCrops, gradient_map
from tests.oracles import kernelgan_oracle as oracle
from tests.unit.evaluation.fakes import photo


def crops_of(image, seed=0, large=32, small=10, steps=40):
    random = np.random.default_rng(seed)
    return GradientCrops(image, large, small, steps, random)


def test_bicubic_is_the_crops_own_reduction():
    """With the kernel that the generator should find: catches a shifted target."""
    from pdm_tf.estimation.kernel_forms import bicubic_kernel

    stream = crops_of(photo(0, 61, 75))
    for step in range(5):
        crops = stream.at(step)
        for colour in range(3):
            own = oracle.reduce(crops.large[..., colour], bicubic_kernel(13), 2)
            np.testing.assert_allclose(own, crops.bicubic[..., colour], atol=1e-5)


def test_the_map_is_the_published_one():
    """Written again with loops over the definition's parts."""
    image = photo(1, 40, 50) / 255.0
    grey = image @ [0.299, 0.587, 0.114]
    gy, gx = np.gradient(grey)
    total = 0.0
    for part, is_strength in ((np.hypot(gx, gy), True), (abs(gx), 0), (abs(gy), 0)):
        padded = np.zeros_like(part)
        padded[5:-5, 5:-5] = part[5:-5, 5:-5]
        if not is_strength:
            ordered = np.sort(padded.ravel())
            low, high = ordered[int(0.97 * 2000)], ordered[int(0.97 * 2000) + 1]
            padded = np.clip(padded, low, high) - low
        total = total + padded / padded.sum()
    expected = convolve2d(total, np.ones((5, 5)), "same")
    got = gradient_map(image)
    np.testing.assert_allclose(got, expected / expected.mean(), atol=1e-9)
    assert imresize(image, 0.5).shape == (20, 25, 3)


def test_crops_are_taken_where_there_is_detail():
    """Texture in one corner of a grey photograph: all crops reach into it."""
    image = np.full((120, 160, 3), 128, np.uint8)
    image[:40, :40] = np.random.default_rng(0).integers(0, 255, (40, 40, 3))
    stream = crops_of(image)
    spreads = [np.ptp(stream.at(step).large) for step in range(40)]
    assert np.mean(np.array(spreads) > 0.5) > 0.9


@pytest.mark.parametrize("shape", [(32, 32), (33, 80), (60, 32)])
def test_small_and_flat_photographs(shape):
    """As large as a crop, odd sides, no gradient at all."""
    stream = crops_of(np.full((*shape, 3), 77, np.uint8))
    for step in range(40):
        crops = stream.at(step)
        assert crops.large.shape == (32, 32, 3) and crops.real.shape == (10, 10, 3)
        np.testing.assert_allclose(crops.large, 2 * 77 / 255 - 1, rtol=1e-6)


def test_seeds_noise_and_refusal():
    """Noise of 2/255 and 1/255, to 5 standard errors of 12,000 numbers."""
    image = np.full((64, 64, 3), 100, np.uint8)
    one, same, other = (crops_of(image, seed) for seed in (0, 0, 1))
    real, noise = [], []
    for step in range(40):
        a, b, c = one.at(step), same.at(step), other.at(step)
        for left, right in zip(a, b, strict=True):
            np.testing.assert_array_equal(left, right)
        assert np.abs(a.real - c.real).max() > 0
        real.append(a.real - (2 * 100 / 255 - 1))
        noise.append(a.noise)
    assert np.std(real) * 255 / 2 == pytest.approx(1, abs=5 / np.sqrt(24_000))
    assert np.std(noise) * 255 == pytest.approx(1, abs=5 / np.sqrt(24_000))
    with pytest.raises(ValueError, match="at least `large`"):
        crops_of(image[:31])
