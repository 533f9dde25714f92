"""The contract of every network: it can be saved, rebuilt, narrowed.

One battery for all entries of the registries; the values that each network computes are
tested with the unit tests' oracles.
"""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.bundles.bundle import load_bundle, save_bundle
from pdm_tf.bundles.networks import SR_NETS
from pdm_tf.models.network import SRConfig, SRNetwork
from tests.conformance.networks import EXAMPLES, random_image, shrunk
from tests.support.weights import shake

every_network = pytest.mark.parametrize("name", EXAMPLES)
# A translator has one scale, and starts as the identity.
ENLARGING = [name for name, config in SR_NETS.items() if config.scale > 1]
every_sr_net = pytest.mark.parametrize("sr_net", ENLARGING)
BUNDLED = [name for name in EXAMPLES if "module" not in name]


@functools.cache
def built(name, dtype="float32"):
    """The example's network, made once: no test may change it."""
    network = EXAMPLES[name].config.build(dtype)
    shake(network, amount=0.2)
    return network


def outputs(name, network):
    return EXAMPLES[name].call(network, 7).numpy()


@every_network
def test_config_and_class_find_each_other(name):
    network = built(name)
    assert network.config == EXAMPLES[name].config
    other = keras.layers.Dense(1)
    with pytest.raises(ValueError, match="`config` must be a .*Received: Dense"):
        type(network)(other)


@every_network
def test_all_variables_are_made_by_build(name):
    """So that optimisers and checkpoints may be made before the first step."""
    network = EXAMPLES[name].config.build()
    before = [v.path for v in network.variables]
    outputs(name, network)
    assert [v.path for v in network.variables] == before
    assert len(set(before)) == len(before)


@every_network
def test_from_config_rebuilds_the_same_architecture(name):
    network = built(name)
    twin = type(network).from_config(network.get_config())
    assert twin.config == network.config and twin.name == network.name
    assert len(twin.variables) == len(network.variables)  # built, not called yet
    twin.set_weights(network.get_weights())
    np.testing.assert_array_equal(outputs(name, twin), outputs(name, network))


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        # The type is stored by the base of all.
        *((name, "mixed_bfloat16") for name in EXAMPLES if name in ("sr/edsr", "pdm")),
        # Bundles hold such files, see the next test.
        *((name, "float32") for name in EXAMPLES if name not in BUNDLED),
    ],
)
def test_keras_file_round_trip_is_bit_equal(name, dtype, tmp_path):
    network = built(name, dtype)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert type(loaded) is type(network)
    assert loaded.config == network.config
    assert loaded.dtype_policy.name == network.dtype_policy.name
    np.testing.assert_array_equal(outputs(name, loaded), outputs(name, network))


@pytest.mark.parametrize("name", BUNDLED)
def test_bundle_round_trip_is_bit_equal(name, tmp_path):
    network, role = built(name), EXAMPLES[name].role
    save_bundle(network, tmp_path, step=7, notes={"seed": 3})
    bundle = load_bundle(tmp_path)
    scale = getattr(network.config, "scale", 1)
    assert (bundle.role, bundle.scale, bundle.step) == (role, scale, 7)
    assert bundle.notes == {"seed": 3}
    assert bundle.name == (
        "EDSR+RRDBNet" if "chain" in name else type(network).__name__
    )
    assert bundle.config == network.config == bundle.network.config
    wanted = outputs(name, network)
    np.testing.assert_array_equal(outputs(name, bundle.network), wanted)
    # As any Keras program opens it.
    (file,) = tmp_path.glob("*.keras")
    loaded = keras.saving.load_model(file)
    np.testing.assert_array_equal(outputs(name, loaded), wanted)


@every_network
def test_bfloat16_computes_inside_and_is_float32_outside(name):
    network = EXAMPLES[name].config.build("mixed_bfloat16")
    reference = built(name)
    network.set_weights(reference.get_weights())
    found = EXAMPLES[name].call(network, 7)
    assert found.dtype == tf.float32
    assert {v.dtype for v in network.variables} == {"float32"}
    wanted = outputs(name, reference)
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=0.06 * scale)


@every_network
def test_graph_and_eager_agree(name):
    network = built(name)
    compiled = tf.function(lambda: EXAMPLES[name].call(network, 7), autograph=False)
    # Fused kernels sum in another order.
    eager = outputs(name, network)
    atol = 1e-5 * max(1.0, np.abs(eager).max())
    np.testing.assert_allclose(compiled(), eager, rtol=0, atol=atol)


