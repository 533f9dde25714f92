"""netN: noise per pixel, from the image when asked, small at the start."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.degradations import NoiseModuleConfig
from tests.oracles import trunk_oracle
from tests.support.weights import params_of, shake, trunk_params

SMALL = NoiseModuleConfig(
    latent_channels=3,
    filters=8,
    num_blocks=2,
    conv_size=3,
    channels=3,
    use_image=True,
    normalization="batch",
    initial_std=0.001,
    output_scale=1.0,
    zero_mean=False,
)


def small(**changes):
    return dataclasses.replace(SMALL, **changes)


def inputs(height=9, width=7, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    z_n = rng.normal(size=(batch, height, width, 3)).astype(np.float32)
    return z_n, rng.random((batch, height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"conv_size": 1, "normalization": "layer", "output_scale": 0.5},
        {"use_image": False, "normalization": "none", "channels": 1},
    ],
)
def test_forward_equals_numpy(changes, training):
    config = small(**changes)
    module = config.build()
    shake(module)
    z_n, image = inputs()
    x = np.concatenate([image, z_n], axis=-1) if config.use_image else z_n
    wanted = trunk_oracle.trunk(x, trunk_params(module.trunk), training)
    wanted = trunk_oracle.layer(wanted, params_of(module.to_noise))
    wanted *= config.output_scale
    found = module(z_n, image, training=training)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-5)


@pytest.mark.parametrize("training", [False, True])
def test_zero_mean_is_half_the_difference_of_opposite_latents(training):
    """In training, batch normalisation sees both."""
    module = small(zero_mean=True).build()
    shake(module)
    z_n, image = inputs()
    both = np.concatenate([image, image]), np.concatenate([z_n, -z_n])
    x = np.concatenate(both, axis=-1)
    features = trunk_oracle.trunk(x, trunk_params(module.trunk), training)
    plus, minus = np.split(features @ module.to_noise.kernel.numpy(), 2)
    found = module(z_n, image, training=training).numpy()
    np.testing.assert_allclose(found, (plus - minus) / 2, rtol=0, atol=3e-5)
    opposite = module(-z_n, image, training=training).numpy()
    np.testing.assert_allclose(opposite, -found, rtol=0, atol=3e-5)
    assert np.abs(found).max() > 0.1
    assert np.abs(module(0 * z_n, image)).max() == 0, "a cast, or the image redrawn"


@pytest.mark.parametrize("filters", [8, 64])
def test_the_papers_noise_starts_small_but_not_constant(filters):
    """A latent per pixel: no colour cast, and below one of 255 levels by far."""
    keras.utils.set_random_seed(0)
    module = small(filters=filters, num_blocks=4).build()
    z_n, image = inputs(32, 32)
    noise = module(z_n, image, training=True).numpy()
    assert noise.shape == (2, 32, 32, 3)
    assert 1e-5 < noise.std(axis=(1, 2)).min()
    assert np.abs(noise).max() < 0.05 and noise.std() < 0.01


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_our_noise_starts_as_white_noise_of_five_levels(seed):
    keras.utils.set_random_seed(seed)
    z_n, image = inputs(32, 32, batch=4)
    noise = NoiseModuleConfig().build()(z_n, image).numpy()
    assert 2 < 255 * noise.std() < 10
    assert np.abs(noise.mean(axis=(1, 2))).max() < 0.25 * noise.std()
    neighbours = (noise[:, 1:] * noise[:, :-1]).mean() / noise.var()
    assert abs(neighbours) < 0.5


@pytest.mark.parametrize("conv_size", [1, 3])
def test_latents_act_at_their_pixel_and_within_the_windows(conv_size):
    module = small(conv_size=conv_size, num_blocks=1, normalization="none").build()
    shake(module)
    z_n, image = inputs(11, 11, batch=1)
    changed = z_n.copy()
    changed[0, 5, 5] += 5
    differs = np.abs(module(z_n, image) - module(changed, image)).max(-1)[0] > 1e-6
    radius = 0 if conv_size == 1 else 3
    rows, columns = np.nonzero(differs)
    assert np.abs(rows - 5).max() == radius and np.abs(columns - 5).max() == radius


def test_one_channel_is_grey_noise():
    module = small(channels=1).build()
    shake(module)
    z_n, image = inputs()
    noise = module(z_n, image)
    assert noise.shape == (2, 9, 7, 1)
    lr = (image + noise).numpy() - image  # how PDM adds it
    np.testing.assert_allclose(lr[..., 0], lr[..., 2], rtol=0, atol=1e-6)


@pytest.mark.parametrize("use_image", [False, True])
def test_the_image_matters_only_when_asked_and_gets_no_gradient(use_image):
    module = small(use_image=use_image).build()
    shake(module)
    z_n, image = inputs()
    difference = np.abs(module(z_n, image) - module(z_n, 1 - image)).max()
    assert (difference > 1e-2) if use_image else (difference == 0)
    image = tf.constant(image)
    with tf.GradientTape() as tape:
        tape.watch(image)
        noise = module(z_n, image, training=True)
    assert tape.gradient(noise, image) is None


@pytest.mark.parametrize("zero_mean", [False, True])
@pytest.mark.parametrize("normalization", ["batch", "layer", "none"])
def test_every_variable_gets_a_gradient(normalization, zero_mean):
    module = small(normalization=normalization, zero_mean=zero_mean).build()
    z_n, image = inputs()
    with tf.GradientTape() as tape:
        noise = module(z_n, image, training=True)
        loss = tf.reduce_sum(tf.square(noise - 0.1 * image))
    gradients = tape.gradient(loss, module.trainable_variables)
    for variable, gradient in zip(module.trainable_variables, gradients, strict=True):
        assert gradient is not None and np.all(np.isfinite(gradient)), variable.path
        before_norm = "head/bias" in variable.path or "/first_" in variable.path
        if normalization != "batch" or not before_norm:
            assert np.abs(gradient).max() > 0, variable.path


def test_bfloat16_keeps_weights_and_result_float32():
    module = small().build("mixed_bfloat16")
    reference = small().build()
    shake(reference, amount=0.2)
    module.set_weights(reference.get_weights())
    z_n, image = inputs()
    noise = module(z_n, image)
    assert noise.dtype == tf.float32
    assert {v.dtype for v in module.variables} == {"float32"}
    assert module.trunk.head.compute_dtype == "bfloat16"
    wanted = reference(z_n, image).numpy()
    np.testing.assert_allclose(noise, wanted, rtol=0, atol=0.03 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 2}, "must be 1 or 3 .* Received: 2 and 3"),
        ({"conv_size": 4}, "odd. Received: 3 and 4"),
        ({"latent_channels": 0}, "`latent_channels` .* Received: 0"),
        ({"normalization": "instance"}, "Received: 'instance'"),
        (
            {"latent": "zero", "zero_mean": True},
            'Received: latent="zero" with zero_mean=true',
        ),
        ({"initial_std": 0.0}, "no gradient reaches the trunk. Received: 0.0"),
        ({"output_scale": 0.0}, "positive: .* Received: 0.001 and 0.0"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)
