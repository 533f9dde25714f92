"""The contract of every method, at tiny sizes, with any networks.

A new line in `METHODS` is tested by itself. That steps learn, stop and go on is tested
by the smoke flag files (test_configs.py).
"""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf import build
from pdm_tf.build_parts import POLICIES
from pdm_tf.methods import METHODS
from pdm_tf.methods.base import FULL_BATCH, NotNeeded, Role
from pdm_tf.models.network import Network, SRNetwork
from tests.conformance.smoke import parse

SMALL = (
    "--batch_size=2",
    "--kernel_arg=filters=4",
    "--kernel_arg=num_blocks=1",
    "--noise_arg=filters=4",
    "--noise_arg=num_blocks=1",
    "--discriminator_arg=filters=4",
    "--hr_discriminator_arg=filters=4",
    "--features=random",
    "--features_arg=filters=2",
)
# The part that a flag speaks of; without the part it would be refused.
PART_OF = {
    "kernel_arg": "pdm",
    "noise_arg": "pdm",
    "discriminator_arg": "discriminator",
    "hr_discriminator_arg": "hr_discriminator",
    "features": "features",
    "features_arg": "features",
}
STREAMS = {"hr": "--hr_dir=hr", "real_lr": "--lr_dir=lr", "lr": "--lr_dir=lr"}


def config_of(name):
    """The settings of a run of the method: small, with the folders that it needs."""
    method = METHODS[name]
    settings = method.config_class()
    roles = method.roles(settings)
    parts = {part for part, role in roles.items() if isinstance(role, Role)}
    flags = [
        flag
        for flag in SMALL
        if PART_OF.get(flag[2:].partition("=")[0]) in {None, *parts}
    ]
    flags += [
        STREAMS[stream]
        for stream, need in method.streams(settings).items()
        if not isinstance(need, NotNeeded)
    ]
    return parse("parts/smoke.flags", f"--method={name}", *flags)


def trained_weights(method):
    """Copies of all that optimisers may move."""
    networks = [method.networks[name] for name in method.optimizers]
    return [v.numpy() for network in networks for v in network.trainable_variables]


@pytest.fixture(scope="module", params=METHODS)
def method(request):
    return build.build_method(config_of(request.param))


@pytest.fixture(scope="module")
def batch(method):
    """A random batch of what the method reads."""
    rng = np.random.default_rng(5)
    return {
        name: tf.constant(rng.random([2, side, side, 3]), tf.float32)
        for name, side in method.patches.items()
    }


@pytest.fixture(scope="module")
def stepped(method, batch):
    """What was trainable before, and the results of the same step, taken twice."""
    before = trained_weights(method)
    everything = {name: net.get_weights() for name, net in method.networks.items()}
    step, results = method.train_step_for(0), []
    for _ in range(2):
        # Moving statistics go on with every step.
        for name, weights in everything.items():
            method.networks[name].set_weights(weights)
        results.append(step(batch, tf.constant(0, tf.int64), FULL_BATCH))
    return before, results


def test_it_is_called_as_the_table_says(method):
    assert METHODS[method.name] is type(method)
    assert dataclasses.is_dataclass(method.config_class)


def test_what_ships_is_a_network_that_bundles_can_hold(method):
    shipped = method.deployable()
    assert isinstance(shipped["sr"], SRNetwork)
    assert all(isinstance(network, Network) for network in shipped.values())
    assert set(method.ema_networks()) <= set(shipped)
    assert {network.dtype_policy.name for network in shipped.values()} <= set(
        POLICIES.values()
    )


def test_a_step_gives_gradients_to_what_has_an_optimizer(method, stepped):
    _, (result, _) = stepped
    assert set(result.gradients) == set(method.optimizers) <= set(method.networks)
    for name, gradients in result.gradients.items():
        variables = method.networks[name].trainable_variables
        for variable, gradient in zip(variables, gradients, strict=True):
            assert gradient is not None, variable.path
            assert gradient.shape == variable.shape
            assert np.all(np.isfinite(gradient)), variable.path


def test_a_step_moves_no_trained_weight_and_repeats_itself(method, stepped):
    before, (first, again) = stepped
    # Of the second step: the weights were put back before it.
    for old, new in zip(before, trained_weights(method), strict=True):
        np.testing.assert_array_equal(old, new)
    assert first.scalars.keys() == again.scalars.keys()
    for name, value in first.scalars.items():
        assert name.startswith(("loss/", "stat/")) and value.shape == ()
        assert np.isfinite(value) and value == again.scalars[name], name


def test_pictures_are_of_8_bits(method, batch):
    for picture in method.previews(batch, 1).values():
        assert picture.dtype == np.uint8 and picture.shape[-1] == 3
