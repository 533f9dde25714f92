"""PDM: blur, downsampling and noise put together; latents; samples."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.degradations import KernelModuleConfig, NoiseModuleConfig, PDMConfig
from tests.oracles import blur_oracle
from tests.support.weights import shake

KERNEL = KernelModuleConfig(
    kernel_size=5, latent_channels=4, filters=8, num_blocks=1, initial_std=0.05
)
NOISE = NoiseModuleConfig(
    latent_channels=3, filters=8, num_blocks=1, normalization="batch"
)
CONFIG = PDMConfig(scale=2, kernel=KERNEL, noise=NOISE, grid="pixel0", border="valid")


def make(**changes):
    pdm = dataclasses.replace(CONFIG, **changes).build()
    shake(pdm)
    return pdm


def draw(pdm, batch=2, height=4, width=5, seed=(1, 2)):
    margin = pdm.config.margin
    shape = [batch] + [pdm.config.scale * n + 2 * margin for n in (height, width)] + [3]
    hr = np.random.default_rng(0).random(shape).astype(np.float32)
    latents = pdm.draw(batch, height, width, tf.constant(seed))
    return hr, latents.kernel, latents.noise


@pytest.mark.parametrize("spatial", [False, True])
@pytest.mark.parametrize("grid", ["pixel0", "half_pixel"])
@pytest.mark.parametrize("border", ["valid", "reflect"])
def test_output_is_the_blurred_image_plus_the_noise(border, grid, spatial):
    kernel = dataclasses.replace(KERNEL, spatial=spatial)
    pdm = make(border=border, grid=grid, kernel=kernel, scale=4)
    hr, z_k, z_n = draw(pdm, height=5, width=4)
    degraded = pdm(hr, z_k, z_n)
    assert degraded.kernel.shape == ((2, 5, 4, 25) if spatial else (2, 1, 1, 25))
    np.testing.assert_allclose(degraded.kernel, pdm.kernel_module(z_k), atol=1e-7)
    for index in range(2):
        kernels = degraded.kernel[index].numpy()
        kernels = kernels.reshape(*kernels.shape[:2], 5, 5)
        kernels = kernels if spatial else kernels[0, 0]
        wanted = blur_oracle.blur(hr[index], kernels, 4, grid, border)
        np.testing.assert_allclose(degraded.clean_lr[index], wanted, rtol=0, atol=2e-6)
    noise = pdm.noise_module(z_n, degraded.clean_lr)
    assert np.abs(noise).max() > 0.01
    np.testing.assert_allclose(degraded.noise, noise, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        degraded.lr, degraded.clean_lr + noise, rtol=0, atol=1e-6
    )


def test_without_noise_module_lr_is_the_clean_one():
    pdm = make(noise=None)
    hr, z_k, z_n = draw(pdm)
    assert z_n is None
    degraded = pdm(hr, z_k, z_n)
    assert degraded.noise is None
    np.testing.assert_array_equal(degraded.lr, degraded.clean_lr)


@pytest.mark.parametrize(("border", "margin"), [("valid", 2), ("reflect", 0)])
def test_margin_is_the_border_lost_to_the_blur(border, margin):
    pdm = make(border=border)
    assert pdm.config.margin == margin
    hr, z_k, z_n = draw(pdm, height=6, width=3)
    assert hr.shape == (2, 12 + 2 * margin, 6 + 2 * margin, 3)
    assert pdm(hr, z_k, z_n).lr.shape == (2, 6, 3, 3)


def test_noise_never_trains_the_kernel():
    """The adversarial loss reaches the kernel through the blurred image alone."""
    pdm = make()
    hr, z_k, z_n = draw(pdm)
    with tf.GradientTape(persistent=True) as tape:
        degraded = pdm(hr, z_k, z_n, training=True)
        energy = tf.reduce_mean(tf.square(degraded.noise))
        total = tf.reduce_mean(tf.square(degraded.lr))
    kernel_variables = pdm.kernel_module.trainable_variables
    noise_variables = pdm.noise_module.trainable_variables
    assert all(g is None for g in tape.gradient(energy, kernel_variables))
    assert all(g is not None for g in tape.gradient(energy, noise_variables))
    for variables in (kernel_variables, noise_variables):
        gradients = tape.gradient(total, variables)
        assert max(np.abs(g).max() for g in gradients) > 1e-4
    assert len(pdm.trainable_variables) == len(kernel_variables) + len(noise_variables)


def test_latents_are_a_function_of_the_seed():
    pdm = make()
    _, z_k, z_n = draw(pdm, seed=(5, 6))
    _, again_k, again_n = draw(pdm, seed=(5, 6))
    np.testing.assert_array_equal(z_k, again_k)
    np.testing.assert_array_equal(z_n, again_n)
    _, other_k, other_n = draw(pdm, seed=(5, 7))
    assert np.abs(z_k - other_k).min() > 0 and np.abs(z_n - other_n).min() > 0


def test_latents_of_kernel_and_noise_are_independent_and_standard_normal():
    kernel = dataclasses.replace(KERNEL, latent_channels=3, spatial=True)
    pdm = make(kernel=kernel)
    z_k, z_n, *_ = pdm.draw(2, 40, 40, tf.constant([3, 4]))
    assert z_k.shape == z_n.shape == (2, 40, 40, 3)
    correlation = np.corrcoef(np.ravel(z_k), np.ravel(z_n))[0, 1]
    assert abs(correlation) < 0.05  # 1 / sqrt(9600) = 0.01
    for z in (np.ravel(z_k), np.ravel(z_n)):
        assert abs(z.mean()) < 0.05 and abs(z.std() - 1) < 0.05
        assert abs(np.mean(z**4) - 3) < 0.4


def test_zero_latent_is_zero_and_leaves_the_noise_random():
    pdm = make(kernel=dataclasses.replace(KERNEL, latent="zero"))
    z_k, z_n, *_ = pdm.draw(2, 4, 4, tf.constant([0, 1]))
    np.testing.assert_array_equal(z_k, np.zeros([2, 1, 1, 4]))
    assert np.std(z_n) > 0.5


def test_sampled_kernels_are_distinct_valid_and_repeatable():
    pdm = make()
    kernels = pdm.sample_kernels(7, seed=3)
    assert kernels.shape == (7, 5, 5)
    assert kernels.min() >= 0
    np.testing.assert_allclose(kernels.sum(axis=(1, 2)), 1.0, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(kernels, pdm.sample_kernels(7, seed=3))
    assert np.abs(kernels - pdm.sample_kernels(7, seed=4)).max() > 1e-3
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-3
    spatial = make(kernel=dataclasses.replace(KERNEL, spatial=True))
    assert spatial.sample_kernels(2).shape == (2, 5, 5)


def test_inference_leaves_moving_statistics_alone_and_training_moves_them():
    pdm = make()
    inputs = draw(pdm)
    moving = [v for v in pdm.non_trainable_variables if "moving" in v.path]
    assert len(moving) == 8  # mean and variance of two norms in each trunk
    before = [v.numpy() for v in moving]
    pdm(*inputs, training=False)
    for variable, value in zip(moving, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    pdm(*inputs, training=True)
    for variable, value in zip(moving, before, strict=True):
        assert np.abs(variable - value).max() > 1e-5, variable.path


def test_settings_that_cannot_work_are_refused():
    for changes, message in [
        ({"scale": 0}, "`scale` of PDMConfig .* Received: 0"),
        ({"grid": "pixel"}, "`grid` .* pixel0, half_pixel. Received: 'pixel'"),
        ({"border": "zero"}, "`border` .* reflect, valid. Received: 'zero'"),
    ]:
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(CONFIG, **changes)


def test_noise_saved_before_it_had_a_zero_mean_stays_as_it_was():
    """Bundles hold their settings as JSON; those of earlier versions lack these."""
    saved = dataclasses.asdict(PDMConfig(noise=NOISE))
    assert PDMConfig(**saved).noise == NOISE and NOISE.zero_mean
    del saved["noise"]["zero_mean"], saved["noise"]["output_scale"]
    wanted = dataclasses.replace(NOISE, zero_mean=False, output_scale=1.0)
    assert PDMConfig(**saved).noise == wanted


def test_kernels_saved_before_their_taps_were_smoothed_stay_as_they_were():
    saved = dataclasses.asdict(PDMConfig())
    assert PDMConfig(**saved).kernel.smoothing_px > 0
    del saved["kernel"]["smoothing_px"]
    wanted = dataclasses.replace(KernelModuleConfig(), smoothing_px=0.0)
    assert PDMConfig(**saved).kernel == wanted
