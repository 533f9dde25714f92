"""PatchGAN: its map of logits, its receptive field, a NumPy forward pass."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.models.discriminators import PatchGANConfig
from tests.oracles import conv_oracle
from tests.support.weights import shake

# The released variants: joint training, degradation alone, and the compared methods'.
JOINT = PatchGANConfig(
    filters=8, max_filters=32, kernel_size=3, strides=(1, 1, 1, 1, 1),
    normalization="instance",
)  # fmt: skip
DEGRADATION = dataclasses.replace(JOINT, strides=(1, 2, 2, 1, 1))
BASELINES = dataclasses.replace(JOINT, kernel_size=4, strides=(1, 2, 2, 1, 1))
VARIANTS = {"joint": JOINT, "degradation": DEGRADATION, "baselines": BASELINES}


def images(seed, *shape):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


@pytest.mark.parametrize("normalization", ["instance", "none"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_forward_equals_numpy(variant, normalization):
    """Padding (K-1)//2; LeakyReLU 0.2; neither end normalised; raw logits."""
    config = dataclasses.replace(VARIANTS[variant], normalization=normalization)
    network = config.build()
    shake(network)
    image = images(0, 1, 22, 25, 3)
    x = image[0].astype(np.float64)
    last = len(config.strides) - 1
    for index, (layer, stride) in enumerate(
        zip(network.convs, config.strides, strict=True)
    ):
        padding = (config.kernel_size - 1) // 2
        kernel, bias = layer.kernel.numpy(), layer.bias.numpy()
        x = conv_oracle.conv2d(x, kernel, bias, stride, padding)
        if 0 < index < last and normalization == "instance":
            x = conv_oracle.instance_norm(x, 1e-5)
        if index < last:
            x = conv_oracle.leaky_relu(x, 0.2)
    assert x.min() < 0 < x.max()  # else a final ReLU would not show
    np.testing.assert_allclose(network(image)[0], x, rtol=1e-4, atol=1e-4)


def test_batch_norm_is_over_all_images_in_training_and_remembered_after_it():
    """Ji et al.'s: 4x4 windows, strides 2, 2, 2, 1, 1; both ends are left alone."""
    config = dataclasses.replace(
        BASELINES, strides=(2, 2, 2, 1, 1), normalization="batch"
    )
    network = config.build()
    shake(network)
    image = images(5, 2, 64, 64, 3)
    maps = list(image.astype(np.float64))
    pairs = zip(
        network.convs, [None, *network.norms, None], config.strides, strict=True
    )
    for layer, norm, stride in pairs:
        kernel, bias = layer.kernel.numpy(), layer.bias.numpy()
        maps = [conv_oracle.conv2d(x, kernel, bias, stride, 1) for x in maps]
        if norm is not None:
            every = np.concatenate([x.reshape(-1, x.shape[-1]) for x in maps])
            scale = norm.gamma.numpy() / np.sqrt(every.var(axis=0) + 1e-5)
            mean, shift = every.mean(axis=0), norm.beta.numpy()
            maps = [(x - mean) * scale + shift for x in maps]
        if layer is not network.convs[-1]:
            maps = [conv_oracle.leaky_relu(x, 0.2) for x in maps]
    before = [norm.moving_mean.numpy() for norm in network.norms]
    logits = network(image, training=True)
    assert logits.shape == (2, 6, 6, 1)
    np.testing.assert_allclose(logits, np.stack(maps), rtol=1e-3, atol=1e-3)
    for norm, old in zip(network.norms, before, strict=True):
        assert np.abs(norm.moving_mean.numpy() - old).max() > 0
    one = network(image[:1])
    np.testing.assert_array_equal(one, network(image[:1]))  # from what is remembered
    assert np.abs(one - logits[:1]).max() > 1e-3


@pytest.mark.parametrize(
    ("variant", "widths"),
    [("joint", [8, 16, 32, 32, 1]), ("baselines", [8, 16, 32, 32, 1])],
)
def test_widths_double_up_to_the_ceiling_and_end_in_one_map(variant, widths):
    network = VARIANTS[variant].build()
    assert [layer.filters for layer in network.convs] == widths


