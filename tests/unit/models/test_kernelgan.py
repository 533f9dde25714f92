"""The stacked networks of KernelGAN against their layers, one photograph at a time."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.models.kernelgan import (
    LinearGeneratorConfig,
    StackedDiscriminatorConfig,
    composed_kernels,
)
from tests.oracles import kernelgan_oracle as oracle


def randoms(*seeds):
    return [np.random.default_rng(seed) for seed in seeds]


@pytest.fixture(scope="module")
def generator():
    network = LinearGeneratorConfig(stack=3, filters=4).build()
    network.start(randoms(0, 1, 2))
    return network


@pytest.fixture(scope="module")
def discriminator():
    network = StackedDiscriminatorConfig(stack=2, filters=5, depth=3).build()
    network.start(randoms(0, 1))
    for variables in (network.biases, network.betas):
        for i, variable in enumerate(variables):
            drawn = np.random.default_rng(i).standard_normal(variable.shape)
            variable.assign(0.3 * drawn)
    return network


def test_the_composed_kernel_does_what_the_layers_do(generator):
    """Catches a flipped or transposed composition, and a wrong stride."""
    pictures = np.random.default_rng(3).standard_normal((3, 24, 30, 3))
    got = generator(pictures.astype(np.float32)).numpy()
    assert got.shape == (3, 6, 9, 3)
    for p in range(3):
        layers = [kernel.numpy()[p] for kernel in generator.kernels]
        expected = oracle.generator(pictures[p], layers)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(got[p], expected, atol=1e-5 * scale)


def test_gradients_pass_through_the_composition(generator):
    """Against differences of the layers' own output, in two taps of every layer."""
    picture = np.random.default_rng(4).standard_normal((16, 16, 3))
    layers = [kernel.numpy().astype(np.float64) for kernel in generator.kernels]
    variables = [tf.constant(layer) for layer in layers]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        kernel = composed_kernels(variables)[0]
        windows = np.lib.stride_tricks.sliding_window_view(
            picture, (13, 13), axis=(0, 1)
        )[::2, ::2]
        output = tf.einsum("yxcij,ij->yxc", tf.constant(windows.copy()), kernel)
        loss = tf.reduce_sum(tf.square(output))
    gradients = tape.gradient(loss, variables)
    total = 0
    for i, layer in enumerate(layers):
        for flat in np.random.default_rng(i).integers(layer[0].size, size=2):
            sides = []
            for sign in (1, -1):
                moved = [one[0].copy() for one in layers]
                moved[i].flat[flat] += sign * 1e-4
                sides.append(np.sum(oracle.generator(picture, moved) ** 2))
            slope = (sides[0] - sides[1]) / 2e-4
            got = gradients[i].numpy()[0].flat[flat]
            np.testing.assert_allclose(got, slope, rtol=1e-4, atol=1e-12)
            total += abs(slope)
    assert total > 0


def test_each_discriminator_is_its_own(discriminator):
    """Two pictures each, BatchNorm by picture: catches statistics that are shared."""
    pictures = np.random.default_rng(5).uniform(-1, 1, (2, 2, 12, 14, 3))
    got = discriminator(pictures.astype(np.float32)).numpy()
    assert got.shape == (2, 2, 6, 8)
    parts = ("kernels", "biases", "vectors", "gammas", "betas")
    for p in range(2):
        own = [[v.numpy()[p] for v in getattr(discriminator, name)] for name in parts]
        for b in range(2):
            expected = oracle.discriminator(pictures[p, b], *own)
            np.testing.assert_allclose(got[p, b], expected, atol=2e-5)


def test_spectral_norm_reaches_the_largest_singular_value(discriminator):
    pictures = np.zeros((2, 1, 8, 8, 3), np.float32)
    for _ in range(30):
        discriminator(pictures, training=True)
    for kernel, vector in zip(
        discriminator.kernels, discriminator.vectors, strict=True
    ):
        for matrix, left in zip(kernel.numpy(), vector.numpy(), strict=True):
            matrix = matrix.reshape(-1, matrix.shape[-1])
            largest = np.linalg.svd(matrix, compute_uv=False)[0]
            np.testing.assert_allclose(
                np.linalg.norm(matrix @ left), largest, rtol=1e-2
            )


def test_initial_weights_are_xaviers_and_of_the_seed_alone(generator):
    """Their spread is 0.1 sqrt(2 / fans), to 5 standard errors of 6400 numbers."""
    alone = LinearGeneratorConfig(stack=1, filters=64).build()
    alone.start(randoms(7))
    kernel = alone.kernels[1].numpy()[0]
    expected = 0.1 * np.sqrt(2 / (25 * 128))
    assert abs(kernel.std() / expected - 1) < 5 / np.sqrt(2 * kernel.size)
    pair = LinearGeneratorConfig(stack=2, filters=4).build()
    pair.start(randoms(9, 1))
    for one, other in zip(pair.kernels, generator.kernels, strict=True):
        np.testing.assert_array_equal(one.numpy()[1], other.numpy()[1])
