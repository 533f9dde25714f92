"""The symmetries of the square."""

import numpy as np
import pytest

from pdm_tf.core.geometry import D4_COUNT, d4_parts
from tests.oracles.d4_oracle import d4


def test_convention():
    image = np.array([[1, 2], [3, 4]])
    expected = [
        [[1, 2], [3, 4]],
        [[2, 4], [1, 3]],  # a quarter counter-clockwise: the right column goes on top
        [[4, 3], [2, 1]],
        [[3, 1], [4, 2]],
        [[2, 1], [4, 3]],  # mirrored left to right, then the same turns
        [[1, 3], [2, 4]],
        [[3, 4], [1, 2]],
        [[4, 2], [3, 1]],
    ]
    for index in range(D4_COUNT):
        np.testing.assert_array_equal(d4(image, index), expected[index])


@pytest.mark.parametrize("index", range(D4_COUNT))
def test_parts_make_the_symmetry(index):
    image = np.arange(2 * 5 * 3).reshape(2, 5, 3)
    down, right, transposed = d4_parts(index)
    made = image[:: -1 if down else 1, :: -1 if right else 1]
    made = made.transpose(1, 0, 2) if transposed else made
    np.testing.assert_array_equal(made, d4(image, index))


@pytest.mark.parametrize("index", [-1, 8])
def test_refuses(index):
    with pytest.raises(ValueError, match="Received"):
        d4_parts(index)
