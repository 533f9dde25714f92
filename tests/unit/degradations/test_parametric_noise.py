"""Parametric noise: the formula, its statistics, and how the PDM carries it."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.bundles.bundle import load_bundle, save_bundle
from pdm_tf.degradations import (
    KernelModuleConfig,
    NoiseModuleConfig,
    ParametricNoiseConfig,
    PDMConfig,
)
from pdm_tf.degradations.whole_image import degrade_image
from tests.oracles import noise_oracle
from tests.unit.data.folders import noise as photograph

GREYISH = (1.0, 0.6, 0.3, 0.6, 1.0, 0.5, 0.3, 0.5, 1.0)
CONFIG = ParametricNoiseConfig(
    log_mean=(-4.0, -5.5),
    log_covariance=(0.2, 0.05, 0.05, 0.3),
    correlation_px=0.7,
    colour=GREYISH,
)
KERNEL = KernelModuleConfig(
    kernel_size=5, latent_channels=4, filters=4, num_blocks=1, normalization="none"
)


def pdm_with(noise, **changes):
    return PDMConfig(scale=2, kernel=KERNEL, noise=noise, **changes).build(name="pdm")


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_noise_is_the_formula():
    module = CONFIG.build()
    z_n, z_l = normal(0, 2, 7, 6, 3), normal(1, 2, 2)
    clean = np.random.default_rng(2).random((2, 7, 6, 3)).astype(np.float32) * 2 - 0.5
    found = module(z_n, clean, z_l).numpy()
    read, shot = module.levels(z_l).numpy().T
    mix = noise_mix(GREYISH)
    for row in range(2):
        wanted = noise_oracle.sensor_noise(
            z_n[row], clean[row], read[row], shot[row], 0.7, mix
        )
        np.testing.assert_allclose(found[row], wanted, rtol=0, atol=2e-6)


def noise_mix(colour):
    values, vectors = np.linalg.eigh(np.reshape(colour, [3, 3]))
    return vectors @ np.diag(np.sqrt(values)) @ vectors.T


def test_levels_are_log_normal_with_the_configs_moments():
    logs = np.log(CONFIG.build().levels(normal(3, 20_000, 2)))
    np.testing.assert_allclose(logs.mean(axis=0), CONFIG.log_mean, atol=0.02)
    wanted = np.reshape(CONFIG.log_covariance, [2, 2])
    np.testing.assert_allclose(np.cov(logs.T), wanted, atol=0.015)


@pytest.mark.parametrize("correlation_px", [0.0, 0.4, 1.2])
def test_strength_is_that_after_smoothing_at_the_border_too(correlation_px):
    config = dataclasses.replace(
        CONFIG, log_covariance=(0.0,) * 4, correlation_px=correlation_px
    )
    clean = np.full([400, 12, 12, 3], 0.5, np.float32)
    found = config.build()(normal(4, 400, 12, 12, 3), clean, normal(5, 400, 2)).numpy()
    wanted = np.sqrt(np.exp(2 * -4.0) + np.exp(-5.5) * 0.5)
    ring = [found[:, 0], found[:, -1], found[:, 4:8, 4:8].reshape(400, -1, 3)]
    for part in ring:
        np.testing.assert_allclose(part.std(), wanted, rtol=0.03)
    colour = np.corrcoef(found.reshape(-1, 3).T)
    np.testing.assert_allclose(colour, np.reshape(GREYISH, [3, 3]), atol=0.02)


def test_grey_noise_is_the_same_in_all_colours():
    config = dataclasses.replace(CONFIG, colour=(1.0,) * 9)
    clean = np.full([1, 5, 5, 3], 0.3, np.float32)
    found = config.build()(normal(6, 1, 5, 5, 3), clean, normal(7, 1, 2)).numpy()
    np.testing.assert_allclose(found, found[..., :1] + 0 * found, atol=1e-6)
    assert found.std() > 0.005


@pytest.mark.parametrize("learned", [False, True])
def test_only_learned_levels_are_trained_and_never_the_kernel(learned):
    pdm = pdm_with(dataclasses.replace(CONFIG, learned=learned))
    variables = pdm.noise_module.trainable_variables
    assert [v.name for v in variables] == (["log_mean", "root"] if learned else [])
    hr = tf.constant(np.random.default_rng(0).random((2, 20, 20, 3)), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        degraded = pdm.synthesise(hr, tf.constant([1, 2]), training=True)
        loss = tf.reduce_mean(tf.square(degraded.noise))
    assert all(np.any(g) for g in tape.gradient(loss, variables))
    assert set(tape.gradient(loss, pdm.kernel_module.trainable_variables)) == {None}


@pytest.mark.parametrize("size", [(70, 49), (33, 33)])
def test_windows_of_a_photograph_equal_one_pass(size):
    """Levels belong to the image, the field to its place."""
    pdm = pdm_with(dataclasses.replace(CONFIG, correlation_px=2.0))
    assert pdm.context == 6
    hr_u8 = photograph(size[0] * 2, size[1] * 2, 5)
    whole = degrade_image(pdm, hr_u8, (1, 2), tile=80)
    cut = degrade_image(pdm, hr_u8, (1, 2), tile=16)
    np.testing.assert_array_equal(cut.lr_u8, whole.lr_u8)
    assert whole.noise_std_255 > 3.0


def test_images_of_a_batch_have_levels_of_their_own():
    pdm = pdm_with(dataclasses.replace(CONFIG, log_covariance=(1.0, 0.0, 0.0, 1.0)))
    hr = tf.fill([6, 44, 44, 3], 0.5)
    stds = pdm.synthesise(hr, tf.constant([3, 4])).noise.numpy().std(axis=(1, 2, 3))
    assert stds.max() > 2 * stds.min()


def test_a_bundle_brings_it_back(tmp_path):
    pdm = pdm_with(dataclasses.replace(CONFIG, learned=True))
    pdm.noise_module.log_mean.assign_add([0.1, -0.1])
    loaded = load_bundle(save_bundle(pdm, tmp_path, step=1)).network
    assert loaded.config == pdm.config
    hr = tf.constant(np.random.default_rng(0).random((2, 20, 20, 3)), tf.float32)
    first, second = (net.synthesise(hr, tf.constant([5, 6])) for net in (pdm, loaded))
    np.testing.assert_array_equal(first.lr, second.lr)


def test_stored_settings_tell_the_two_forms_apart():
    for noise in (CONFIG, NoiseModuleConfig(filters=4)):
        stored = json.loads(json.dumps(dataclasses.asdict(PDMConfig(noise=noise))))
        assert PDMConfig(**stored).noise == noise


def test_nested_lists_are_kept_row_by_row():
    nested = [[0.2, 0.05], [0.05, 0.3]]
    assert dataclasses.replace(CONFIG, log_covariance=nested) == CONFIG


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"log_mean": (1.0,)}, "must be 2 finite"),
        ({"log_mean": (1.0, np.nan)}, "must be 2 finite"),
        ({"log_covariance": (1.0, 2.0, 2.0, 1.0)}, "without negative eigenvalues"),
        ({"log_covariance": (1.0, 0.5, 0.0, 1.0)}, "symmetric"),
        ({"colour": (2.0, *GREYISH[1:])}, "ones on its diagonal"),
        ({"correlation_px": -1.0}, "0 or more"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **changes)
