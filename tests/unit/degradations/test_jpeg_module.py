"""netJ: a distribution of qualities that starts as configured and can change freely."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.bundles.bundle import load_bundle, save_bundle
from pdm_tf.degradations import (
    JPEGModuleConfig,
    KernelModuleConfig,
    NoiseModuleConfig,
    PDMConfig,
)
from pdm_tf.ops.jpeg import jpeg
from pdm_tf.ops.quantise import quantise_8bit
from tests.support.weights import shake

KERNEL = KernelModuleConfig(
    kernel_size=5, latent_channels=4, filters=8, num_blocks=1, initial_std=0.05
)
NOISE = NoiseModuleConfig(latent_channels=3, filters=8, num_blocks=1)
JPEG = JPEGModuleConfig(
    subsampling="420",
    latent_channels=2,
    latent="normal",
    filters=8,
    initial_median=75.0,
    initial_spread=1.0,
)


def module(**changes):
    return dataclasses.replace(JPEG, **changes).build()


def normal(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


@pytest.mark.parametrize(("median", "spread"), [(75.0, 1.0), (40.0, 0.3)])
def test_starts_at_the_median_with_the_spread(median, spread):
    """Quantiles of 1 + 99 / (1 + exp(-v)) with v normal."""
    network = module(initial_median=median, initial_spread=spread)
    quality = network.quality(normal(20_000, 2)).numpy()
    assert quality.dtype == np.float32 and np.all(quality == np.rint(quality))
    centre = np.log((median - 1) / (100 - median))
    for share, deviations in [(0.1587, -1), (0.5, 0), (0.8413, 1)]:
        wanted = 1 + 99 / (1 + np.exp(-(centre + deviations * spread)))
        assert abs(np.quantile(quality, share) - wanted) < 1.5


def test_stays_in_1_to_100_whatever_the_weights():
    network = module()
    shake(network, amount=30.0)
    quality = network.quality(normal(2_000, 2)).numpy()
    assert quality.min() >= 1 and quality.max() <= 100 and np.ptp(quality) > 90


@pytest.mark.parametrize("filters", [0, 8])
def test_every_variable_gets_a_gradient_from_the_picture(filters):
    network = module(filters=filters)
    image = tf.random.stateless_uniform([3, 16, 16, 3], [1, 2])
    with tf.GradientTape() as tape:
        tape.watch(image)
        decoded, _ = network(normal(3, 2), image, training=True)
        loss = tf.reduce_mean(tf.square(decoded - 0.3))
    gradients = tape.gradient(loss, [image, *network.trainable_variables])
    assert len(gradients) == (3 if filters == 0 else 6)
    for gradient in gradients:
        assert np.all(np.isfinite(gradient)) and np.abs(gradient).max() > 0


def test_two_humps_can_be_learned():
    """Half of the images at 30, half at 90: more than location and scale can do."""
    network = module(filters=16)
    z_q = normal(256, 2)
    wanted = tf.where(z_q[:, 0] > 0, 90.0, 30.0)
    optimizer = keras.optimizers.Adam(0.02)
    optimizer.build(network.trainable_variables)
    for _ in range(150):
        with tf.GradientTape() as tape:
            error = (network.quality(z_q) - wanted) / 50.0
            loss = tf.reduce_mean(tf.square(error))
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(
            zip(gradients, network.trainable_variables, strict=True)
        )
    quality = network.quality(normal(2_000, 2, seed=1)).numpy()
    between = np.mean((quality > 45) & (quality < 75))
    assert between < 0.15, np.histogram(quality, bins=10, range=(0, 100))


def make(**changes):
    pdm = PDMConfig(scale=2, kernel=KERNEL, noise=NOISE, jpeg=JPEG)
    pdm = dataclasses.replace(pdm, **changes).build()
    shake(pdm)
    return pdm


def draw(pdm, seed=(1, 2)):
    side = 2 * 20 + 2 * pdm.config.margin
    hr = np.random.default_rng(0).random([3, side, side, 3]).astype(np.float32)
    return hr, pdm.draw(3, 20, 20, tf.constant(seed))


@pytest.mark.parametrize("subsampling", ["420", "444"])
def test_pdm_ends_in_jpeg(subsampling):
    """Its LR images equal those without JPEG, stored at the reported quality."""
    settings = dataclasses.replace(JPEG, subsampling=subsampling)
    pdm = make(jpeg=settings)
    hr, latents = draw(pdm)
    degraded = pdm(hr, *latents)
    assert degraded.quality.shape == (3,) and np.ptp(degraded.quality) > 3
    before = degraded.clean_lr + degraded.noise
    wanted = jpeg(before, degraded.quality, subsampling=subsampling)
    np.testing.assert_array_equal(degraded.lr, wanted)
    assert np.abs(degraded.lr - before).max() > 0.05


def test_without_noise_the_blurred_image_is_compressed():
    pdm = make(noise=None)
    hr, latents = draw(pdm)
    assert latents.noise is None
    degraded = pdm(hr, *latents)
    np.testing.assert_array_equal(
        degraded.lr, jpeg(degraded.clean_lr, degraded.quality)
    )


def test_latents_of_quality_follow_the_seed_and_leave_the_others_as_they_were():
    pdm, without = make(), make(jpeg=None)
    _, latents = draw(pdm)
    _, others = draw(without)
    assert others.quality is None
    np.testing.assert_array_equal(latents.kernel, others.kernel)
    np.testing.assert_array_equal(latents.noise, others.noise)
    np.testing.assert_array_equal(latents.quality, draw(pdm)[1].quality)
    assert np.abs(latents.quality - draw(pdm, (1, 3))[1].quality).min() > 0
    zero = make(jpeg=dataclasses.replace(JPEG, latent="zero"))
    np.testing.assert_array_equal(draw(zero)[1].quality, np.zeros([3, 2]))
    assert np.ptp(zero(draw(zero)[0], *draw(zero)[1]).quality) == 0


def test_a_bundle_brings_it_back(tmp_path):
    pdm = make()
    save_bundle(pdm, tmp_path, step=3)
    again = load_bundle(tmp_path).network
    assert again.config == pdm.config
    hr, latents = draw(pdm)
    np.testing.assert_array_equal(pdm(hr, *latents).lr, again(hr, *latents).lr)


KNOWN = (50, 20, 20, 90)


def test_known_qualities_are_drawn_as_often_as_they_stand_there():
    network = module(qualities=KNOWN)
    quality = network.quality(normal(20_000, 2)).numpy()
    assert quality.dtype == np.float32
    values, counts = np.unique(quality, return_counts=True)
    np.testing.assert_array_equal(values, [20, 50, 90])
    np.testing.assert_allclose(counts / 20_000, [0.5, 0.25, 0.25], atol=0.015)
    ends = network.quality(tf.constant([[-9.0, 0.0], [9.0, 0.0]]))
    np.testing.assert_array_equal(ends, [20, 90])


def test_known_qualities_leave_nothing_to_learn():
    """The image alone has a gradient, as with the same qualities from variables."""
    network = module(qualities=KNOWN)
    assert network.weights == []
    image, z_q = tf.random.stateless_uniform([3, 16, 16, 3], [1, 2]), normal(3, 2)

    def gradient(store):
        with tf.GradientTape() as tape:
            tape.watch([image, z_q])
            loss = tf.reduce_mean(tf.square(store() - 0.3))
        return tape.gradient(loss, [image, z_q])

    ours, of_latents = gradient(lambda: network(z_q, image, training=True)[0])
    wanted, _ = gradient(lambda: jpeg(image, network.quality(z_q)))
    assert of_latents is None and np.abs(ours).max() > 0
    np.testing.assert_array_equal(ours, wanted)


def test_quality_0_is_rounding_alone():
    network = module(qualities=(0, 30))
    z_q = tf.constant([[-1.0, 0.0], [1.0, 0.0]])
    image = tf.random.stateless_uniform([2, 16, 16, 3], [1, 2])
    with tf.GradientTape() as tape:
        tape.watch(image)
        decoded, quality = network(z_q, image)
        loss = tf.reduce_sum(decoded)
    np.testing.assert_array_equal(quality, [0, 30])
    np.testing.assert_array_equal(decoded[0], quantise_8bit(image)[0])
    np.testing.assert_array_equal(decoded[1], jpeg(image, [30.0, 30.0])[1])
    np.testing.assert_array_equal(tape.gradient(loss, image)[0], np.ones([16, 16, 3]))


def test_a_bundle_brings_known_qualities_back(tmp_path):
    pdm = make(jpeg=dataclasses.replace(JPEG, qualities=KNOWN))
    save_bundle(pdm, tmp_path, step=3)
    again = load_bundle(tmp_path).network
    assert again.config == pdm.config and again.config.jpeg.qualities == KNOWN
    hr, latents = draw(pdm)
    np.testing.assert_array_equal(pdm(hr, *latents).lr, again(hr, *latents).lr)


def test_keras_brings_known_qualities_back():
    network = module(qualities=KNOWN)
    again = type(network).from_config(network.get_config())
    assert again.config == network.config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"subsampling": "422"}, "`subsampling` .* 444, 420. Received: '422'"),
        ({"latent": "uniform"}, "`latent` .* Received: 'uniform'"),
        ({"latent_channels": 0}, "`latent_channels` .* Received: 0"),
        ({"filters": -1}, "`filters` .* Received: -1"),
        ({"initial_median": 100.0}, "between 1 and 100 .* Received: 100.0 and 1.0"),
        ({"initial_spread": 0.0}, "Received: 75.0 and 0.0"),
        ({"qualities": (35, 101)}, "`qualities` .* Received: 101"),
        ({"qualities": (-1,)}, "`qualities` .* Received: -1"),
        ({"qualities": (35,), "latent": "zero"}, "drawn by it. Received: .zero"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(JPEG, **changes)
