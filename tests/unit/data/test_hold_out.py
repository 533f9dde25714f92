"""Photographs that are kept out of training: by name alone."""

import random

import pytest

from pdm_tf.data.hold_out import held_out

NAMES = [f"{index:04d}.png" for index in range(100)]


@pytest.mark.parametrize(("part", "count"), [(0, 0), (2, 50), (5, 20), (8, 12)])
def test_one_in_so_many_rounded_down(part, count):
    found = held_out(NAMES, part)
    assert len(found) == count
    assert found <= set(NAMES)


def test_the_order_of_the_folder_does_not_matter():
    shuffled = NAMES[:]
    random.Random(0).shuffle(shuffled)
    assert held_out(shuffled, 5) == held_out(NAMES, 5)


def test_it_is_no_stretch_of_the_series():
    numbers = sorted(int(name[:4]) for name in held_out(NAMES, 5))
    assert numbers[0] < 25 and numbers[-1] >= 75
