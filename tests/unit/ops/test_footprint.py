"""What a network on the LR grid sees of an HR image."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.ops.footprint import hr_footprint
from tests.oracles.blur_oracle import mirror


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("grid", ["pixel0", "half_pixel"])
@pytest.mark.parametrize("margin", [0, 4])
def test_blocks_lie_around_the_middle_of_the_blur_window(scale, grid, margin):
    """A block off by one pixel, or transposed, would tell netK of other places."""
    lr_size = (3, 4)
    height, width = (n * scale + 2 * margin for n in lr_size)
    hr = np.random.default_rng(scale).random((2, height, width, 3)).astype(np.float32)
    found = hr_footprint(tf.constant(hr), scale, grid, margin).numpy()
    assert found.shape == (2, *lr_size, 3 * scale**2)
    found = found.reshape(2, *lr_size, scale, scale, 3)
    window = (scale - 1) // 2 if grid == "half_pixel" else 0
    for i in range(lr_size[0]):
        for j in range(lr_size[1]):
            for a in range(scale):
                for b in range(scale):
                    before = (scale - 1) // 2
                    y = mirror(margin + scale * i + window + a - before, height)
                    x = mirror(margin + scale * j + window + b - before, width)
                    np.testing.assert_array_equal(found[:, i, j, a, b], hr[:, y, x])


def test_a_margin_too_small_is_refused():
    with pytest.raises(ValueError, match="Received: margin=1, scale=5"):
        hr_footprint(tf.zeros([1, 12, 12, 3]), 5, "pixel0", 1)
