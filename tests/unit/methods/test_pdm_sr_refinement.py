"""Refining an estimate: the warm-up, the anchor, and what is learned tap by tap."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.core.kernel_shapes import second_moments
from pdm_tf.core.source_estimate import log_covariances
from pdm_tf.degradations import (
    GaussianStart,
    KernelModuleConfig,
    ParametricNoiseConfig,
)
from pdm_tf.degradations.kernel_module import log_covariance
from pdm_tf.methods.base import FULL_BATCH
from pdm_tf.training.checkpoint import collect_state
from pdm_tf.training.ema import EMA
from pdm_tf.training.step_function import update_networks
from tests.support.weights import shake
from tests.unit.methods import tiny

START = GaussianStart(
    (0.2, 0.1, 0.0),
    ((0.2, 0.0, 0.0), (0.0, 0.1, 0.0), (0.0, 0.0, 0.1)),
    ((0.01, 0.0, 0.0), (0.0, 0.01, 0.0), (0.0, 0.0, 0.01)),
    20.0,
)
KERNEL = KernelModuleConfig(
    kernel_size=9,
    latent_channels=5,
    filters=4,
    num_blocks=1,
    normalization="batch",
    initial_std=0.0,
    start=START,
)


def method_of(kernel=KERNEL, noise=None, **settings):
    """With `noise` a ParametricNoiseConfig or None."""
    settings = {"training": "degradation", "anchor_weight": 0.5, **settings}
    pdm = tiny.pdm(kernel, noise)
    return tiny.pdm_sr({"pdm": pdm}, learning_rate=5e-3, **settings)


def batch_of(method, index):
    rng = np.random.default_rng(index)
    return {
        name: tf.constant(rng.random([tiny.BATCH, side, side, 3]), tf.float32)
        for name, side in method.patches.items()
    }


def take(method, steps):
    """Takes steps eagerly; returns the scalars of each."""
    found = []
    for index in steps:
        step = method.train_step_for(index)
        result = step(batch_of(method, index), tf.constant(index, tf.int64), FULL_BATCH)
        update_networks(method.networks, method.optimizers, result.gradients)
        found.append({name: float(x) for name, x in result.scalars.items()})
    return found


def values(network):
    return [v.numpy() for v in network.variables]


@pytest.mark.parametrize("training", ["degradation", "joint"])
def test_in_the_warm_up_only_pdm_stays_in_every_bit(training):
    """Its moving statistics and its optimiser too."""
    method = method_of(training=training, warmup_steps=3)
    shake(method.networks["pdm"].kernel_module.trunk, amount=0.1)
    others = [name for name in method.networks if name != "pdm"]
    before = {name: values(network) for name, network in method.networks.items()}
    slots = [v.numpy() for v in method.optimizers["pdm"].variables]
    scalars = take(method, range(3))
    for old, new in zip(before["pdm"], values(method.networks["pdm"]), strict=True):
        np.testing.assert_array_equal(new, old)
    for old, new in zip(slots, method.optimizers["pdm"].variables, strict=True):
        np.testing.assert_array_equal(new.numpy(), old)
    for name in others:
        pairs = zip(before[name], values(method.networks[name]), strict=True)
        assert any(np.any(old != new) for old, new in pairs), name
    assert "loss/d_lr" in scalars[0] and "loss/g_adv" not in scalars[0]
    scalars = take(method, [3])
    pairs = zip(before["pdm"], values(method.networks["pdm"]), strict=True)
    assert any(np.any(old != new) for old, new in pairs)
    assert "loss/g_adv" in scalars[0] and scalars[0]["loss/anchor"] == pytest.approx(
        0.0, abs=1e-5
    )


def test_the_discriminator_learns_the_same_in_the_warm_up_as_beside_pdm():
    """One step from one point, with kernels that do not depend on the batch."""
    networks = []
    for warmup in (0, 1):
        method = method_of(warmup_steps=warmup)
        take(method, [0])
        networks.append(values(method.networks["discriminator"]))
    for one, other in zip(*networks, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_phases_of_separate_training_follow_each_other():
    method = method_of(training="separate", degradation_steps=4, warmup_steps=2)
    steps = [method.train_step_for(index) for index in range(6)]
    assert steps[0] == steps[1] != steps[2] == steps[3] != steps[4] == steps[5]
    keys = [set(s) for s in take(method, range(6))]
    assert ["loss/anchor" in k for k in keys] == [0, 0, 1, 1, 0, 0]
    assert ["loss/sr_l1" in k for k in keys] == [0, 0, 0, 0, 1, 1]


def test_the_anchor_holds_the_estimate_that_the_game_leaves():
    """From the same start, steps of the same size: with and without."""
    distances = {}
    for weight in (0.0, 100.0):
        method = method_of(anchor_weight=weight, degradation_rate=1.0)
        take(method, range(6))
        module = method.networks["pdm"].kernel_module
        mean, covariance = module.gaussian_distribution()
        distances[weight] = np.linalg.norm(mean - np.asarray(START.mean))
        spread = np.diag(covariance) / np.diag(START.covariance)
        if weight:
            np.testing.assert_allclose(spread, 1.0, atol=0.05)
    assert distances[100.0] < 0.3 * distances[0.0]


def test_the_anchor_sees_what_taps_do_to_the_kernels():
    """Widths of many kernels, measured, against the distribution of a few latents."""
    kernel = dataclasses.replace(KERNEL, kernel_size=21, latent_channels=8)
    pdm = tiny.pdm(kernel, None)
    module = pdm.kernel_module
    z = tf.random.stateless_normal([64, 1, 1, 8], [1, 2])
    mean, covariance = module.moved_distribution(z)
    np.testing.assert_allclose(mean, START.mean, atol=1e-6)
    np.testing.assert_allclose(covariance, START.covariance, rtol=1e-4, atol=1e-6)
    before = thetas(pdm)
    offsets = np.arange(21) - 10
    grow = 0.03 * (offsets[:, None] ** 2 + offsets[None] ** 2).ravel()
    module.to_logits.bias.assign_add(grow)
    after = thetas(pdm)
    mean, covariance = module.moved_distribution(z)
    moved = after.mean(axis=0) - before.mean(axis=0)
    assert moved[0] > 0.05
    np.testing.assert_allclose(mean - START.mean, moved, atol=0.02)
    grown = np.sqrt(np.cov(after.T)[0, 0] / np.cov(before.T)[0, 0])
    found = np.sqrt(covariance[0, 0] / START.covariance[0][0])
    np.testing.assert_allclose(found, grown, rtol=0.1)


def thetas(pdm):
    return log_covariances(second_moments(pdm.sample_kernels(1500)))


def test_log_covariances_are_those_of_the_estimates():
    rng = np.random.default_rng(0)
    kernels = rng.random((20, 1, 1, 81)) ** 8
    kernels[0] = 0.0
    kernels[0, ..., 40] = 1.0  # a delta
    kernels = (kernels / kernels.sum(axis=-1, keepdims=True)).astype(np.float32)
    wanted = log_covariances(second_moments(kernels.reshape(-1, 9, 9)))
    np.testing.assert_allclose(log_covariance(kernels), wanted, atol=1e-3)


def test_without_an_estimate_there_is_no_anchor():
    method = method_of(dataclasses.replace(KERNEL, start=None))
    assert "loss/anchor" not in take(method, [0])[0]


@pytest.mark.parametrize("smoothing_px", [0.0, 1.0])
def test_decay_draws_what_is_learned_tap_by_tap_to_nothing(smoothing_px):
    kernel = dataclasses.replace(KERNEL, smoothing_px=smoothing_px)
    method = method_of(kernel, tap_decay=1000.0, degradation_rate=1.0)
    module = method.networks["pdm"].kernel_module
    assert float(module.tap_energy()) == 0.0
    rng = np.random.default_rng(0)
    for variable in module.to_logits.variables:
        variable.assign_add(0.03 * rng.normal(size=variable.shape))
    features = rng.normal(size=(20_000, 1, 1, 4)).astype(np.float32)
    learned = module._tap_logits(features).numpy()
    learned -= module._tap_logits(0 * features[:1]).numpy()
    bias = module._taps()[1]
    wanted = np.square(learned).mean() + np.square(bias).mean()
    np.testing.assert_allclose(module.tap_energy(), wanted, rtol=0.02)
    scalars = take(method, range(6))
    assert scalars[-1]["loss/taps"] < 0.3 * scalars[0]["loss/taps"]


def test_measured_noise_is_not_learned_and_kernels_are():
    method = method_of(noise=ParametricNoiseConfig())
    pdm = method.networks["pdm"]
    before = values(pdm.noise_module)
    scalars = take(method, range(3))
    assert scalars[0]["stat/noise_std"] > 0.005
    for old, new in zip(before, values(pdm.noise_module), strict=True):
        np.testing.assert_array_equal(new, old)
    learned = method_of(noise=ParametricNoiseConfig(learned=True))
    take(learned, range(1))
    module = learned.networks["pdm"].noise_module
    assert all(
        np.any(old != new) for old, new in zip(before, values(module), strict=True)
    )


def test_the_average_of_a_pdm_at_rest_stays_in_every_bit():
    method = method_of(warmup_steps=2)
    ema = EMA(method.ema_networks(), 0.999)
    before = values(method.networks["pdm"])
    for index in range(2):
        take(method, [index])
        ema.update(tf.constant(index, tf.int64))
    for old, new in zip(before, ema.variables["pdm"], strict=True):
        np.testing.assert_array_equal(new.numpy(), old)


def test_a_run_goes_on_bit_for_bit_from_within_the_warm_up():
    """What is saved is all that counts: networks, optimisers, and the step."""
    straight, resumed = (
        method_of(noise=ParametricNoiseConfig(), warmup_steps=2) for _ in range(2)
    )
    take(straight, range(1))
    states = [collect_state(m, EMA({}, 0.0)) for m in (straight, resumed)]
    for name, group in states[0].items():
        for old, new in zip(group, states[1][name], strict=True):
            new.assign(old)
    assert take(straight, range(1, 4)) == take(resumed, range(1, 4))
    for name, group in states[0].items():
        for old, new in zip(group, states[1][name], strict=True):
            np.testing.assert_array_equal(new.numpy(), old.numpy(), err_msg=name)


def test_a_warm_up_as_long_as_the_first_stage_is_refused():
    with pytest.raises(UserError, match="the degradation never learns"):
        method_of(training="separate", degradation_steps=2, warmup_steps=2)


@pytest.mark.parametrize("setting", ["anchor_weight", "tap_decay", "warmup_steps"])
def test_negative_settings_are_refused(setting):
    with pytest.raises(UserError, match=setting):
        method_of(**{setting: -1})
