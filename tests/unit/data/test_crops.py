"""Crops: which are drawn, and patches against slices of the pictures, at every place.

Draws: each image once per epoch, uniform, a function of the index alone.
"""

import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pdm_tf.core.geometry import D4_COUNT
from pdm_tf.core.seeds import stream_seed
from pdm_tf.data.crops import (
    Draw,
    apply_steps,
    cutter,
    draw_samples,
    partners_of,
    steps_of,
    why_stopped,
)
from pdm_tf.data.pairs import load_pairs
from pdm_tf.data.pipeline import (
    Batching,
    make_batches,
    make_pair_batches,
    open_pairs,
)
from pdm_tf.data.sources import open_source
from tests.oracles import draw_oracle
from tests.oracles.d4_oracle import d4
from tests.unit.data.folders import fill


def _draws(indices, sizes, patch=8, seed=0, stream="hr"):
    """[n, 4] int64: image, top, left, symmetry of each index."""
    sizes = np.asarray(sizes, np.int64)

    @tf.function(autograph=False)
    def all_of(indices):
        return tf.map_fn(
            lambda index: tf.stack(
                draw_samples(index[None], sizes, patch=patch, seed=seed, stream=stream)
            )[:, 0],
            indices,
        )

    return all_of(tf.constant(np.asarray(indices, np.int64))).numpy()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 300])
def test_each_image_once_per_epoch(count):
    epochs = 4
    start = 11 * count  # anywhere
    images = _draws(range(start, start + epochs * count), [(9, 9)] * count)[:, 0]
    epoch_rows = images.reshape(epochs, count)
    for row in epoch_rows:
        assert sorted(row) == list(range(count))
    if count >= 7:
        assert len({tuple(row) for row in epoch_rows}) == epochs  # reshuffled


def test_orders_of_epochs_do_not_repeat():
    """index_shuffle alone knows 256 orders of a few hundred images."""
    count, epochs = 100, 400
    starts = np.arange(epochs)[:, None] * count + np.arange(3)
    images = _draws(starts.reshape(-1), [(9, 9)] * count)[:, 0].reshape(epochs, 3)
    assert len({tuple(row) for row in images}) > 0.99 * epochs
    expected = epochs / count
    chi2 = np.sum((np.bincount(images[:, 0], minlength=count) - expected) ** 2)
    assert chi2 / expected < 149  # 99 degrees of freedom, p = 0.001; fixed seed


def test_crops_reach_all_places_and_symmetries_evenly():
    draws = _draws(range(4000), [(10, 9)], patch=8)
    places = Counter((top, left) for _, top, left, _ in draws.tolist())
    assert places.keys() == {(top, left) for top in range(3) for left in range(2)}
    assert min(places.values()) > 0.8 * 4000 / 6
    symmetries = np.bincount(draws[:, 3], minlength=D4_COUNT)
    assert symmetries.size == D4_COUNT and symmetries.min() > 0.8 * 4000 / 8
    joint = Counter((top, k) for _, top, _, k in draws.tolist())
    assert len(joint) == 24 and min(joint.values()) > 0.7 * 4000 / 24


def test_crops_stay_inside():
    sizes = [(8, 30), (30, 8), (8, 8), (11, 13)]
    for image, top, left, _ in _draws(range(800), sizes, patch=8):
        assert 0 <= top <= sizes[image][0] - 8 and 0 <= left <= sizes[image][1] - 8


def test_a_draw_depends_on_nothing_but_seed_stream_and_index():
    sizes = [(40, 50)] * 9
    whole = _draws(range(100), sizes)
    np.testing.assert_array_equal(_draws([37, 99, 0], sizes), whole[[37, 99, 0]])
    far = 2**40  # beyond 32 bits
    assert len({tuple(row) for row in _draws(range(far, far + 50), sizes)}) > 45


@pytest.mark.parametrize("change", [{"seed": 1}, {"stream": "real_lr"}])
def test_streams_and_seeds_are_independent(change):
    """Same images, crops or symmetries in two streams would pair HR with LR."""
    sizes = [(40, 50)] * 50
    one, other = _draws(range(500), sizes), _draws(range(500), sizes, **change)
    agreement = np.mean(one == other, axis=0)
    chance = np.array([1 / 50, 1 / 33, 1 / 43, 1 / 8])
    assert np.all(agreement < chance + 4 * np.sqrt(chance / 500))
    for column in range(1, 4):
        assert abs(np.corrcoef(one[:, column], other[:, column])[0, 1]) < 0.2


