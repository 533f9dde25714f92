"""Perceptual loss: a NumPy oracle from pixels on, and where its gradient goes."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.losses.perceptual import PERCEPTUAL_TAPS, perceptual_loss
from pdm_tf.models.features import VGGConfig
from tests.oracles import features_oracle

SMALL = VGGConfig(depth=19, filters=2)


def images(seed, size=32):
    return np.random.default_rng(seed).random((2, size, size, 3)).astype(np.float32)


def weights_of(network):
    table = {v.path.split("/", 1)[1]: v.numpy() for v in network.variables}
    return lambda name: (table[f"{name}/kernel"], table[f"{name}/bias"])


# Written out from the papers' repositories, not read from the product.
WANTED = {
    "conv5_4": {"conv5_4": 1.0},
    "five_taps": {
        "conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0,
    },
}  # fmt: skip


@pytest.mark.parametrize("setting", PERCEPTUAL_TAPS)
def test_equals_numpy_from_the_pixels_on(setting):
    """Normalisation, taps before the ReLU, their weights, L1, mean over everything."""
    network, (sr, hr) = SMALL.build(), (images(0), images(1))
    weights = PERCEPTUAL_TAPS[setting]
    taps = tuple(weights)
    found = perceptual_loss(network(sr, taps=taps), network(hr, taps=taps), weights)
    params, wanted = weights_of(network), 0.0
    sides = [[features_oracle.vgg(x, 19, params) for x in batch] for batch in (sr, hr)]
    for tap, weight in WANTED[setting].items():
        differences = [
            np.abs(a[tap] - b[tap]) for a, b in zip(sides[0], sides[1], strict=True)
        ]
        wanted += weight * np.mean(differences)
        assert any(a[tap].min() < 0 for a in sides[0])  # before the ReLU
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_the_gradient_reaches_the_result_and_not_the_target():
    """The release's reached neither (B1)."""
    network, (sr, hr) = SMALL.build(), map(tf.constant, (images(0), images(1)))
    taps = ("conv5_4",)
    with tf.GradientTape() as tape:
        tape.watch([sr, hr])
        loss = perceptual_loss(
            network(sr, taps=taps), network(hr, taps=taps), PERCEPTUAL_TAPS["conv5_4"]
        )
    to_sr, to_hr = tape.gradient(loss, [sr, hr])
    assert to_hr is None
    assert np.count_nonzero(to_sr) > 0.8 * to_sr.shape.num_elements()


def test_it_is_zero_for_equal_images_and_grows_with_blur():
    network, hr = SMALL.build(), images(2)
    coarse = tf.image.resize(tf.image.resize(hr, [16, 16], "area"), [32, 32])
    coarser = tf.image.resize(tf.image.resize(hr, [8, 8], "area"), [32, 32])
    taps = PERCEPTUAL_TAPS["five_taps"]

    def loss(x):
        sides = (network(image, taps=tuple(taps)) for image in (x, hr))
        return float(perceptual_loss(*sides, taps))

    assert loss(hr) == 0.0
    assert 0.0 < loss(coarse) < loss(coarser)


def test_missing_taps_and_other_shapes_are_refused():
    a = {"conv1_2": tf.zeros([1, 4, 4, 2])}
    with pytest.raises(ValueError, match="tap conv5_4 are needed .* conv1_2 and"):
        perceptual_loss(a, a, {"conv5_4": 1.0})
    b = {"conv1_2": tf.zeros([1, 4, 5, 2])}
    with pytest.raises(ValueError, match=r"one shape.*conv1_2, \(1, 4, 4, 2\) and"):
        perceptual_loss(a, b, {"conv1_2": 1.0})
