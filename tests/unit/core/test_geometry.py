"""The symmetries of the square."""

import numpy as np
import pytest

from pdm_tf.core.geometry import (
    D4_COUNT,
    GRIDS,
    d4_parts,
    grid_of_chain,
    reversal_shift,
)
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


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_reversal_moves_lr_pixels_by_the_shift(scale, grid):
    """By the definition of the grids, on an axis of five LR pixels."""
    first = {"pixel0": 0.0, "half_pixel": (scale - 1) / 2}[grid]
    places = scale * np.arange(5) + first
    seen_from_the_end = 5 * scale - 1 - places[::-1]
    assert set(seen_from_the_end - places) == {reversal_shift(scale, grid)}


def _place(stages):
    """HR places of LR pixels 0 and 1 after the stages, by the grids' definition."""
    places = np.array([0.0, 1.0])
    for scale, grid in stages:
        places = scale * places + {"pixel0": 0.0, "half_pixel": (scale - 1) / 2}[grid]
    return tuple(places)


@pytest.mark.parametrize("grid", GRIDS)
def test_networks_of_one_grid_in_a_row_are_of_that_grid(grid):
    stages = [(1, None), (2, grid), (3, grid)]
    assert grid_of_chain(stages) == grid
    assert _place(stages[1:]) == _place([(6, grid)])


def test_networks_of_different_or_unknown_grids_in_a_row_are_of_none():
    mixed = [(2, "pixel0"), (3, "half_pixel")]
    assert grid_of_chain(mixed) is None
    assert all(_place(mixed) != _place([(6, grid)]) for grid in GRIDS)
    for stages in ([], [(1, "pixel0")], [(2, None), (2, "pixel0")], [(4, None)]):
        assert grid_of_chain(stages) is None


@pytest.mark.parametrize("index", [-1, 8])
def test_refuses(index):
    with pytest.raises(ValueError, match="Received"):
        d4_parts(index)
