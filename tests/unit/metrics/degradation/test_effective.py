"""The estimated kernel is the one that made the image, where one did."""

import numpy as np
import pytest

from pdm_tf.core.images import to_float
from pdm_tf.core.imresize import imresize, resize_weights
from pdm_tf.metrics.degradation.effective import effective_kernel
from tests.oracles.kernel_oracle import gaussian
from tests.support.tiny_nets import photo

SIDE, ROOM = 9, 12


def blurred(hr, kernel, scale, first):
    """LR pixels by sums over windows whose middles begin at `first`."""
    size = (hr.shape[0] - 2 * ROOM) // scale
    half = SIDE // 2
    lr = np.empty([size, size, 3])
    for i, j in np.ndindex(size, size):
        y, x = first + scale * i - half, first + scale * j - half
        window = hr[y : y + SIDE, x : x + SIDE]
        lr[i, j] = (window * kernel[:, :, None]).sum(axis=(0, 1))
    return lr


@pytest.mark.parametrize(
    ("scale", "grid", "first"),
    [(2, "pixel0", 0), (4, "pixel0", 0), (4, "half_pixel", 1), (3, "half_pixel", 1)],
)
def test_it_is_found_where_it_lies(scale, grid, first):
    """Asymmetric, so that a flip, a transposition or a shift would show."""
    kernel = gaussian(1.6, 0.8, 0.5, side=SIDE)
    kernel[1, 6] += 0.2
    kernel /= kernel.sum()
    hr = to_float(photo(40 * scale + 2 * ROOM, 40 * scale + 2 * ROOM)).astype(float)
    lr = blurred(hr, kernel, scale, ROOM + first)
    found = effective_kernel(hr, lr + 0.1, SIDE, scale, grid)  # a tint is no blur
    assert found.sum() == pytest.approx(1.0, abs=0.01)
    assert np.abs(found - kernel).max() < 0.25 * kernel.max()
    # What the difference does to an image is below rounding.
    difference = blurred(hr, found - kernel, scale, ROOM + first)
    assert difference.std() < 0.3 / 255


def test_noise_blurs_the_estimate_little():
    hr = to_float(photo(184, 184)).astype(float)
    kernel = gaussian(1.6, 0.8, 0.5, side=SIDE)
    lr = blurred(hr, kernel, 4, ROOM)
    lr += 8 / 255 * np.random.default_rng(0).normal(size=lr.shape)
    found = effective_kernel(hr, lr, SIDE, 4, "pixel0")
    error = blurred(hr, found - kernel, 4, ROOM)
    assert error.std() < 2 / 255


def test_of_bicubic_it_is_bicubic():
    """Its negative lobes too; half a pixel beside the middle, as bicubic lies."""
    scale, side, room = 2, 9, 8
    hr = to_float(photo(120, 120)).astype(float)
    lr = imresize(hr, 1 / scale)[
        room // scale : -room // scale, room // scale : -room // scale
    ]
    found = effective_kernel(hr, lr, side, scale, "half_pixel")
    weights, taps = resize_weights(40, 20, 1 / scale)
    line = np.zeros(side)
    np.add.at(line, taps[10] - 20 + side // 2, weights[10])
    wanted = np.outer(line, line)
    assert wanted.min() < -0.005
    assert np.abs(found - wanted).max() < 0.05
