"""Feature networks and LPIPS against NumPy; their taps, sizes and gradients."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.bundles.networks import of_role
from pdm_tf.models.features import (
    AlexNetConfig,
    LPIPSConfig,
    SqueezeNetConfig,
    VGGConfig,
)
from pdm_tf.models.features.lpips import unit_length
from tests.oracles import features_oracle
from tests.support.weights import shake

SMALL = {
    "vgg16": VGGConfig(depth=16, filters=2),
    "vgg19": VGGConfig(depth=19, filters=2),
    "alexnet": AlexNetConfig(filters=4),
    "squeezenet": SqueezeNetConfig(filters=4),
}
ORACLES = {
    "vgg16": lambda image, params: features_oracle.vgg(image, 16, params),
    "vgg19": lambda image, params: features_oracle.vgg(image, 19, params),
    "alexnet": features_oracle.alexnet,
    "squeezenet": features_oracle.squeezenet,
}
# net of LPIPS -> backbone, the taps that the heads were trained for
LPIPS_NETS = {
    "alex": ("alexnet", "relu1 relu2 relu3 relu4 relu5"),
    "vgg": ("vgg16", "relu1_2 relu2_2 relu3_3 relu4_3 relu5_3"),
    "squeeze": ("squeezenet", "relu1 fire3 fire5 fire6 fire7 fire8 fire9"),
}


def with_random_weights(config):
    """Biases too; kernels that keep the signal's size through the depth."""
    network = config.build()
    starts = [variable.numpy() for variable in network.variables]
    shake(network, amount=0.1)
    for variable, start in zip(network.variables, starts, strict=True):
        if variable.path.endswith("kernel"):
            variable.assign(start)
    return network


def weights_of(network):
    table = {v.path.split("/", 1)[1]: v.numpy() for v in network.variables}
    return lambda name: (table[f"{name}/kernel"], table[f"{name}/bias"])


def image_of(height, width, seed=0):
    return np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)


@pytest.mark.parametrize("size", [(37, 34), (40, 45), (48, 31)], ids=str)
@pytest.mark.parametrize("name", SMALL)
def test_every_tap_equals_numpy(name, size):
    """Catches a padding, stride or pooling that is Keras's and not torchvision's.

    Odd and even sides at every pooling: SqueezeNet's last windows hang over.
    """
    network = with_random_weights(SMALL[name])
    image = image_of(*size)
    wanted = ORACLES[name](image, weights_of(network))
    found = network(image[None])
    assert list(found) == list(wanted) == list(network.tap_names)
    for tap, value in wanted.items():
        assert found[tap].shape == (1, *value.shape), tap
        atol = 1e-5 * np.abs(value).max()  # what float32's rounding goes by
        np.testing.assert_allclose(found[tap][0], value, rtol=0, atol=atol)


@pytest.mark.parametrize("name", SMALL)
def test_smallest_size_is_the_smallest(name):
    """One pixel less and some activation would be empty; that is refused instead."""
    network = SMALL[name].build()
    side = SMALL[name].min_size
    deepest = network(image_of(side, side + 5)[None])[network.tap_names[-1]]
    assert min(deepest.shape[1:3]) >= 1
    small = image_of(side - 1, side + 5)
    with pytest.raises(ValueError, match=f"at least {side}x{side} pixels.*{side - 1}"):
        network(small[None])
    activations = ORACLES[name](small, weights_of(network))
    assert any(0 in value.shape for value in activations.values())


def test_taps_come_in_the_order_asked_for_and_conv_is_before_relu():
    network = SMALL["vgg19"].build()
    shake(network, amount=0.3)
    image = image_of(32, 32)[None]
    found = network(image, taps=("relu3_1", "conv3_1", "conv1_2"))
    assert list(found) == ["relu3_1", "conv3_1", "conv1_2"]
    assert np.min(found["conv3_1"]) < 0
    np.testing.assert_array_equal(tf.nn.relu(found["conv3_1"]), found["relu3_1"])
    with pytest.raises(ValueError, match="conv5_4.*Received: conv6_1"):
        network(image, taps=("conv6_1",))
    with pytest.raises(ValueError, match="Received: none"):
        network(image, taps=())


def test_nothing_beyond_the_deepest_tap_is_computed():
    """A graph for conv1_2 of VGG19 has two convolutions, not sixteen."""
    network = SMALL["vgg19"].build()
    graph = tf.function(
        lambda x: network(x, taps=("conv1_2",)), autograph=False
    ).get_concrete_function(tf.TensorSpec([None, None, None, 3]))
    operations = [op.type for op in graph.graph.get_operations()]
    assert operations.count("Conv2D") == 2


def test_default_sizes_are_the_published_ones():
    """Parameters of torchvision's `features`, counted from its layer tables."""
    entries = of_role("features")
    counts = {name: e.config.build().count_params() for name, e in entries.items()}
    assert counts == {
        "vgg19": 20_024_384,
        "vgg16": 14_714_688,
        "alexnet": 2_469_696,
        "squeezenet": 722_496,
    }


@pytest.mark.parametrize("net", LPIPS_NETS)
def test_lpips_equals_numpy(net):
    """Heads in order, unit length over channels, mean over pixels, sum over taps."""
    network = LPIPSConfig(net, filters=4).build()
    shake(network.backbone, amount=0.25)
    rng = np.random.default_rng(2)
    for head in network.heads:
        head.kernel.assign(rng.random(head.kernel.shape))
    images = image_of(37, 34, 3), image_of(37, 34, 4)
    params = weights_of(network.backbone)
    backbone, taps = LPIPS_NETS[net]
    sides = [ORACLES[backbone](image, params) for image in images]
    wanted = features_oracle.lpips(
        *([side[tap] for tap in taps.split()] for side in sides),
        [head.kernel.numpy().reshape(-1) for head in network.heads],
    )
    found = network(images[0][None], images[1][None])
    assert found.shape == (1,)
    np.testing.assert_allclose(found, [wanted], rtol=1e-5)
    np.testing.assert_array_equal(network(images[1][None], images[0][None]), found)
    np.testing.assert_array_equal(network(images[0][None], images[0][None]), [0.0])


def test_unit_length_is_zero_where_nothing_fires():
    features = tf.constant([[[[0.0, 0.0], [3.0, 4.0]]]])
    np.testing.assert_allclose(
        unit_length(features), [[[[0, 0], [0.6, 0.8]]]], rtol=1e-6
    )


def test_the_gradient_reaches_the_image():
    network = SMALL["vgg19"].build()
    image = tf.constant(image_of(32, 32)[None])
    with tf.GradientTape() as tape:
        tape.watch(image)
        loss = tf.reduce_mean(network(image, taps=("conv5_4",))["conv5_4"] ** 2)
    gradient = tape.gradient(loss, image).numpy()
    assert np.all(np.isfinite(gradient)) and np.count_nonzero(gradient) > 2500


def test_settings_are_checked():
    with pytest.raises(ValueError, match=r"\[16, 19\]. Received: 11"):
        VGGConfig(depth=11)
    with pytest.raises(ValueError, match="divisible by 4. Received: 6"):
        SqueezeNetConfig(filters=6)
    with pytest.raises(ValueError, match="alex, vgg, squeeze. Received: 'resnet'"):
        LPIPSConfig("resnet")