@every_sr_net
@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_sr_net_enlarges_any_size_by_its_scale(sr_net, scale):
    network = shrunk(SR_NETS[sr_net], scale=scale).build()
    for height, width in [(5, 8), (7, 4), (1, 3)]:
        sr = network(random_image(0, 1, height, width, 3))
        assert sr.shape == (1, height * scale, width * scale, 3)
        assert sr.dtype == tf.float32


@pytest.mark.parametrize("name", [n for n in EXAMPLES if n.startswith("sr/")])
def test_sr_net_answers_what_every_sr_network_is_asked(name):
    """Scale, radius, overlap and what may be recomputed: `SRConfig` and `SRNetwork`."""
    network = built(name)
    config = network.config
    assert isinstance(network, SRNetwork) and isinstance(config, SRConfig)
    assert network.scale == config.scale
    assert 1 <= network.overlap <= network.receptive_radius
    for answer in ("receptive_radius", "overlap", "multiple", "block_names"):
        assert getattr(network, answer) == getattr(config, answer)
    layers = {layer.name for layer in network._flatten_layers()}
    assert isinstance(network.block_names, tuple) and set(network.block_names) <= layers
    # No pixel beyond the radius changes the first one; the far corner is beyond.
    side = network.receptive_radius + 2
    image = np.full([1, side, side, 3], 0.5, np.float32)
    other = image.copy()
    other[:, -1, -1] = 1.0
    first, again = (network(x).numpy()[:, 0, 0] for x in (image, other))
    np.testing.assert_allclose(again, first, rtol=0, atol=1e-6)


@every_network
def test_network_has_the_role_that_its_bundle_says(name):
    assert type(built(name)).role == ("" if "module" in name else EXAMPLES[name].role)


def test_deep_rrdbnets_are_cut_with_the_measured_overlap():
    assert SR_NETS["rrdbnet"].overlap == 24
    assert SR_NETS["rrdbnet"].receptive_radius == 349
    shallow = dataclasses.replace(SR_NETS["rrdbnet"], num_blocks=4)
    assert shallow.overlap == shallow.receptive_radius <= 64
    assert SR_NETS["edsr"].overlap == SR_NETS["edsr"].receptive_radius == 36


@every_sr_net
def test_sr_net_is_fully_convolutional(sr_net):
    """Far from the borders a crop's result is the crop of the result."""
    network = shrunk(SR_NETS[sr_net], scale=2).build()
    lr = random_image(1, 1, 61, 55, 3)
    whole = network(lr).numpy()
    reach = 25  # windows of 3 pixels: 22 of them in the smallest RRDBNet
    crop = network(lr[:, 3:, 2:]).numpy()
    np.testing.assert_allclose(
        crop[:, 2 * reach :, 2 * reach :],
        whole[:, 6 + 2 * reach :, 4 + 2 * reach :],
        rtol=0,
        atol=1e-5,
    )


@every_sr_net
def test_sr_net_treats_each_image_of_a_batch_alone(sr_net):
    network = shrunk(SR_NETS[sr_net]).build()
    lr = random_image(2, 3, 8, 6, 3)
    together = network(lr, training=True).numpy()
    np.testing.assert_allclose(
        network(lr[1:2], training=False)[0], together[1], rtol=0, atol=1e-5
    )


@every_sr_net
def test_sr_net_learns(sr_net):
    """30 steps on one batch of smooth pictures."""
    keras.utils.set_random_seed(0)
    network = shrunk(SR_NETS[sr_net], scale=2).build()
    optimizer = keras.optimizers.Adam(3e-3)
    optimizer.build(network.trainable_variables)
    coarse = random_image(3, 4, 4, 4, 3)
    hr = tf.image.resize(coarse, [24, 24], "bilinear")
    lr = hr[:, ::2, ::2]

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.abs(network(lr, training=True) - hr))
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply(gradients, network.trainable_variables)
        return loss

    losses = [float(step()) for _ in range(30)]
    assert np.all(np.isfinite(losses))
    assert losses[-1] < 0.7 * losses[0], losses


@every_sr_net
def test_sr_net_gives_every_variable_a_gradient(sr_net):
    network = shrunk(SR_NETS[sr_net]).build()
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.abs(network(random_image(4, 1, 8, 8, 3)) - 2.0))
    gradients = tape.gradient(loss, network.trainable_variables)
    for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.path
        assert np.all(np.isfinite(gradient)) and np.abs(gradient).max() > 0
    assert not network.non_trainable_variables


def test_examples_cover_the_registries():
    for sr_net in SR_NETS:
        assert type(EXAMPLES[f"sr/{sr_net}"].config) is type(SR_NETS[sr_net])
    for example in EXAMPLES.values():
        assert dataclasses.is_dataclass(example.config)
