"""Keras network to image function: rounding, clipping, one trace, live weights."""

import keras
import numpy as np
import pytest

from pdm_tf.evaluation.runner import keras_upscaler


class Times(keras.Model):
    """Nearest x2, times a weight, and a count of how often Python ran."""

    def __init__(self, factor: float, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        self.factor = self.add_weight(shape=(), initializer="ones", name="factor")
        self.factor.assign(factor)
        self.grow = keras.layers.UpSampling2D(2)
        self.traces = []

    def call(self, x):
        self.traces.append(x.shape)
        return keras.ops.cast(self.grow(x), self.compute_dtype) * self.factor


def _image(height, width):
    rng = np.random.default_rng(height)
    return rng.integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_identity_keeps_every_level():
    """uint8 -> float -> uint8 without loss, whatever the rounding mode."""
    lr = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    sr = keras_upscaler(Times(1.0), 2)(lr)
    assert sr.dtype == np.uint8
    np.testing.assert_array_equal(sr, lr.repeat(2, axis=0).repeat(2, axis=1))


def test_clips_instead_of_wrapping():
    """A cast without a clip turns 1.5 * 255 into 126."""
    white = np.full((4, 4, 3), 255, np.uint8)
    assert keras_upscaler(Times(1.5), 2)(white).min() == 255
    assert keras_upscaler(Times(-1.0), 2)(white).max() == 0


def test_traced_once_for_all_sizes():
    """Retracing for each image size costs seconds each."""
    network = Times(1.0)
    upscale = keras_upscaler(network, 2)
    upscale(_image(4, 5))
    count = len(network.traces)
    for shape in ((5, 4), (9, 9), (1, 1)):
        assert upscale(_image(*shape)).shape == (shape[0] * 2, shape[1] * 2, 3)
    assert len(network.traces) == count


def test_follows_the_weights():
    """Training goes on between two validations: the compiled function must see it."""
    network = Times(1.0)
    upscale = keras_upscaler(network, 2)
    grey = np.full((2, 2, 3), 100, np.uint8)
    assert upscale(grey).max() == 100
    network.factor.assign(0.5)
    assert upscale(grey).max() == 50


def test_tiles_equal_the_whole_for_a_convolution():
    """Zero padding at the image's border, context elsewhere."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.layers.Input((None, None, 3)),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
            keras.layers.Conv2D(3, 3, padding="same"),
        ]
    )
    lr = _image(41, 53)
    whole = keras_upscaler(network, 1, tile=0)(lr)
    tiled = keras_upscaler(network, 1, tile=20, overlap=2)(lr)
    # One grey level: a convolution may sum in another order at another size.
    assert np.abs(whole.astype(int) - tiled).max() <= 1
    assert np.mean(whole != tiled) < 1e-3


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_networks_give_float32_images(dtype):
    """8 bits of a bfloat16 would show as banding; the last step must not add any."""
    network = Times(1.0, dtype=dtype)
    sr = keras_upscaler(network, 2)(_image(6, 6))
    expected = _image(6, 6).repeat(2, axis=0).repeat(2, axis=1)
    assert np.abs(sr.astype(int) - expected).max() <= 1
