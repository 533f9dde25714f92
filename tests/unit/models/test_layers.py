"""Shared layers against NumPy: normalisation, padding, spectral norm, first values."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.models.layers import InstanceNorm, PaddedConv2D, batch_norm, conv
from tests.oracles import conv_oracle


def images(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_instance_norm_equals_the_loop_and_keeps_images_apart():
    x = images(0, 3, 5, 7, 4) * np.array([1, 10, 0.01, 3]) + np.array([0, 5, 1, -2])
    layer = InstanceNorm()
    out = layer(x.astype(np.float32)).numpy()
    wanted = [conv_oracle.instance_norm(image, 1e-5) for image in x]
    np.testing.assert_allclose(out, wanted, rtol=0, atol=2e-4)  # 5 +- 10 in float32
    alone = layer(x[1:2].astype(np.float32)).numpy()
    np.testing.assert_allclose(alone[0], out[1], rtol=0, atol=1e-5)
    assert not layer.weights


def test_instance_norm_of_half_precision_has_float32_statistics():
    x = tf.cast(images(1, 1, 64, 64, 2) + 20.0, tf.bfloat16)
    out = InstanceNorm(dtype="mixed_bfloat16")(x)
    assert out.dtype == tf.bfloat16
    wanted = conv_oracle.instance_norm(x[0].numpy().astype(np.float64), 1e-5)
    np.testing.assert_allclose(out[0].numpy().astype(np.float64), wanted, atol=0.02)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_both_forms_of_instance_norm_agree_in_values_and_gradients(precision):
    """One call per image, for known batches on CPUs, and the formula for the rest."""
    x = tf.cast(images(4, 3, 9, 11, 5) * 3.0 + 1.0, precision)
    slope = tf.cast(images(5, 3, 9, 11, 5), precision)
    layer = InstanceNorm(dtype=precision)

    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return y, tape.gradient(y, x, slope)

    unknown = tf.TensorSpec([None, None, None, 5], x.dtype)
    by_formula = tf.function(run, input_signature=[unknown], autograph=False)
    by_image = tf.function(run, autograph=False).get_concrete_function(x)
    if not tf.config.list_physical_devices("GPU"):
        kinds = {op.type for op in by_image.graph.get_operations()}
        assert "FusedBatchNormV3" in kinds
    tolerance = {"float32": 2e-6, "bfloat16": 0.02}[precision]
    for found, wanted in zip(by_image(x), by_formula(x), strict=True):
        wanted = tf.cast(wanted, tf.float32)
        atol = tolerance * np.abs(wanted).max()
        np.testing.assert_allclose(tf.cast(found, tf.float32), wanted, 0, atol)


def test_instance_norm_of_a_flat_image_is_zero():
    out = InstanceNorm()(tf.fill([1, 4, 4, 3], 0.37))
    np.testing.assert_allclose(out, 0.0, atol=1e-4)


@pytest.mark.parametrize("kernel_size", [3, 4])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("size", [(8, 8), (9, 7)])
def test_padded_conv_equals_the_loop_with_pytorch_padding(kernel_size, strides, size):
    layer = PaddedConv2D(5, kernel_size, strides)
    x = images(2, 2, *size, 3)
    layer.build(x.shape)
    layer.bias.assign(images(3, 5))
    wanted = [
        conv_oracle.conv2d(
            image,
            layer.kernel.numpy(),
            layer.bias.numpy(),
            strides,
            (kernel_size - 1) // 2,
        )
        for image in x
    ]
    found = layer(x)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)


def test_keras_same_padding_would_shift_a_strided_result():
    """Why the layer exists; also shows that the test above can tell."""
    ours = PaddedConv2D(2, 3, 2)
    x = images(4, 1, 8, 8, 3)
    ours.build(x.shape)
    theirs = keras.layers.Conv2D(2, 3, strides=2, padding="same", use_bias=False)
    theirs.build(x.shape)
    theirs.kernel.assign(ours.kernel)
    assert np.abs(ours(x) - theirs(x)).max() > 0.1


def effective_weights(layer, channels, training=False):
    """[K*K*Cin, Cout] of the linear map, read off its response to single pixels."""
    side = layer.kernel_size
    deltas = np.zeros((channels, side, side, channels), np.float32)
    for c in range(channels):
        deltas[c, side // 2, side // 2, c] = 1
    response = layer(deltas, training=training).numpy() - layer.bias.numpy()
    taps = response[:, ::-1, ::-1]  # y[p] = sum_q w[q] x[p + q - centre]
    return taps.transpose(1, 2, 0, 3).reshape(side * side * channels, -1)


def test_reading_off_the_weights_works():
    layer = PaddedConv2D(5, 3)
    layer.build((None, 3, 3, 4))
    wanted = layer.kernel.numpy().reshape(-1, 5)
    np.testing.assert_allclose(effective_weights(layer, 4), wanted, atol=1e-6)


@pytest.fixture
def spectral():
    """After enough training calls for the power iteration to settle."""
    keras.utils.set_random_seed(0)
    layer = PaddedConv2D(6, 3, spectral=True)
    layer.build((None, 8, 8, 4))
    layer.kernel.assign(layer.kernel * 7.0)
    before = layer.kernel.numpy()
    x = images(5, 1, 8, 8, 4)
    for _ in range(150):
        layer(x, training=True)
    np.testing.assert_array_equal(layer.kernel, before)  # the stored weights stay
    return layer


def test_spectral_norm_divides_by_the_largest_singular_value(spectral):
    stored = spectral.kernel.numpy().reshape(-1, 6)
    largest = np.linalg.svd(stored, compute_uv=False)[0]
    assert largest > 2
    for training in (False, True):
        effective = effective_weights(spectral, 4, training)
        np.testing.assert_allclose(effective, stored / largest, rtol=0, atol=1e-5)
        top = np.linalg.svd(effective, compute_uv=False)[0]
        assert top == pytest.approx(1.0, abs=1e-4)


def test_spectral_vector_moves_only_in_training():
    keras.utils.set_random_seed(1)
    layer = PaddedConv2D(6, 3, spectral=True)
    x = images(6, 1, 8, 8, 4)
    layer.build(x.shape)
    start = layer.left_vector.numpy()
    first = layer(x, training=False).numpy()
    np.testing.assert_array_equal(layer.left_vector, start)
    np.testing.assert_array_equal(layer(x, training=False), first)
    layer(x, training=True)
    assert np.abs(layer.left_vector - start).max() > 1e-3
    assert [v.path for v in layer.non_trainable_variables] == [layer.left_vector.path]


def test_spectral_gradient_equals_finite_differences(spectral):
    direction = images(7, 36, 6)

    def loss_by_svd(matrix):
        top = np.linalg.svd(matrix, compute_uv=False)[0]
        return np.sum(direction * matrix / top)

    side = 3
    target = tf.constant(direction.reshape(side, side, 4, 6))
    deltas = np.zeros((4, side, side, 4), np.float32)
    deltas[range(4), 1, 1, range(4)] = 1
    weights = tf.transpose(target[::-1, ::-1], [2, 0, 1, 3])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(spectral(deltas, training=False) * weights)
    found = tape.gradient(loss, spectral.kernel.value).numpy().reshape(36, 6)
    matrix = spectral.kernel.numpy().astype(np.float64).reshape(36, 6)
    assert loss.numpy() == pytest.approx(loss_by_svd(matrix), abs=1e-3)
    for place in [(0, 0), (13, 2), (20, 5), (35, 1)]:
        step = np.zeros_like(matrix)
        step[place] = 1e-5
        numeric = (loss_by_svd(matrix + step) - loss_by_svd(matrix - step)) / 2e-5
        assert found[place] == pytest.approx(numeric, abs=2e-3)


@pytest.mark.parametrize("spectral", [False, True])
def test_padded_conv_in_bfloat16_keeps_float32_weights(spectral):
    layer = PaddedConv2D(4, 3, 2, spectral=spectral, dtype="mixed_bfloat16")
    x = tf.cast(images(8, 1, 8, 8, 3), tf.bfloat16)
    for _ in range(30):
        out = layer(x, training=True)
    assert out.dtype == tf.bfloat16
    assert {v.dtype for v in layer.variables} == {"float32"}
    kernel = layer.kernel.numpy()
    if spectral:
        kernel = kernel / np.linalg.svd(kernel.reshape(-1, 4), compute_uv=False)[0]
    wanted = conv_oracle.conv2d(x[0].numpy().astype(float), kernel, np.zeros(4), 2, 1)
    np.testing.assert_allclose(out[0].numpy().astype(float), wanted, atol=0.03)


def test_convolutions_start_within_one_over_root_fan_in_with_zero_biases():
    for layer in (conv(64, 3, dtype="float32", name="a"), PaddedConv2D(64, 3)):
        layer.build((None, 8, 8, 16))
        bound = 1 / (9 * 16) ** 0.5
        values = layer.kernel.numpy()
        assert 0.95 * bound < np.abs(values).max() <= bound
        assert values.std() == pytest.approx(bound / 3**0.5, rel=0.03)
        np.testing.assert_array_equal(layer.bias, 0)


def test_batch_norm_has_pytorch_constants():
    layer = batch_norm(dtype="float32", name="n")
    x = images(9, 4, 3, 3, 2) * 0.01 + 5
    out = layer(x, training=True).numpy()
    mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    np.testing.assert_allclose(
        out, (x - mean) / np.sqrt(variance + 1e-5), rtol=0, atol=5e-3
    )
    np.testing.assert_allclose(layer.moving_mean, 0.1 * mean, rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * variance, rtol=1e-4)


def test_spectral_gradient_takes_the_singular_vectors_as_constants():
    """Miyato et al. 2018, Eq. 10; shows before the power iteration has settled."""
    keras.utils.set_random_seed(2)
    layer = PaddedConv2D(6, 1, spectral=True)
    layer.build((None, 1, 1, 4))
    kernel = layer.kernel.numpy().reshape(4, 6)
    right = layer.left_vector.numpy() @ kernel.T
    right /= np.linalg.norm(right)
    left = right @ kernel
    left /= np.linalg.norm(left)
    sigma = (right @ kernel @ left.T).item()
    assert sigma < 0.95 * np.linalg.svd(kernel, compute_uv=False)[0]
    upstream = images(10, 4, 6)
    with tf.GradientTape() as tape:  # one pixel of each input channel
        out = layer(tf.reshape(tf.eye(4), [4, 1, 1, 4]), training=True)
        loss = tf.reduce_sum(out[:, 0, 0] * upstream)
    found = tape.gradient(loss, layer.kernel.value).numpy().reshape(4, 6)
    wanted = upstream / sigma - np.sum(upstream * kernel) / sigma**2 * (right.T @ left)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
