"""Streams: the right pixels, the same for any threads, start, workers and storage."""

import hashlib
import itertools
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.data.crops import draw_samples
from pdm_tf.data.pipeline import Batching, make_batches
from pdm_tf.data.shards import make_shards
from pdm_tf.data.sources import open_source
from tests.oracles.d4_oracle import d4
from tests.unit.data.folders import SIZES, fill

PATCH, BATCH = 16, 4


@pytest.fixture
def folder(tmp_path):
    fill(tmp_path / "hr")
    return tmp_path / "hr"


def _source(folder, cache_mb=64):
    return open_source(folder, patch=PATCH, cache_mb=cache_mb)


def _take(dataset, count):
    return [
        tf.nest.map_structure(lambda tensor: tensor.numpy(), batch)
        for batch in dataset.take(count)
    ]


def _stream(source, *, patch=PATCH, name="hr", **how):
    """Batches of one stream, for which `Batching` has other values in `how`."""
    how = {"batch_size": BATCH, "seed": 3, **how}
    return make_batches({name: source}, {name: patch}, Batching(**how))


def _batches(source, count=6, **changes):
    batches = _take(_stream(source, **changes), count)
    return np.stack([images for batch in batches for images in batch.values()])


@pytest.mark.parametrize("cache_mb", [64, 0], ids=["cached", "uncached"])
def test_patches_are_the_drawn_crops_of_the_photographs(tmp_path, folder, cache_mb):
    """Recomputed with NumPy from the pictures as they were before being written.

    Catches a wrong row length, swapped axes, BGR, a wrong turn, or a wrong scale.
    """
    pictures = fill(tmp_path / "again")
    source = _source(folder, cache_mb)
    batches = _batches(source)
    assert batches.shape == (6, BATCH, PATCH, PATCH, 3)
    assert batches.dtype == np.float32
    for index, patch in enumerate(batches.reshape(-1, PATCH, PATCH, 3)):
        draw = draw_samples(
            tf.constant([index], tf.int64),
            source.sizes,
            patch=PATCH,
            seed=3,
            stream="hr",
        )
        image, top, left, symmetry = (int(value[0]) for value in draw)
        crop = pictures[image][top : top + PATCH, left : left + PATCH]
        expected = d4(crop, symmetry).astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(patch, expected)


def test_an_epoch_shows_every_photograph_once(folder):
    """Seen in the pixels: each patch is found in one picture."""
    source = _source(folder)
    patches = _batches(source, count=5, batch_size=5)
    windows = [
        {
            d4(source.image(image)[y : y + PATCH, x : x + PATCH], symmetry).tobytes()
            for y in range(height - PATCH + 1)
            for x in range(width - PATCH + 1)
            for symmetry in range(8)
        }
        for image, (height, width) in enumerate(SIZES)
    ]
    for epoch in patches:
        owners = [
            [image for image, known in enumerate(windows) if patch.tobytes() in known]
            for patch in np.rint(epoch * 255).astype(np.uint8)
        ]
        assert sorted(owners) == [[0], [1], [2], [3], [4]]


def test_same_batches_for_any_number_of_threads(folder):
    source = _source(folder)
    one = _batches(source, count=30, threads=1)
    np.testing.assert_array_equal(one, _batches(source, count=30, threads=4))
    np.testing.assert_array_equal(one, _batches(source, count=30, threads=0))


def test_uncached_gives_the_same_batches(folder):
    np.testing.assert_array_equal(
        _batches(_source(folder)), _batches(_source(folder, cache_mb=0), threads=3)
    )


@pytest.mark.parametrize("cache_mb", [64, 0], ids=["cached", "uncached"])
def test_shards_give_the_same_batches(folder, tmp_path, cache_mb):
    make_shards(folder, tmp_path / "shards", shard_mb=0.004)
    assert len(list((tmp_path / "shards").glob("*.tfrecord"))) > 2
    np.testing.assert_array_equal(
        _batches(_source(folder)), _batches(_source(tmp_path / "shards", cache_mb))
    )


@pytest.mark.parametrize("step", [1, 7])
def test_starting_later_equals_skipping(folder, step):
    source = _source(folder)
    whole = _batches(source, count=step + 3)
    later = _batches(source, count=3, start_step=step)
    np.testing.assert_array_equal(later, whole[step:])


