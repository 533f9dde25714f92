"""U-Net and VGG-style discriminators: NumPy forward passes, norms, gradients, sizes."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.models.discriminators import (
    UNetDiscriminatorConfig,
    VGGDiscriminatorConfig,
)
from tests.oracles import discriminator_oracle
from tests.support.weights import shake

UNET = UNetDiscriminatorConfig(filters=4)
VGG = VGGDiscriminatorConfig(input_size=32, filters=4, hidden=6)
# Real-ESRGAN's names of the convolutions -> ours.
UNET_NAMES = dict(
    zip(
        (f"conv{i}" for i in range(10)),
        (
            *("first", "encoder_1", "encoder_2", "encoder_3"),
            *("decoder_2", "decoder_1", "decoder_0", "after_1", "after_2", "last"),
        ),
        strict=True,
    )
)


def images(seed, *shape):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def weights_of(network, names=None):
    """name of a layer -> its arrays by the last part of their paths."""
    table = {}
    for variable in network.variables:
        *_, layer, part = variable.path.split("/")
        table.setdefault(layer, {})[part] = variable.numpy()
    return lambda name: table[names[name] if names else name]


@pytest.mark.parametrize("size", [(16, 24), (17, 11)], ids=str)
@pytest.mark.parametrize("skip", [True, False])
def test_unet_equals_numpy(size, skip):
    """Order of the layers, doubling, what is added where, biases at the two ends."""
    config = UNetDiscriminatorConfig(filters=4, spectral=False, skip=skip)
    network = config.build()
    shake(network)
    image = images(0, 1, *size, 3)
    weights = weights_of(network, UNET_NAMES)
    wanted = discriminator_oracle.unet(image[0], weights, skip)
    found = network(image)
    assert found.shape == (1, *size, 1) and wanted.min() < 0 < wanted.max()
    atol = 1e-5 * np.abs(wanted).max()
    np.testing.assert_allclose(found[0], wanted, rtol=0, atol=atol)
    with_bias = {n for n in UNET_NAMES if "bias" in weights(n)}
    assert with_bias == {"conv0", "conv9"}


def test_unet_is_the_oracle_on_kernels_divided_by_their_largest_singular_value():
    """By an SVD; the power iteration has converged after some training calls."""
    network = UNET.build()
    shake(network)
    image = images(1, 1, 16, 16, 3)
    for _ in range(60):
        network(image, training=True)
    raw = weights_of(network, UNET_NAMES)

    def normalised(name):
        layer = dict(raw(name))
        if name not in ("conv0", "conv9"):
            kernel = layer["kernel"]
            matrix = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64)
            layer["kernel"] = kernel / np.linalg.svd(matrix, compute_uv=False)[0]
        return layer

    wanted = discriminator_oracle.unet(image[0], normalised)
    np.testing.assert_allclose(network(image)[0], wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("size", [32, 64])
def test_vgg_equals_numpy(size):
    """Order, strides, norms (all but the first), the dense layers' input."""
    network = VGGDiscriminatorConfig(input_size=size, filters=3, hidden=5).build()
    shake(network)
    image = images(2, 2, size, size, 3)
    weights = weights_of(network)
    wanted = [discriminator_oracle.vgg(x, weights) for x in image]
    found = network(image)
    assert found.shape == (2, 1, 1, 1) and found.dtype == tf.float32
    np.testing.assert_allclose(found[:, 0, 0, 0], wanted, rtol=2e-4)
    convs = [f"conv_{i}_{j}" for i in range(5) for j in (0, 1)]
    assert [n for n in convs if "bias" in weights(n)] == ["conv_0_0"]


def test_vgg_in_training_uses_and_moves_batch_statistics():
    network = VGG.build()
    before = {v.path: v.numpy() for v in network.non_trainable_variables}
    image = images(3, 4, 32, 32, 3)
    assert np.abs(network(image, training=True) - network(image)).max() > 1e-3
    moved = [v for v in network.non_trainable_variables if "moving" in v.path]
    assert len(moved) == 18
    assert all(not np.array_equal(v, before[v.path]) for v in moved)


@pytest.mark.parametrize("config", [UNET, VGG], ids=["unet", "vgg"])
def test_every_variable_and_the_image_get_a_gradient(config):
    network = config.build()
    image = tf.constant(images(4, 2, 32, 32, 3))
    with tf.GradientTape() as tape:
        tape.watch(image)
        loss = tf.reduce_mean(tf.square(network(image, training=True) - 1.0))
    variables = network.trainable_variables
    for variable, gradient in zip(
        [*variables, image], tape.gradient(loss, [*variables, image]), strict=True
    ):
        assert gradient is not None and np.all(np.isfinite(gradient))
        assert np.abs(gradient).max() > 0, getattr(variable, "path", "image")


def test_published_sizes():
    """Parameters of BasicSR's classes, counted from their layer tables.

    Kernels and biases; for the VGG style at 128 pixels with two numbers per normalised
    channel.
    """
    f = 64
    unet = (27 * f + f) + (9 * f + 1) + 2 * 9 * f * f
    unet += sum(16 * f * 2**i * f * 2 ** (i + 1) for i in range(3))
    unet += sum(9 * f * 2**i * f * 2 ** (i + 1) for i in range(3))
    widths = [f, f, 2 * f, 2 * f, 4 * f, 4 * f, 8 * f, 8 * f, 8 * f, 8 * f]
    vgg = f  # the one bias
    for i, width in enumerate(widths):
        vgg += (3 if i == 0 else widths[i - 1]) * width * (9 if i % 2 == 0 else 16)
        vgg += 2 * width if i else 0
    vgg += (8 * f * 16) * 100 + 100 + 100 + 1

    def trainable(config):
        return sum(int(np.prod(v.shape)) for v in config.build().trainable_variables)

    assert trainable(UNetDiscriminatorConfig()) == unet == 4_376_897
    assert trainable(VGGDiscriminatorConfig()) == vgg == 14_499_401


def test_sizes_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="multiple of 32. Received: 48"):
        VGGDiscriminatorConfig(input_size=48)
    with pytest.raises(ValueError, match=r"images of 32x32 pixels.*\(1, 32, 64, 3\)"):
        VGG.build()(images(5, 1, 32, 64, 3))
    with pytest.raises(ValueError, match="`filters` of UNetDiscriminatorConfig"):
        UNetDiscriminatorConfig(filters=0)
