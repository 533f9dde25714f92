"""The translator: the values of its trunk by hand-written NumPy, and its start."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.models.sr import TranslatorConfig
from tests.oracles.conv_oracle import leaky_relu, same_conv
from tests.support.weights import params_of, shake


def translated(lr, network):
    """One image [h, w, 3], in float64."""
    trunk = network.trunk
    settings = network.config

    def layer(x, of):
        return same_conv(x, **params_of(of))

    def activated(x, of):
        if settings.activation == "prelu":
            slope = of.alpha.numpy().reshape(-1)
            return np.where(x > 0, x, slope * x)
        return leaky_relu(x, 0.2 if settings.activation == "leaky_relu" else 0.0)

    x = lr
    count = len(settings.head) - (0 if settings.head_activation else 1)
    for i, head in enumerate(trunk.heads):
        x = layer(x, head)
        if i < count:
            x = activated(x, trunk.head_activations[i])
    start = x
    for block in trunk.blocks:
        inner = activated(layer(x, block.first), block.activate)
        x = x + layer(inner, block.second)
    x = layer(x, trunk.body_end) + start
    for tail, activate in zip(trunk.tails, trunk.tail_activations, strict=True):
        x = activated(layer(x, tail), activate)
    return lr + layer(x, trunk.image)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"activation": "prelu", "head": (3, 3), "head_activation": True},
        {"activation": "leaky_relu", "head": (5, 3), "tail": (3, 5)},
    ],
    ids=["edsr", "prelu", "windows"],
)
def test_values(settings):
    network = TranslatorConfig(filters=4, num_blocks=2, **settings).build()
    shake(network, amount=0.15)
    lr = np.random.default_rng(1).random((2, 9, 7, 3)).astype(np.float32)
    found = network(lr).numpy()
    for image, made in zip(lr, found, strict=True):
        expected = translated(np.float64(image), network)
        np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-5)


def test_it_starts_as_the_identity_and_can_leave_it():
    network = TranslatorConfig(filters=4, num_blocks=1).build()
    lr = tf.constant(np.random.default_rng(2).random((1, 6, 6, 3)), tf.float32)
    np.testing.assert_array_equal(network(lr), lr)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(network(lr) - 1.0))
    gradients = dict(
        zip(
            [v.path for v in network.trainable_variables],
            tape.gradient(loss, network.trainable_variables),
            strict=True,
        )
    )
    moved = {path.split("/")[-2] for path, g in gradients.items() if np.any(g)}
    assert moved == {"image"}


def test_radius_is_exact():
    """A pixel at the radius changes the result, the next one does not."""
    config = TranslatorConfig(filters=2, num_blocks=1, head=(5, 3), tail=(3, 3))
    network = config.build()
    shake(network, amount=0.5)
    reach = config.receptive_radius
    assert reach == 2 + 1 + 2 + 1 + 2
    lr = np.zeros([1, 1, reach + 2, 3], np.float32)
    base = network(lr).numpy()[0, 0, 0]
    for distance, sees in ((reach, True), (reach + 1, False)):
        other = lr.copy()
        other[0, 0, distance] = 100.0
        assert np.any(network(other).numpy()[0, 0, 0] != base) == sees


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": 2}, "`scale` of TranslatorConfig must be 1. Received: 2"),
        ({"head": ()}, "`head` .* one odd side of a window or more"),
        ({"tail": (3, 4)}, r"`tail` .* Received: \(3, 4\)"),
        ({"num_blocks": -1}, "`num_blocks` .* at least 0. Received: -1"),
        ({"activation": "gelu"}, "Received: .*gelu"),
        ({"filters": 0}, "filters"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        TranslatorConfig(**settings)
