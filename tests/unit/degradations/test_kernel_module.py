"""netK: a distribution over kernels, where it starts, and its forward pass."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from pdm_tf.degradations import (
    KernelModuleConfig,
    PDMConfig,
    trunk,
)
from pdm_tf.degradations.kernel_module import INITIAL_KERNELS, initial_logits
from tests.oracles import blur_oracle, gaussian_oracle, trunk_oracle
from tests.support.weights import params_of, shake, trunk_params

SMALL = KernelModuleConfig(
    kernel_size=7,
    latent_channels=4,
    filters=8,
    num_blocks=2,
    conv_size=3,
    normalization="batch",
    initial="delta",
    initial_centre=0.4,
    initial_std=0.05,
    smoothing_px=0.0,
)


def small(**changes):
    return dataclasses.replace(SMALL, **changes)


def latents(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("normalization", ["batch", "layer", "none"])
@pytest.mark.parametrize("training", [False, True])
def test_forward_equals_numpy(normalization, training):
    module = small(normalization=normalization).build()
    shake(module)
    z_k = latents(5, 1, 1, 4)
    wanted = trunk_oracle.trunk(z_k, trunk_params(module.trunk), training)
    wanted = trunk_oracle.layer(wanted, params_of(module.to_logits))
    found = module(z_k, training=training)
    np.testing.assert_allclose(found, trunk_oracle.softmax(wanted), rtol=0, atol=1e-5)


def test_spatial_forward_with_3x3_windows_equals_numpy():
    module = small(spatial=True).build()
    shake(module)
    z_k = latents(2, 4, 5, 4)
    wanted = trunk_oracle.trunk(z_k, trunk_params(module.trunk), training=False)
    wanted = trunk_oracle.layer(wanted, params_of(module.to_logits))
    assert module.trunk.head.kernel.shape == (3, 3, 4, 8)
    np.testing.assert_allclose(
        module(z_k), trunk_oracle.softmax(wanted), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("spatial", [False, True])
def test_kernels_sum_to_1_are_not_negative_and_keep_their_rank(spatial):
    module = small(spatial=spatial).build()
    shake(module, amount=1.0)
    for batch in (1, 3):
        shape = module.latent_shape(batch, 6, 5)
        assert shape == ([batch, 6, 5, 4] if spatial else [batch, 1, 1, 4])
        kernels = module(latents(*shape, seed=batch)).numpy()
        assert kernels.shape == (*shape[:3], 49)  # also for one image
        assert kernels.min() >= 0
        np.testing.assert_allclose(kernels.sum(axis=-1), 1.0, rtol=0, atol=1e-5)
        assert kernels.std(axis=-1).min() > 1e-3, "all kernels are flat"


@pytest.mark.parametrize("side", [5, 21])
@pytest.mark.parametrize("centre", [0.3, 0.9])
def test_delta_start_has_the_stated_mass_in_the_middle(side, centre):
    module = small(kernel_size=side, initial_centre=centre, initial_std=0.001).build()
    kernels = module(latents(16, 1, 1, 4), training=True).numpy()
    middle = kernels[..., side * side // 2]
    np.testing.assert_allclose(middle, centre, rtol=0, atol=1e-2)
    rest = np.delete(kernels, side * side // 2, axis=-1)
    np.testing.assert_allclose(rest, (1 - centre) / (side**2 - 1), rtol=0.1)


@pytest.mark.parametrize("grid", ["pixel0", "half_pixel"])
@pytest.mark.parametrize("scale", [3, 4])
def test_gaussian_start_is_a_sampled_gaussian_on_the_grid(grid, scale):
    """A Gaussian where a centred kernel belongs: half a tap off for even scales."""
    kernel = small(initial="gaussian", initial_sigma_px=1.3, initial_std=0.0)
    pdm = PDMConfig(scale=scale, kernel=kernel, noise=None, grid=grid).build()
    centre = 0.5 if (grid, scale) == ("half_pixel", 4) else 0.0
    wanted = gaussian_oracle.kernel(7, 1.3**2 * np.eye(2), centre)
    for found in pdm.sample_kernels(3):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def test_box_start_is_the_released_one():
    """Reference facts 1.2: 0.0061 in the middle and 0.00226 elsewhere for 21x21."""
    module = small(kernel_size=21, initial="box", initial_std=0.0).build()
    kernel = module(latents(1, 1, 1, 4)).numpy().ravel()
    assert kernel[220] == pytest.approx(0.0061, abs=5e-5)
    np.testing.assert_allclose(np.delete(kernel, 220), 0.00226, rtol=0, atol=5e-6)
    assert KernelModuleConfig.paper().initial == "box"
    assert KernelModuleConfig.paper().initial_std == 0.0
    assert KernelModuleConfig.paper().smoothing_px == 0.0


def smoothed(logits, sigma_px):
    """[..., K*K] logits correlated with a Gaussian; zero beyond the border."""
    side = round(logits.shape[-1] ** 0.5)
    offsets = np.arange(1 - side, side)
    window = np.exp(-(offsets**2) / (2 * sigma_px**2))
    window /= window[np.abs(offsets) <= side // 2].sum()
    rows = logits.reshape(-1, side, side)
    found = [
        ndimage.correlate(x, np.outer(window, window), mode="constant") for x in rows
    ]
    return np.reshape(found, logits.shape)


@pytest.mark.parametrize("spatial", [False, True])
@pytest.mark.parametrize("initial", ["delta", "gaussian", "box"])
def test_smoothed_forward_equals_numpy(initial, spatial):
    """The start as it is, plus what the trunk has learned, smoothed."""
    module = small(smoothing_px=0.8, initial=initial, spatial=spatial).build()
    shake(module)
    z_k = latents(*module.latent_shape(2, 4, 5))
    learned = trunk_oracle.trunk(z_k, trunk_params(module.trunk), training=False)
    learned = trunk_oracle.layer(learned, params_of(module.to_logits))
    wanted = initial_logits(module.config) + smoothed(learned, 0.8)
    np.testing.assert_allclose(
        module(z_k), trunk_oracle.softmax(wanted), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("initial", INITIAL_KERNELS)
def test_smoothing_leaves_the_start_alone(initial):
    z_k = latents(3, 1, 1, 4)
    plain, smooth = (
        small(initial=initial, initial_std=0.0, smoothing_px=px).build()(z_k)
        for px in (0.0, 1.0)
    )
    np.testing.assert_allclose(smooth, plain, rtol=0, atol=1e-6)


def test_a_smoothed_tap_takes_its_neighbours_along():
    def middle(px):
        module = small(initial="box", initial_std=0.0, smoothing_px=px).build()
        bias = np.array(module.to_logits.bias)
        bias[24] = 4.0
        module.to_logits.bias.assign(bias)
        kernel = module(latents(1, 1, 1, 4)).numpy().reshape(7, 7)
        return kernel[3, 3] / kernel[3, 4]

    assert middle(0.0) == pytest.approx(np.exp(4.0), rel=1e-4)
    # The start's own 1, and 4 g(0)^2 (1 - exp(-1/2)), g(0) of a Gaussian of 1 px.
    rise = 1.0 + 4.0 * 0.4**2 * (1.0 - np.exp(-0.5))
    assert middle(1.0) == pytest.approx(np.exp(rise), rel=0.01)


# Added to every covariance, so that kernels do not shrink into a delta.
FLOOR = trunk.LEAST_SIGMA_PX**2 * np.eye(2)
GAUSSIANS = dict(initial="gaussians", initial_std=0.0, kernel_size=9)


@pytest.mark.parametrize("grid", ["pixel0", "half_pixel"])
def test_gaussians_start_is_an_anisotropic_gaussian_for_each_latent(grid):
    kernel = small(initial_sigma_px=1.4, initial_diversity=0.5, **GAUSSIANS)
    pdm = PDMConfig(scale=4, kernel=kernel, noise=None, grid=grid).build()
    z_k = latents(12, 1, 1, 4)
    found = pdm.kernel_module(z_k).numpy().reshape(12, 9, 9)
    for z, kernel_2d in zip(z_k[:, 0, 0].astype(float), found, strict=True):
        m, d1, d2 = 2 * np.log(1.4) + 0.5 * z[0], 0.5 * z[1], 0.5 * z[2]
        covariance = gaussian_oracle.covariance_from_log(m, d1, d2) + FLOOR
        centre = 0.5 if grid == "half_pixel" else 0.0
        wanted = gaussian_oracle.kernel(9, covariance, centre)
        np.testing.assert_allclose(kernel_2d, wanted, rtol=0, atol=2e-5)


def test_gaussians_rotate_with_their_elongation():
    config = small(**{**GAUSSIANS, "kernel_size": 15}, initial_sigma_px=1.5)
    module = dataclasses.replace(config, initial_diversity=1.0).build()
    # Size 0; elongated along down; its opposite; along the falling diagonal.
    z_k = np.zeros((3, 1, 1, 4), np.float32)
    z_k[:, 0, 0, 1:3] = [(0.8, 0), (-0.8, 0), (0, 0.8)]
    upright, lying, diagonal = module(z_k).numpy().reshape(3, 15, 15)
    wanted = gaussian_oracle.covariance_from_log(2 * np.log(1.5), 0.8, 0) + FLOOR
    np.testing.assert_allclose(
        gaussian_oracle.covariance_of(upright), wanted, rtol=0.02, atol=0.02
    )
    assert wanted[0, 0] > 3 * wanted[1, 1]
    np.testing.assert_allclose(lying, np.rot90(upright), rtol=0, atol=1e-6)
    covariance = gaussian_oracle.covariance_of(diagonal)
    assert covariance[0, 1] > 0.5
    assert covariance[0, 0] == pytest.approx(covariance[1, 1], rel=1e-3)


def test_gaussians_vary_in_size_and_shape():
    module = small(
        **{**GAUSSIANS, "kernel_size": 15}, initial_sigma_px=1.5, initial_diversity=0.7
    ).build()
    kernels = module(latents(64, 1, 1, 4)).numpy().reshape(-1, 15, 15)
    covariances = np.array([gaussian_oracle.covariance_of(k) for k in kernels])
    sizes = np.sqrt(np.linalg.det(covariances))
    tilt = covariances[:, 0, 1]
    assert sizes.std() / sizes.mean() > 0.2
    assert tilt.max() > 0.3 and tilt.min() < -0.3
    for kernel in kernels:  # all centred
        np.testing.assert_allclose(blur_oracle.moments(kernel)[:2], 0, atol=1e-4)


@pytest.mark.parametrize(
    ("scale", "side"), [(1, 7), (2, 11), (3, 17), (4, 21), (8, 41)]
)
def test_windows_and_widths_are_as_large_in_lr_pixels_at_any_scale(scale, side):
    config = KernelModuleConfig().at_scale(scale)
    assert config.kernel_size == side
    assert config.initial_sigma_px / scale == KernelModuleConfig().initial_sigma_px / 4
    assert config.smoothing_px / scale == KernelModuleConfig().smoothing_px / 4
    assert KernelModuleConfig().at_scale(4) == KernelModuleConfig()
    assert KernelModuleConfig.paper().at_scale(4) == KernelModuleConfig.paper()
    # 2.5 LR pixels to each side, rounded up to whole HR pixels.
    assert 2.5 <= (side // 2) / scale <= 2.5 + 1 / scale


def test_zero_latent_gives_one_kernel_and_normal_latents_many():
    for latent, same in (("zero", True), ("normal", False)):
        kernel = small(latent=latent, initial_std=0.5)
        pdm = PDMConfig(scale=4, kernel=kernel, noise=None).build()
        z_k = pdm.draw(6, 8, 8, tf.constant([1, 2])).kernel
        kernels = pdm.kernel_module(z_k, training=True).numpy()
        assert np.all(np.isfinite(kernels))  # batch statistics of equal rows
        spread = np.abs(kernels - kernels[:1]).max()
        assert spread == 0 if same else spread > 1e-3


@pytest.mark.parametrize(("conv_size", "radius"), [(1, 0), (3, 3)])
def test_spatial_kernels_depend_on_latents_within_the_windows(conv_size, radius):
    """Head and one block are three windows of 3x3: 3 pixels to each side."""
    module = small(
        spatial=True, conv_size=conv_size, num_blocks=1, normalization="none"
    ).build()
    shake(module)
    z_k = latents(1, 11, 11, 4)
    changed = z_k.copy()
    changed[0, 5, 5] += 5.0
    differs = np.abs(module(z_k) - module(changed)).max(axis=-1)[0] > 1e-6
    rows, columns = np.nonzero(differs)
    assert np.abs(rows - 5).max() == radius and np.abs(columns - 5).max() == radius
    assert differs[5, 5]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"spatial": True},
        {"normalization": "layer"},
        {"initial": "gaussian"},
        {"initial": "gaussians"},
    ],
)
def test_every_variable_gets_a_gradient(changes):
    config = small(**changes)
    module = config.build()
    shape = module.latent_shape(4, 3, 3)
    weights = tf.constant(latents(49, seed=1))
    with tf.GradientTape() as tape:
        kernels = module(latents(*shape), training=True)
        loss = tf.reduce_sum(tf.square(tf.tensordot(kernels, weights, 1) - 0.3))
    gradients = tape.gradient(loss, module.trainable_variables)
    for variable, gradient in zip(module.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.all(np.isfinite(gradient)), variable.path
        # Batch normalisation takes out the bias before it.
        before_norm = "head/bias" in variable.path or "/first_" in variable.path
        if config.normalization != "batch" or not before_norm:
            assert np.abs(gradient).max() > 0, variable.path


def test_computes_in_float32_under_any_policy():
    pdm = PDMConfig(kernel=SMALL, noise=None).build("mixed_bfloat16")
    kernels = pdm.kernel_module(latents(2, 1, 1, 4))
    assert kernels.dtype == tf.float32
    assert pdm.kernel_module.to_logits.compute_dtype == "float32"
    np.testing.assert_allclose(np.sum(kernels, axis=-1), 1.0, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel_size": 8}, "must be odd. Received: 8 and 3"),
        ({"conv_size": 2}, "must be odd. Received: 7 and 2"),
        ({"latent_channels": 0}, "`latent_channels` .* at least 1. Received: 0"),
        ({"num_blocks": 0}, "`num_blocks` .* Received: 0"),
        ({"latent": "uniform"}, "`latent` .* normal, zero. Received: 'uniform'"),
        ({"normalization": "group"}, "batch, layer, none. Received: 'group'"),
        ({"initial": "dirac"}, "delta, gaussian.* Received: 'dirac'"),
        ({"initial_centre": 1.0}, "between 1/K\\^2 and 1. Received: 1.0"),
        ({"initial_centre": 0.02}, "between 1/K\\^2 and 1. Received: 0.02"),
        ({"initial_sigma_px": 0.0}, "`initial_sigma_px` .* positive"),
        ({"initial_std": -0.1}, "`initial_std`, .* not negative"),
        ({"smoothing_px": -1.0}, "`smoothing_px` not negative"),
        ({"initial": "gaussians", "latent_channels": 2}, "at least 3 .*Received: 2"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small(**changes)


def test_rebuilding_keeps_the_centre_of_the_gaussians():
    config = small(initial="gaussians", initial_std=0.0)
    module = config.build(centre_px=0.5)
    twin = type(module).from_config(module.get_config())
    np.testing.assert_array_equal(
        twin(latents(3, 1, 1, 4)), module(latents(3, 1, 1, 4))
    )
    centred = config.build()(latents(3, 1, 1, 4))
    assert np.abs(twin(latents(3, 1, 1, 4)) - centred).max() > 1e-2


def test_one_kernel_moves_as_slowly_as_its_learning_rate_says():
    """All weights of a trunk would push a constant the same way, into a delta."""
    config = small(kernel_size=15, latent="zero", initial="gaussians")
    module = dataclasses.replace(config, filters=64, num_blocks=16).build()
    names = {v.path.rpartition("/")[2] for v in module.trainable_variables}
    assert names == {"kernel", "bias"}
    variables = module.trainable_variables
    optimizer = keras.optimizers.Adam(2e-4)
    optimizer.build(variables)
    z_k = np.zeros((4, 1, 1, 4), np.float32)
    start = module(z_k).numpy()[0, 0, 0, 112]
    for _ in range(100):
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(module(z_k, training=True)[..., 112])
        optimizer.apply(tape.gradient(loss, variables), variables)
    assert start < module(z_k).numpy()[0, 0, 0, 112] < 1.3 * start