def test_one_logit_per_pixel_at_stride_1():
    network = JOINT.build()
    assert network(images(1, 2, 32, 32, 3)).shape == (2, 32, 32, 1)
    assert network(images(1, 1, 9, 21, 3)).shape == (1, 9, 21, 1)  # any size
    assert DEGRADATION.build()(images(1, 2, 32, 32, 3)).shape == (2, 8, 8, 1)


@pytest.mark.parametrize(
    ("config", "field"),
    [(JOINT, 11), (DEGRADATION, 25), (BASELINES, 37)],
    ids=list(VARIANTS),
)
def test_receptive_field_is_the_support_of_a_logits_gradient(config, field):
    # Without instance norm, whose statistics see everything.
    network = dataclasses.replace(config, normalization="none").build()
    shake(network)
    image = tf.constant(images(2, 1, 72, 72, 3))
    with tf.GradientTape() as tape:
        tape.watch(image)
        logits = network(image)
        logit = logits[0, logits.shape[1] // 2, logits.shape[2] // 2, 0]
    support = np.abs(tape.gradient(logit, image).numpy()).max(axis=(0, 3)) > 0
    sides = [np.flatnonzero(support.any(axis=axis)) for axis in (0, 1)]
    assert [s[-1] - s[0] + 1 for s in sides] == [field] * 2


@pytest.mark.parametrize("normalization", ["instance", "batch", "spectral", "none"])
def test_every_variable_gets_a_gradient(normalization):
    network = dataclasses.replace(DEGRADATION, normalization=normalization).build()
    with tf.GradientTape() as tape:
        logits = network(images(3, 2, 24, 24, 3), training=True)
        loss = tf.reduce_mean(tf.square(logits - 1))
    gradients = tape.gradient(loss, network.trainable_variables)
    for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
        assert gradient is not None and np.all(np.isfinite(gradient)), variable.path
        # Instance normalisation takes out the bias before it.
        if "kernel" in variable.path or normalization != "instance":
            assert np.abs(gradient).max() > 0, variable.path


def test_spectral_norm_is_on_every_convolution():
    network = dataclasses.replace(JOINT, normalization="spectral").build()
    shake(network, amount=2.0)
    image = images(4, 1, 16, 16, 3)
    for _ in range(40):
        logits = network(image, training=True)
    # Each layer's matrix has norm 1, so a pixel's change grows at most K-fold a layer.
    changed = image.copy()
    changed[0, 8, 8, 0] += 1e-2
    growth = np.linalg.norm(network(changed) - network(image)) / 1e-2
    assert 0 < growth < 3**5
    assert np.abs(logits).max() < 100
    free = dataclasses.replace(JOINT, normalization="none").build()
    shake(free, amount=2.0)
    assert np.abs(free(image)).max() > 1e4


def test_bfloat16_gives_float32_logits():
    network = DEGRADATION.build("mixed_bfloat16")
    reference = DEGRADATION.build()
    network.set_weights(reference.get_weights())
    image = images(5, 2, 24, 24, 3)
    logits = network(image)
    assert logits.dtype == tf.float32
    assert network.convs[1].compute_dtype == "bfloat16"
    assert {v.dtype for v in network.variables} == {"float32"}
    np.testing.assert_allclose(logits, reference(image), rtol=0, atol=0.05)


def test_paper_settings_are_the_released_ones():
    paper = PatchGANConfig.paper()
    assert paper.strides == (1, 1, 1, 1, 1) and paper.kernel_size == 3
    assert paper.normalization == "instance"
    assert paper.filters == 64 and paper.max_filters == 512


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strides": (1,)}, "at least two entries .* Received: \\(1,\\)"),
        ({"strides": (1, 0, 1)}, "1 or more. Received: \\(1, 0, 1\\)"),
        ({"filters": 0}, "`filters` of PatchGANConfig .* Received: 0"),
        (
            {"normalization": "layer"},
            "instance, batch, spectral, none. Received: 'layer'",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(JOINT, **changes)
