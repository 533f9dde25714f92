"""The degrader: what it starts as, its geometry, its noise, windows of photographs."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.imresize import imresize
from pdm_tf.degradations import DegraderConfig
from pdm_tf.degradations.whole_image import degrade_image
from tests.support.weights import shake

SCALE = 4


def hr_crop(side, seed=0, batch=2):
    return np.random.default_rng(seed).random((batch, side, side, 3)).astype("float32")


def small(**settings):
    return DegraderConfig(filters=4, num_blocks=1, **settings)


def test_it_starts_as_bicubic():
    network = small().build()
    hr = hr_crop(network.hr_side(6))
    degraded = network.synthesise(tf.constant(hr), tf.constant([0, 0]))
    for image, lr in zip(hr, degraded.lr.numpy(), strict=True):
        whole = imresize(np.float64(image), 1 / SCALE)
        np.testing.assert_allclose(lr, whole[2:-2, 2:-2], rtol=0, atol=1e-5)
    assert degraded.kernel is None and degraded.noise is None
    assert network.grid == "half_pixel"


def test_it_starts_as_every_fourth_pixel():
    network = small(reduction="conv", grid="pixel0").build()
    hr = hr_crop(network.hr_side(6))
    lr = network.synthesise(tf.constant(hr), tf.constant([0, 0])).lr
    inner = hr[:, SCALE:-SCALE, SCALE:-SCALE]
    np.testing.assert_array_equal(lr, inner[:, ::SCALE, ::SCALE])


@pytest.mark.parametrize("offset", range(-SCALE, 2 * SCALE))
def test_first_convolution_lies_around_its_pixel(offset):
    """Of one tap at a time, which LR pixel sees HR pixel 4 * 2 + offset."""
    network = small(reduction="conv", grid="pixel0").build()
    kernel = np.zeros(network.trunk.heads[0].kernel.shape, np.float32)
    kernel[:, :, 0, 0] = 1.0
    network.trunk.heads[0].kernel.assign(kernel)
    side = network.hr_side(6)
    hr = np.zeros([1, side, side, 3], np.float32)
    hr[0, SCALE + 4 * 2 + offset, SCALE + 4 * 2, 0] = 1.0
    seen = network.trunk.heads[0](hr).numpy()[0, :, 2, 0]
    rows = [row for row in range(6) if abs(4 * 2 + offset - 4 * row) <= SCALE]
    assert list(np.flatnonzero(seen)) == rows


def test_translating_the_reduction_is_degrading():
    network = small(noise_channels=2).build()
    shake(network)
    hr = tf.constant(hr_crop(network.hr_side(6)))
    noise = network.draw(2, 6, 6, tf.constant([3, 4]))
    assert noise[0].shape == (2, 6, 6, 2)
    expected = network.apply(hr, *noise).lr
    np.testing.assert_array_equal(
        network.translate(network.reduce(hr), *noise), expected
    )
    with pytest.raises(ValueError, match="reduction=bicubic translates"):
        small(reduction="conv").build().translate(expected)


@pytest.mark.parametrize("reduction", ["conv", "bicubic"])
def test_noise_varies_the_image_where_it_is(reduction):
    network = small(noise_channels=1, reduction=reduction, output="sigmoid").build()
    shake(network, amount=0.1)
    hr = tf.constant(hr_crop(network.hr_side(16), batch=1))
    (noise,) = network.draw(1, 16, 16, tf.constant([1, 2]))
    (other,) = network.draw(1, 16, 16, tf.constant([1, 3]))
    assert abs(float(tf.reduce_mean(noise))) < 0.3  # 256 numbers: 5 standard errors
    mixed = tf.concat([noise[:, :, :8], other[:, :, 8:]], axis=2)
    first, second = network.apply(hr, noise).lr, network.apply(hr, mixed).lr
    changed = np.any(np.asarray(first) != second, axis=(0, 1, 3))
    # Five windows of 3 pixels: after the noise, two in the block, two at the end.
    assert not changed[: 8 - 5].any() and changed[8:].all()
    assert float(tf.reduce_min(first)) > 0 and float(tf.reduce_max(first)) < 1


@pytest.mark.parametrize(
    "settings",
    [{"noise_channels": 1}, {"reduction": "conv"}],
    ids=["bicubic", "conv"],
)
def test_windows_of_a_photograph_join_without_seams(settings):
    network = small(**settings).build()
    shake(network, amount=0.2)
    photograph = np.random.default_rng(5).integers(0, 256, (192, 256, 3), np.uint8)
    whole = degrade_image(network, photograph, (1, 2), tile=64)
    parts = degrade_image(network, photograph, (1, 2), tile=16)
    np.testing.assert_allclose(
        np.int32(parts.lr_u8), np.int32(whole.lr_u8), rtol=0, atol=1
    )
    assert np.mean(parts.lr_u8 != whole.lr_u8) < 1e-3  # rounding of single pixels


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reduction": "area"}, "reduction"),
        ({"output": "tanh"}, "output"),
        ({"noise_channels": -1}, "`noise_channels` .* at least 0. Received: -1"),
        ({"grid": "pixel1"}, "`grid` .* must be one of .*pixel1"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        DegraderConfig(**settings)
