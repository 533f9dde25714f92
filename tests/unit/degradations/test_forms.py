"""Every form of the model: what its kernels and noise depend on, and how."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.degradations import KernelModuleConfig, NoiseModuleConfig, PDMConfig
from pdm_tf.ops.blur import blur_downsample, kernel_spread
from tests.oracles import trunk_oracle
from tests.support.weights import params_of, shake, trunk_params

SCALE, SIDE, LR_SIZE = 2, 5, (6, 7)
SMALL = {
    "kernel_size": SIDE,
    "latent_channels": 4,
    "filters": 8,
    "num_blocks": 1,
    "normalization": "layer",
    "initial_std": 0.05,
}
KERNELS = {
    "z": {},
    "z, correlated pixels": {"spatial": True},
    "z, independent pixels": {"spatial": True, "conv_size": 1},
    "x": {"use_image": True, "latent": "zero"},
    "x in windows": {"use_image": True, "latent": "zero", "spatial": True},
    "x, z": {"use_image": True},
    "x, z per pixel": {"use_image": True, "spatial": True},
    "z, mixture": {"spatial": True, "basis": 3},
    "x, mixture": {"use_image": True, "latent": "zero", "basis": 3},
}
NOISES = {
    "z": {"use_image": False},
    "y": {"latent": "zero", "zero_mean": False},
    "y, z, any mean": {"zero_mean": False},
    "y, z": {},
    "grey": {"channels": 1},
    "uncorrelated": {"conv_size": 1},
}


def make(kernel=None, noise=None, **changes):
    """A small PDM of the named settings."""
    return PDMConfig(
        scale=SCALE,
        kernel=KernelModuleConfig(**{**SMALL, **(kernel or {})}),
        noise=noise
        and NoiseModuleConfig(
            filters=8, num_blocks=1, initial_std=0.05, normalization="layer", **noise
        ),
        **changes,
    ).build()


def images(pdm, batch=2, seed=0):
    """Random HR images with the margin."""
    sides = [n * SCALE + 2 * pdm.config.margin for n in LR_SIZE]
    shape = (batch, *sides, 3)
    return np.random.default_rng(seed).random(shape).astype(np.float32)


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("initial", ["gaussians", "delta"])
def test_every_variable_of_netk_gets_a_gradient_through_the_blur(kernel, initial):
    pdm = make({**kernel, "initial": initial})
    hr = images(pdm)
    latents = pdm.draw(2, *LR_SIZE, tf.constant([1, 2]))
    weights = np.random.default_rng(1).normal(size=(2, *LR_SIZE, 3))
    with tf.GradientTape() as tape:
        lr = pdm(hr, *latents, training=True).lr
        loss = tf.reduce_sum(lr * weights.astype(np.float32))
    gradients = tape.gradient(loss, pdm.trainable_variables)
    for variable, gradient in zip(pdm.trainable_variables, gradients, strict=True):
        assert gradient is not None and np.all(np.isfinite(gradient)), variable.path
        assert np.abs(gradient).max() > 0, variable.path


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_every_variable_of_netn_gets_a_gradient(noise):
    pdm = make(noise=noise)
    latents = pdm.draw(2, *LR_SIZE, tf.constant([1, 2]))
    assert (latents.noise is None) == (noise.get("latent") == "zero")
    with tf.GradientTape() as tape:
        noise = pdm(images(pdm), *latents, training=True).noise
        loss = tf.reduce_sum(tf.square(noise - 0.1))
    variables = pdm.noise_module.trainable_variables
    for variable, gradient in zip(
        variables, tape.gradient(loss, variables), strict=True
    ):
        assert np.abs(gradient).max() > 0, variable.path


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_kernels_depend_only_on_the_inputs_of_their_form(kernel):
    pdm = make({**kernel, "initial": "gaussians"})
    shake(pdm)
    config = pdm.config.kernel
    z_k = pdm.draw(2, *LR_SIZE, tf.constant([1, 2])).kernel
    other_z = pdm.draw(2, *LR_SIZE, tf.constant([1, 3])).kernel
    hr, other_hr = images(pdm), images(pdm, seed=1)
    kernels = pdm(hr, z_k).kernel.numpy()
    size = LR_SIZE if kernel else (1, 1)
    assert kernels.shape == (2, *size, SIDE**2)
    np.testing.assert_allclose(kernels.sum(axis=-1), 1.0, rtol=0, atol=1e-5)
    of_image = np.abs(pdm(other_hr, z_k).kernel - kernels).max()
    assert of_image > 1e-3 if config.use_image else of_image == 0
    assert (z_k is None) == (config.use_image and config.latent == "zero")
    if z_k is not None:
        assert np.abs(pdm(hr, other_z).kernel - kernels).max() > 1e-3
    if kernel:
        assert np.abs(kernels - kernels[:, :1, :1]).max() > 1e-3  # differ by pixel


def test_netk_of_image_and_latent_equals_numpy():
    """Image first, then the latent of the whole image at every pixel."""
    kernel = {"use_image": True, "initial": "delta", "smoothing_px": 0.0}
    pdm = make(kernel, grid="half_pixel")
    shake(pdm)
    hr = images(pdm)
    z_k = pdm.draw(2, *LR_SIZE, tf.constant([1, 2])).kernel.numpy()
    margin, (height, width) = pdm.config.margin, LR_SIZE
    inner = hr[:, margin:-margin, margin:-margin]
    blocks = inner.reshape(2, height, SCALE, width, SCALE, 3)
    blocks = blocks.transpose(0, 1, 3, 2, 4, 5).reshape(2, height, width, -1)
    tiled = np.broadcast_to(z_k, (2, height, width, 4))
    x = np.concatenate([blocks, tiled], axis=-1)
    module = pdm.kernel_module
    wanted = trunk_oracle.trunk(x, trunk_params(module.trunk), training=False)
    wanted = trunk_oracle.layer(wanted, params_of(module.to_logits))
    found = pdm(hr, z_k).kernel
    np.testing.assert_allclose(found, trunk_oracle.softmax(wanted), rtol=0, atol=1e-5)


@pytest.mark.parametrize("initial", ["gaussians", "delta"])
def test_equal_latents_make_the_variant_form_the_invariant_one(initial):
    """The same weights, and one latent at every pixel: the same LR image."""
    invariant = make({"initial": initial})
    variant = make({"initial": initial, "spatial": True, "conv_size": 1})
    shake(invariant)
    variant.set_weights(invariant.get_weights())
    hr = images(invariant)
    z_k = invariant.draw(2, *LR_SIZE, tf.constant([1, 2])).kernel
    everywhere = tf.tile(z_k, [1, *LR_SIZE, 1])
    one, many = invariant(hr, z_k), variant(hr, everywhere)
    assert many.kernel.shape == (2, *LR_SIZE, SIDE**2)
    np.testing.assert_allclose(one.lr, many.lr, rtol=0, atol=2e-6)


def test_gaussians_of_neighbours_are_correlated_by_3x3_windows_alone():
    """And each pixel's own distribution is that of the invariant form."""
    for conv_size, wanted in ((1, 0.0), (3, 2 / 3)):
        pdm = make(
            {"spatial": True, "conv_size": conv_size, "initial": "gaussians"},
            noise=None,
        )
        z_k = pdm.draw(1, 80, 80, tf.constant([1, 2])).kernel
        sizes = pdm.kernel_module.gaussians.to_covariance(z_k).numpy()[0, 1:-1, 1:-1, 0]
        together = np.corrcoef(sizes[:, 1:].ravel(), sizes[:, :-1].ravel())[0, 1]
        assert together == pytest.approx(wanted, abs=0.06)
        assert 3 * sizes.std() == pytest.approx(0.7, rel=0.06)  # initial_diversity


