"""LR images against the photographs that they were made of, on both grids."""

import numpy as np
import pytest

from pdm_tf.core.images import to_float
from pdm_tf.core.imresize import imresize
from pdm_tf.core.lr_fidelity import lr_fidelity
from tests.support.tiny_nets import photo

SCALE = 4


@pytest.fixture(scope="module")
def hr():
    image = to_float(photo(128, 192)).astype(np.float64)
    return np.stack([image[:, :96], image[:, 96:]])


def at(hr, top, left):
    """The mean over a block of pixels around (scale * i + top, scale * j + left)."""
    moved = np.roll(hr, (-top, -left), axis=(1, 2))
    return (
        sum(
            np.roll(moved, (-y, -x), axis=(1, 2))[:, ::SCALE, ::SCALE]
            for y in range(-2, 3)
            for x in range(-2, 3)
        )
        / 25
    )


def test_the_same_content_in_other_sharpness_and_strength(hr):
    reduced = np.stack([imresize(x, 1 / SCALE) for x in hr])
    found = lr_fidelity(reduced, hr, SCALE)
    assert found.change < 1e-12 and found.correlation == pytest.approx(1.0)
    weak = lr_fidelity(0.2 + 0.3 * reduced, hr, SCALE)
    assert weak.correlation == pytest.approx(1.0)
    noise = np.random.default_rng(0).normal(size=reduced.shape)
    own = reduced - reduced.mean(axis=(1, 2), keepdims=True)
    noisy = lr_fidelity(reduced + noise * own.std(), hr, SCALE)
    assert noisy.correlation == pytest.approx(np.sqrt(0.5), abs=0.02)


def test_what_changes_is_told(hr):
    reduced = np.stack([imresize(x, 1 / SCALE) for x in hr])
    tinted = lr_fidelity(reduced + np.array([0.0, -0.04, 0.01]), hr, SCALE)
    assert tinted.cast == pytest.approx(0.04) and tinted.correlation > 0.999
    assert lr_fidelity(hr[:, ::SCALE, ::SCALE], hr, SCALE).change == 0.0
    other = lr_fidelity(reduced[:, ::-1, ::-1], hr, SCALE)
    assert abs(other.correlation) < 0.5
    assert lr_fidelity(np.full_like(reduced, 0.5), hr, SCALE).correlation == 0.0


def test_the_grid_says_where_to_look(hr):
    """Blurred around pixel 4i it fits "pixel0" best; a wrong sign would be worse."""
    first = at(hr, 0, 0)
    right = lr_fidelity(first, hr, SCALE, "pixel0").correlation
    assert right > lr_fidelity(first, hr, SCALE, "half_pixel").correlation
    middle = at(hr, 2, 2)  # half a pixel beyond the middle
    wrong = lr_fidelity(middle, hr, SCALE, "pixel0").correlation
    assert lr_fidelity(middle, hr, SCALE, "half_pixel").correlation > wrong
