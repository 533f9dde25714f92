"""Bicubic downsampling as matrix products, against two other ways to write it."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.geometry import GRIDS
from pdm_tf.core.imresize import imresize
from pdm_tf.ops.resize import bicubic_downsample
from tests.oracles import imresize_oracle


@pytest.mark.parametrize(
    ("scale", "size"), [(2, (16, 22)), (3, (27, 15)), (4, (40, 28))]
)
def test_equals_core_imresize_and_the_oracle(scale, size):
    hr = np.random.default_rng(scale).random((2, *size, 3))
    found = bicubic_downsample(tf.constant(hr, tf.float32), scale)
    for lr, image in zip(found.numpy(), hr, strict=True):
        np.testing.assert_allclose(lr, imresize(image, 1 / scale), rtol=0, atol=2e-6)
        oracle = imresize_oracle.imresize(image, 1 / scale)
        np.testing.assert_allclose(lr, oracle, rtol=0, atol=2e-6)


def test_scale_1_changes_nothing():
    hr = np.random.default_rng(0).random((1, 9, 12, 3)).astype(np.float32)
    np.testing.assert_allclose(
        bicubic_downsample(tf.constant(hr), 1), hr, rtol=0, atol=1e-6
    )


def test_constant_stays_and_edges_ring():
    constant = bicubic_downsample(tf.fill([1, 24, 24, 3], 0.3), 4)
    np.testing.assert_allclose(constant, 0.3, rtol=0, atol=1e-6)
    edge = np.zeros((1, 32, 32, 1), np.float32)
    edge[:, 14:] = 1.0
    ringing = bicubic_downsample(tf.constant(edge), 4).numpy()
    assert ringing.max() > 1.01 and ringing.min() < -0.01, "not the cubic of a=-0.5"


def test_errors_name_the_received_value():
    with pytest.raises(ValueError, match=r"scale=4, shape=\(1, 30, 32, 3\)"):
        bicubic_downsample(tf.zeros([1, 30, 32, 3]), 4)

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 3])], autograph=False
    )
    def unknown_size(hr):
        return bicubic_downsample(hr, 4)

    with pytest.raises(ValueError, match="must be static"):
        unknown_size(tf.zeros([1, 32, 32, 3]))


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("grid", GRIDS)
def test_lr_pixels_lie_where_the_grid_says(scale, grid):
    """A ramp has its own coordinate as its value, which a cubic keeps."""
    side = 12 * scale
    down, right = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    hr = np.stack([down, right], axis=-1)[None].astype(np.float64)
    lr = bicubic_downsample(tf.constant(hr), scale, grid).numpy()[0, 3:-3, 3:-3]
    first = scale * 3 + (0.0 if grid == "pixel0" else (scale - 1) / 2)
    wanted = first + scale * np.arange(6)
    np.testing.assert_allclose(lr[:, 0, 0], wanted, atol=1e-9)
    np.testing.assert_allclose(lr[0, :, 1], wanted, atol=1e-9)