def test_sampling_kernels_of_the_image_needs_images():
    pdm = make({"use_image": True})
    with pytest.raises(UserError, match="needs HR images .* use_image=true"):
        pdm.sample_kernels(3)
    hr = images(pdm)
    kernels = pdm.sample_kernels(3, hr=hr)
    np.testing.assert_array_equal(kernels, pdm.sample_kernels(3, hr=hr))
    np.testing.assert_allclose(kernels.sum(axis=(1, 2)), 1.0, rtol=0, atol=1e-5)
    middle = pdm(hr, pdm.draw(3, *LR_SIZE, [0, 0]).kernel[:2]).kernel
    middle = middle[:, LR_SIZE[0] // 2, LR_SIZE[1] // 2].numpy()
    np.testing.assert_allclose(kernels[:2].reshape(2, -1), middle, rtol=0, atol=1e-6)


def test_contradictory_forms_are_refused_and_the_rule_named():
    with pytest.raises(ValueError, match="`spatial` .* differs between pixels"):
        KernelModuleConfig(spatial=True, latent="zero")
    with pytest.raises(ValueError, match="needs a latent or the image"):
        NoiseModuleConfig(latent="zero", use_image=False, zero_mean=False)
    with pytest.raises(UserError, match="at least `scale` .* Received: 3 and 4"):
        kernel = KernelModuleConfig(kernel_size=3, use_image=True)
        PDMConfig(scale=4, kernel=kernel)


@pytest.mark.parametrize("spatial", [False, True])
def test_a_mixture_blurs_as_its_kernels_do(spatial):
    """The two ways to the same LR: weigh N blurred images, or blur with the mixture."""
    pdm = make({"spatial": spatial, "basis": 3, "initial": "gaussians"})
    shake(pdm)
    hr = images(pdm)
    z_k = pdm.draw(2, *LR_SIZE, tf.constant([1, 2])).kernel
    degraded = pdm(hr, z_k)
    kernels = pdm.kernels(z_k, hr)
    np.testing.assert_allclose(degraded.kernel, kernels, rtol=0, atol=1e-6)
    wanted = blur_downsample(hr, kernels, SCALE, border="valid")
    np.testing.assert_allclose(degraded.lr, wanted, rtol=0, atol=1e-5)
    weights, basis = pdm.kernel_module(z_k)
    assert weights.shape == (2, *(LR_SIZE if spatial else (1, 1)), 3)
    assert basis.shape == (3, SIDE**2)
    for rows in (weights, basis):
        np.testing.assert_allclose(tf.reduce_sum(rows, -1), 1.0, rtol=0, atol=1e-5)


def test_mixtures_begin_about_as_different_as_their_basis():
    kernel = KernelModuleConfig(basis=16, filters=16, num_blocks=1, initial_std=0.0)
    pdm = PDMConfig(kernel=kernel, noise=None).build()
    weights, basis = pdm.kernel_module(pdm.draw(64, 1, 1, tf.constant([1, 2])).kernel)
    assert np.mean(np.max(weights, axis=-1)) > 0.4
    widths = kernel_spread(tf.tensordot(weights, basis, 1)).numpy().ravel()
    assert widths.std() > 0.4 * kernel_spread(basis).numpy().std()


def test_a_mixture_comes_back_from_its_settings_with_its_weights(tmp_path):
    pdm = make({"spatial": True, "basis": 3})
    shake(pdm)
    pdm.save_weights(tmp_path / "pdm.weights.h5")
    again = type(pdm).from_config(pdm.get_config())
    again.load_weights(tmp_path / "pdm.weights.h5")
    z_k = pdm.draw(2, *LR_SIZE, tf.constant([1, 2])).kernel
    np.testing.assert_array_equal(again.kernels(z_k, None), pdm.kernels(z_k, None))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"basis": 1}, "`basis` .* at least 2. Received: 1"),
        ({"basis": -2}, "`basis` .* Received: -2"),
        ({"basis": 4, "latent": "zero"}, "`basis` .* needs something to mix by"),
    ],
)
def test_a_basis_that_cannot_work_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        KernelModuleConfig(**settings)
