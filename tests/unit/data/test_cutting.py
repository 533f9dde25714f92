"""Patches against slices of the pictures, at every place a crop can be."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.geometry import d4
from pdm_tf.core.seeds import stream_seed
from pdm_tf.data.cutting import cutter, partners_of
from pdm_tf.data.pipeline import make_stream
from pdm_tf.data.sampling import Draw
from pdm_tf.data.sources import open_source
from pdm_tf.data.symmetry import steps_of
from tests.oracles import draw_oracle
from tests.unit.data.folders import fill

SIZES = [(9, 40), (8, 8), (21, 9), (12, 31)]


@pytest.mark.parametrize("cache_mb", [64, 0], ids=["cached", "uncached"])
@pytest.mark.parametrize("side", [1, 7, 8])
def test_every_crop_of_every_picture(tmp_path, side, cache_mb):
    """The first and the last row and column too, of wide and of narrow pictures.

    Slices start at multiples of 64 bytes of the buffer; one that begins before the
    buffer, ends after it or wraps around a row would show another picture's pixels.
    """
    pictures = fill(tmp_path, SIZES)
    cut = cutter(open_source(tmp_path, patch=side, cache_mb=cache_mb))
    places = [
        (image, top, left, (image + top + left) % 8)
        for image, (height, width) in enumerate(SIZES)
        for top in (range(height - side + 1) if cache_mb else {0, height - side})
        for left in (range(width - side + 1) if cache_mb else {0, width - side})
    ]

    @tf.function(reduce_retracing=False)
    def cut_some(draws):
        return cut(Draw(*tf.unstack(draws, axis=1)), side)

    for start in range(0, len(places), 32):
        some = places[start : start + 32]
        found = cut_some(tf.constant(some, tf.int64))
        for patch, (image, top, left, symmetry) in zip(found, some, strict=True):
            wanted = pictures[image][top : top + side, left : left + side]
            np.testing.assert_array_equal(patch, d4(wanted, symmetry))


@pytest.mark.parametrize(
    ("grid", "tops", "lefts"),
    [("half_pixel", [12] * 8, [20] * 8)]
    # Symmetries 2, 3, 6 and 7 reverse downwards; 1, 2, 4 and 7 to the right.
    + [
        (
            "pixel0",
            [12, 12, 9, 9, 12, 12, 9, 9],
            [20, 17, 17, 20, 17, 20, 20, 17],
        )
    ],
)
def test_places_of_partners(grid, tops, lefts):
    place = [tf.constant([value] * 8, tf.int64) for value in (0, 3, 5)]
    draws = Draw(*place, tf.range(8, dtype=tf.int64))
    found = partners_of(draws, 4, grid)
    assert found.top.numpy().tolist() == tops
    assert found.left.numpy().tolist() == lefts


@pytest.mark.parametrize("side", [1, 2, 5])
def test_steps_of_several_symmetries_are_those_of_each(side):
    views, orders = steps_of(tf.constant([5, 0, 3]), side, 3)
    for row, symmetry in enumerate((5, 0, 3)):
        view, order = steps_of(tf.constant(symmetry), side, 3)
        np.testing.assert_array_equal(views[row], view)
        np.testing.assert_array_equal(orders[row], order)
        assert np.prod(view) == side * side * 3


@pytest.mark.parametrize(
    ("batch_size", "shard", "start"),
    [
        (4, (0, 1), 0),
        (32, (0, 1), 32 * 5),
        (48, (0, 1), 0),  # two groups of 24 in a batch
        (37, (0, 1), 37 * 10**8),  # no divisor; indices beyond 32 bits
        (12, (2, 3), 24),
    ],
)
def test_batches_are_those_of_the_oracle(tmp_path, batch_size, shard, start):
    """However indices are grouped, each sample is drawn, cut and placed as by hand."""
    pictures = fill(tmp_path, SIZES[:1] + SIZES[2:])
    source = open_source(tmp_path, patch=8, cache_mb=64)
    stream = make_stream(
        source,
        patch=8,
        batch_size=batch_size,
        seed=11,
        stream="hr",
        start_index=start,
        shard=shard,
    )
    keys = []
    for kind in ("image", "crop"):
        first, second = stream_seed(11, f"data/hr/{kind}")
        keys.append(first << 31 | second)
    worker, workers = shard
    local = batch_size // workers
    for step, batch in enumerate(stream.take(3)):
        first = start + step * batch_size + worker * local
        assert batch.shape == (local, 8, 8, 3)
        for index, patch in zip(itertools.count(first), batch.numpy(), strict=False):
            image, top, left, symmetry = draw_oracle.draw(
                index, source.sizes, 8, tuple(keys)
            )
            crop = d4(pictures[image][top : top + 8, left : left + 8], symmetry)
            np.testing.assert_array_equal(
                patch, crop.astype(np.float32) / np.float32(255)
            )
