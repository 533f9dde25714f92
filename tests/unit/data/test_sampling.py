"""The draws: each image once per epoch, uniform, a function of the index alone."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.geometry import D4_COUNT, d4
from pdm_tf.data.sampling import draw_sample
from pdm_tf.data.symmetry import apply_symmetry


def _draws(indices, sizes, patch=8, seed=0, stream="hr"):
    """[n, 4] int64: image, top, left, symmetry of each index."""
    sizes = np.asarray(sizes, np.int64)

    @tf.function
    def all_of(indices):
        return tf.map_fn(
            lambda index: tf.stack(
                draw_sample(index, sizes, patch=patch, seed=seed, stream=stream)
            ),
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
def test_symmetry_equals_core(index):
    image = np.arange(5 * 5 * 3).reshape(5, 5, 3).astype(np.uint8)
    got = apply_symmetry(tf.constant(image), tf.constant(index, tf.int64)).numpy()
    np.testing.assert_array_equal(got, d4(image, index))
