"""Pixels in memory and in scratch files: the same to everybody who asks."""

import os
import struct

import numpy as np
import pytest
from PIL import Image

from pdm_tf.core.errors import UserError
from pdm_tf.inference.stores import (
    MemoryBudget,
    MemoryStore,
    ScratchStore,
    open_store,
    tiff_header,
)
from tests.support.photographs import samples


@pytest.fixture(params=["memory", "scratch"])
def new_store(request, tmp_path):
    if request.param == "memory":
        return MemoryStore
    return lambda shape, dtype: ScratchStore(shape, dtype, tmp_path)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("bands", [1, 2, 3, 4])
@pytest.mark.parametrize("height", [1, 16, 37])  # below, at and above a strip
def test_stores_return_the_pixels_they_were_given(new_store, height, bands, bits):
    values = samples(height, 13, bands, bits=bits)
    store = new_store(values.shape, values.dtype)
    for part in np.array_split(values, min(5, height)):
        store.append(part)
    middle = height // 2
    np.testing.assert_array_equal(store.rows(middle, height), values[middle:])
    for in_order in (True, False, True):
        image = store.image(in_order=in_order)
        found = np.frombuffer(image.write_to_memory(), values.dtype)
        np.testing.assert_array_equal(found.reshape(values.shape), values)
    store.close()
    store.close()


def test_cleared_it_begins_at_the_top_again(new_store):
    values = samples(20, 7, 3)
    store = new_store(values.shape, values.dtype)
    store.append(255 - values[:11])
    store.clear()
    store.append(values[:5])
    store.append(values[5:])
    np.testing.assert_array_equal(store.rows(0, 20), values)


def test_a_scratch_file_has_no_name_and_gives_its_space_back(tmp_path):
    values = samples(100, 100, 3)
    store = ScratchStore(values.shape, values.dtype, tmp_path)
    store.append(values)
    assert os.listdir(tmp_path) == []
    store.close()
    with pytest.raises(ValueError, match="closed"):
        store.rows(0, 1)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_the_header_is_a_tiff_to_others_too(tmp_path, bands, bits):
    """Pillow reads 16 bits of grey alone."""
    values = samples(37, 13, bands, bits=bits)
    header = tiff_header(values.shape, values.dtype)
    (tmp_path / "a.tif").write_bytes(header + values.tobytes())
    if bits == 16 and bands > 1:
        return
    with Image.open(tmp_path / "a.tif") as image:
        found = np.asarray(image).reshape(values.shape)
    np.testing.assert_array_equal(found, values)


def test_strips_of_a_file_beyond_4_gb_lie_where_the_rows_are():
    shape = (70_000, 100_000, 3)
    header = tiff_header(shape, np.dtype(np.uint16))
    strips = -(-70_000 // 16)
    line = 100_000 * 3 * 2
    # The last two arrays of the header are the strips' places and sizes.
    values = struct.unpack(f"={2 * strips}Q", header[-16 * strips :])
    places, counts = np.array(values[:strips]), np.array(values[strips:])
    assert places[0] == len(header)
    np.testing.assert_array_equal(np.diff(places), 16 * line)
    assert places[-1] + counts[-1] == len(header) + 70_000 * line
    assert counts[-1] == 70_000 % 16 * line or 70_000 % 16 == 0


def test_the_budget_decides(tmp_path):
    budget = MemoryBudget(100)
    args = {"folder": tmp_path, "budget": budget}
    first = open_store((5, 4, 3), np.dtype(np.uint8), **args)  # 60 bytes
    second = open_store((5, 4, 3), np.dtype(np.uint8), **args)
    assert isinstance(first, MemoryStore) and isinstance(second, ScratchStore)
    first.close()
    first.close()  # must not give back twice
    third = open_store((5, 5, 2), np.dtype(np.uint16), **args)  # 100 bytes
    assert isinstance(third, MemoryStore)
    assert not budget.reserve(1)
    with pytest.raises(UserError, match=r"must have .* GB free for this image"):
        open_store((5, 4, 3), np.dtype(np.uint8), spare=1e18, **args)
