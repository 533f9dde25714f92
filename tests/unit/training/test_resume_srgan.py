"""PDM-SRGAN goes on bit for bit, with the state that its discriminators carry."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.models.discriminators import (
    UNetDiscriminatorConfig,
    VGGDiscriminatorConfig,
)
from pdm_tf.training.checkpoint import complete_steps
from tests.unit.methods import tiny
from tests.unit.training.toy import toy_config, train_toy

STEPS = 4


def trained(folder, make, steps):
    """A new method, as a new process would build it, trained in `folder`."""
    method = make()
    batches = [tiny.batch_for(method, index) for index in range(STEPS)]
    whole = {name: tf.stack([b[name] for b in batches]) for name in batches[0]}

    def make_batches(start):
        return tf.data.Dataset.from_tensor_slices(whole).skip(start)

    config = toy_config(folder, steps=steps, save_every=2, batch_size=tiny.BATCH)
    outcome, _ = train_toy(config, method, make_batches)
    assert outcome.step == steps == complete_steps(folder / "checkpoints")[-1]
    return method


@pytest.mark.parametrize(
    ("config", "policy"),
    [
        pytest.param(
            UNetDiscriminatorConfig(filters=4), "float32", marks=pytest.mark.slow
        ),
        pytest.param(
            VGGDiscriminatorConfig(input_size=32, filters=4, hidden=4),
            "mixed_float16",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["unet_spectral", "vgg_batch_norm_float16"],
)
def test_two_and_two_steps_are_four(tmp_path, monkeypatch, config, policy):
    """Power iterations, moving statistics, loss scales, moments, averages."""
    monkeypatch.setattr(tiny, "LR_PATCH", 16)

    def make():
        networks = {
            "hr_discriminator": config.build(policy, name="hr_discriminator"),
            "sr": tiny.sr(policy),
            "features": tiny.FEATURES.build(policy, name="features"),
        }
        return tiny.pdm_srgan(networks)

    tiny_start = make()
    start = {n: net.get_weights() for n, net in tiny_start.networks.items()}
    features = tiny_start._sr_part._features.get_weights()

    def alike():
        method = make()
        for name, network in method.networks.items():
            network.set_weights(start[name])
        method._sr_part._features.set_weights(features)
        return method

    straight = trained(tmp_path / "straight", alike, STEPS)
    trained(tmp_path / "resumed", alike, 2)
    resumed = trained(tmp_path / "resumed", alike, STEPS)
    for name, network in straight.networks.items():
        pairs = zip(network.variables, resumed.networks[name].variables, strict=True)
        for one, other in pairs:
            np.testing.assert_array_equal(one, other, err_msg=one.path)
        moments = zip(
            straight.optimizers[name].variables,
            resumed.optimizers[name].variables,
            strict=True,
        )
        for one, other in moments:
            np.testing.assert_array_equal(one, other, err_msg=f"{name} {one.path}")
    state = straight.networks["hr_discriminator"].non_trainable_variables
    assert state  # else it proves less than it says