# Of the patches below, in 8 bits: whole numbers, so the same on every machine.
ORDER = "c4983d100c8f5606"


@pytest.mark.parametrize(("workers", "threads"), [(1, 1), (2, 8), (4, 0), (8, 3)])
def test_workers_together_draw_the_same_as_one_ever_did(folder, workers, threads):
    source = _source(folder)
    how = {"batch_size": 8, "threads": threads, "start_step": 2, "workers": workers}
    parts = [_batches(source, worker=worker, **how) for worker in range(workers)]
    drawn = np.rint(np.concatenate(parts, axis=1) * 255).astype(np.uint8)
    assert hashlib.sha256(drawn.tobytes()).hexdigest()[:16] == ORDER


def test_seeds_and_streams_differ(folder):
    source = _source(folder)
    one = _batches(source)
    for change in ({"seed": 4}, {"name": "real_lr"}):
        other = _batches(source, **change)
        same = np.all(one == other, axis=(2, 3, 4))
        assert same.mean() < 0.1


def test_make_batches_joins_the_streams(folder, tmp_path):
    fill(tmp_path / "lr", [(12, 13), (10, 20), (9, 9)])
    patches = {"hr": PATCH, "real_lr": 8}
    sources = {
        "hr": _source(folder),
        "real_lr": open_source(tmp_path / "lr", patch=8, cache_mb=64),
    }

    def take(count, **how):
        return _take(make_batches(sources, patches, Batching(BATCH, 3, **how)), count)

    whole = take(5, threads=2)
    assert whole[0]["hr"].shape == (BATCH, 16, 16, 3)
    assert whole[0]["real_lr"].shape == (BATCH, 8, 8, 3)
    np.testing.assert_array_equal(
        np.stack([batch["hr"] for batch in whole]), _batches(sources["hr"], count=5)
    )
    later = take(3, start_step=2)
    halves = [take(3, start_step=2, worker=k, workers=2) for k in (0, 1)]
    for step, name in itertools.product(range(3), patches):
        np.testing.assert_array_equal(later[step][name], whole[step + 2][name])
        joined = np.concatenate([half[step][name] for half in halves])
        np.testing.assert_array_equal(joined, whole[step + 2][name])


def test_pixels_are_not_copied(folder):
    """TensorFlow sees later changes of the NumPy buffer: it is the same memory."""
    source = _source(folder)
    dataset = _stream(source)
    source.pixels[:] = 51
    np.testing.assert_array_equal(_take(dataset, 1)[0]["hr"], np.float32(0.2))


@pytest.mark.parametrize(
    "changes",
    [
        {"worker": 2, "workers": 2},
        {"workers": 3},
        {"start_step": -1},
        {"patch": 18},
    ],
)
def test_refuses(folder, changes):
    with pytest.raises(ValueError, match="Received"):
        _batches(_source(folder), **changes)


def test_make_batches_refuses_other_names(folder):
    with pytest.raises(ValueError, match="same names"):
        make_batches({"hr": _source(folder)}, {"lr": 8}, Batching(BATCH, 0))


_LEFT_OPEN = """
import sys
from pdm_tf.data.pipeline import Batching, make_batches
from pdm_tf.data.sources import open_source

source = open_source(sys.argv[1], patch=16, cache_mb=0)
iterator = iter(make_batches({"hr": source}, {"hr": 16}, Batching(8, 0)))
next(iterator)
print("seen")
"""


def test_a_stream_left_open_does_not_hold_up_the_exit(tmp_path, repository):
    """Decoding on demand is Python in foreign threads, which deadlock at exit."""
    fill(tmp_path / "slow", [(700, 900)] * 2)  # still decoding when the end comes
    done = subprocess.run(
        [sys.executable, "-c", _LEFT_OPEN, str(tmp_path / "slow")],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and done.stdout == "seen\n", done.stderr


def test_batches_that_are_copied_ahead_to_a_device_are_the_same(folder, tmp_path):
    """With the CPU as that device; the copying itself needs a GPU to be seen."""
    source = _source(folder)
    ahead = list(itertools.islice(_stream(source, device="/CPU:0"), 6))
    assert ahead[0]["hr"].device.endswith("CPU:0")
    np.testing.assert_array_equal(
        np.stack([batch["hr"] for batch in ahead]), _batches(source)
    )