@pytest.mark.parametrize("index", range(D4_COUNT))
def test_steps_make_the_symmetry(index):
    image = np.arange(5 * 5 * 3).reshape(5, 5, 3).astype(np.uint8)
    steps = steps_of(tf.constant(index, tf.int64), side=5, channels=3)
    made = apply_steps(tf.constant(image), steps, side=5).numpy()
    np.testing.assert_array_equal(made, d4(image, index))


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

    @tf.function(reduce_retracing=False, autograph=False)
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
    ("batch_size", "shard", "start_step"),
    [
        (4, (0, 1), 0),
        (32, (0, 1), 5),
        (48, (0, 1), 0),  # two groups of 24 in a batch
        (37, (0, 1), 10**8),  # no divisor; indices beyond 32 bits
        (12, (2, 3), 2),
    ],
)
def test_batches_are_those_of_the_oracle(tmp_path, batch_size, shard, start_step):
    """However indices are grouped, each sample is drawn, cut and placed as by hand."""
    pictures = fill(tmp_path, SIZES[:1] + SIZES[2:])
    source = open_source(tmp_path, patch=8, cache_mb=64)
    worker, workers = shard
    how = Batching(batch_size, 11, start_step, worker=worker, workers=workers)
    batches = make_batches({"hr": source}, {"hr": 8}, how)
    keys = []
    for kind in ("image", "crop"):
        first, second = stream_seed(11, f"data/hr/{kind}")
        keys.append(first << 31 | second)
    local = batch_size // workers
    for step, batch in enumerate(batches.take(3), start=start_step):
        first = step * batch_size + worker * local
        patches = batch["hr"].numpy()
        assert patches.shape == (local, 8, 8, 3)
        for index, patch in zip(itertools.count(first), patches, strict=False):
            image, top, left, symmetry = draw_oracle.draw(
                index, source.sizes, 8, tuple(keys)
            )
            crop = d4(pictures[image][top : top + 8, left : left + 8], symmetry)
            np.testing.assert_array_equal(
                patch, crop.astype(np.float32) / np.float32(255)
            )


def lose(path, how):
    """Makes a picture that was read before unreadable, or another one."""
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-90])
    else:
        Image.new("RGB", (70, 70)).save(path)


@pytest.mark.parametrize("how", ["gone", "cut", "another"])
def test_a_picture_lost_after_the_start_is_replaced_by_the_next(tmp_path, caplog, how):
    """On every side of a pair, where it lies as the drawn one did on the grid."""
    rng = np.random.default_rng(0)
    for index in range(4):
        hr = rng.integers(0, 256, (32 + 8 * index, 64, 3), np.uint8)
        for name, part in (("hr", hr), ("lr", hr[::4, ::4])):
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(part).save(tmp_path / name / f"{index}.png")
    pairs = open_pairs(
        load_pairs(tmp_path / "hr", tmp_path / "lr", 4), lr_patch=8, cache_mb=0
    )
    pairs = dataclasses.replace(pairs, grid="pixel0")
    lose(tmp_path / "lr" / "1.png", how)
    for batch in make_pair_batches(pairs, 8, Batching(4, seed=3)).take(6):
        for hr, lr in zip(batch["hr"].numpy(), batch["lr"].numpy(), strict=True):
            np.testing.assert_array_equal(hr[::4, ::4], lr)
    assert list(pairs.hr.lost) == ["1:1.png"]
    [told] = [record.getMessage() for record in caplog.records]
    assert "lr/1.png" in told and "next picture" in told and "1 of 4" in told


def test_without_most_pictures_the_stream_gives_up_and_says_why(tmp_path):
    fill(tmp_path, SIZES)
    source = open_source(tmp_path, patch=8, cache_mb=0)
    for path in list(tmp_path.iterdir())[:3]:
        path.unlink()
    batches = make_batches({"hr": source}, {"hr": 8}, Batching(4, seed=3))
    with pytest.raises(tf.errors.OpError):
        list(batches.take(3))
    reason = why_stopped()
    assert "3 of 4" in str(reason) and str(tmp_path) in str(reason)
    assert why_stopped() is None
