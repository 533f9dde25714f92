"""TFRecord shards: lossless, readable by TensorFlow too, resumable, checked."""

import json

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.images import decode_rgb_u8
from pdm_tf.data.preparation import Outcome
from pdm_tf.data.shards import LEDGER_NAME, make_shards
from pdm_tf.data.sources import list_entries, open_source
from tests.unit.data.folders import add_bad_files, fill, noise


@pytest.fixture
def folders(tmp_path):
    return tmp_path / "in", tmp_path / "out"


def _made(folders, shard_mb=0.004, **arguments):
    return make_shards(*folders, shard_mb=shard_mb, **arguments)


def _shards(folder):
    return sorted(path.name for path in folder.glob("*.tfrecord"))


def test_images_come_back_as_they_were(folders):
    pictures = fill(folders[0])
    assert _made(folders) == Outcome(5, 0, ())
    entries = list_entries(folders[1])
    assert [entry.name for entry in entries] == [f"000{i}.png" for i in range(5)]
    for entry, picture in zip(entries, pictures, strict=True):
        assert entry.size() == picture.shape[:2] and entry.checked
        np.testing.assert_array_equal(entry.read(), picture)
    one = list_entries(folders[1] / _shards(folders[1])[0])
    assert 0 < len(one) < 5 and one == entries[: len(one)]


def test_tensorflow_can_read_them(folders):
    """The format is the standard one, with its checksums."""
    pictures = fill(folders[0])
    _made(folders)
    paths = [str(folders[1] / name) for name in _shards(folders[1])]
    examples = [
        tf.train.Example.FromString(record.numpy()).features.feature
        for record in tf.data.TFRecordDataset(paths)
    ]
    for index, example in enumerate(examples):
        data = example["image"].bytes_list.value[0]
        assert data == (folders[0] / f"000{index}.png").read_bytes()
        np.testing.assert_array_equal(decode_rgb_u8(data, "x"), pictures[index])
        assert example["name"].bytes_list.value[0].decode() == f"000{index}.png"
        assert example["height"].int64_list.value[0] == pictures[index].shape[0]
        assert example["width"].int64_list.value[0] == pictures[index].shape[1]
    assert len(examples) == 5


def test_bad_files_are_left_out_and_reported_again_next_time(folders):
    fill(folders[0])
    bad = add_bad_files(folders[0])
    bad.pop("bad-small.png")  # no patch size here
    first = _made(folders)
    assert first.written == 6 and len(first.problems) == len(bad)
    for path, reason in first.problems:
        assert bad[path.rpartition("/")[2]] in reason
    second = _made(folders)
    assert second == Outcome(0, 6, first.problems)


def test_a_restart_keeps_finished_work(folders):
    fill(folders[0])
    seen = []
    with pytest.raises(KeyboardInterrupt):
        make_shards(*folders, shard_mb=0.004, on_progress=_stop_after(3, seen))
    with pytest.raises(UserError, match="Run the same command again"):
        list_entries(folders[1])
    assert not list(folders[1].glob("*.tmp")) + list(folders[1].glob(".*.tmp"))
    outcome = _made(folders)
    assert outcome.kept >= 1 and outcome.written >= 1
    assert outcome.written + outcome.kept == 5
    whole = _contents(folders[1])
    fresh = folders[1].with_name("fresh")
    make_shards(folders[0], fresh, shard_mb=0.004)
    assert _contents(fresh) == whole
    # Made by a version before, which left no ledger: once more, and never too little.
    (folders[1] / LEDGER_NAME).unlink()
    assert _made(folders) == Outcome(5, 0, ())
    assert _contents(folders[1]) == whole


def _stop_after(count, seen):
    def on_progress(done, total):
        seen.append(done)
        if len(seen) > count:
            raise KeyboardInterrupt

    return on_progress


def _contents(folder):
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.name != LEDGER_NAME
    }


def test_changed_inputs_are_made_again(folders):
    fill(folders[0])
    _made(folders)
    before = _shards(folders[1])
    fill(folders[0], [(20, 33)])  # 0000.png anew: a new time
    outcome = _made(folders)
    assert 0 < outcome.written < 5 and outcome.written + outcome.kept == 5
    for path in list(folders[0].iterdir())[1:]:
        path.unlink()
    assert _made(folders).problems == ()
    assert len(_shards(folders[1])) == 1 < len(before)
    assert len(list_entries(folders[1])) == 1


def test_tiles_cover_everything(folders):
    fill(folders[0], [(50, 37), (20, 20), (16, 40)])
    _made(folders, tile=20, tile_step=15)
    picture = noise(50, 37, 0)
    seen = np.zeros(picture.shape[:2], int)
    entries = {entry.name: entry for entry in list_entries(folders[1])}
    for name, entry in entries.items():
        if name.startswith("0000.png"):
            top, left = (int(part) for part in name.partition("@")[2].split(","))
            expected = picture[top : top + 20, left : left + 20]
            assert expected.shape == (20, 20, 3)
            np.testing.assert_array_equal(entry.read(), expected)
            seen[top : top + 20, left : left + 20] += 1
    assert seen.min() >= 1
    assert "0001.png" in entries  # not larger than a tile: the file itself
    assert {"0002.png@0,0", "0002.png@0,15", "0002.png@0,20"} <= entries.keys()
    assert entries["0002.png@0,20"].size() == (16, 20)


def test_other_settings_need_another_folder(folders):
    fill(folders[0])
    _made(folders)
    with pytest.raises(UserError, match="was made with --task=tfrecord"):
        _made(folders, tile=16)


@pytest.mark.parametrize("place", ["in", "in/out"])
def test_output_among_the_inputs_is_refused(tmp_path, place):
    fill(tmp_path / "in")
    with pytest.raises(UserError, match="outside --input"):
        make_shards(tmp_path / "in", tmp_path / place)


def test_nothing_usable_is_an_error(folders):
    folders[0].mkdir()
    (folders[0] / "a.png").write_text("text")
    with pytest.raises(UserError, match="1 files, none usable"):
        _made(folders)


def test_damage_is_found(folders):
    fill(folders[0])
    _made(folders, shard_mb=1)
    shard = folders[1] / "images-00000.tfrecord"
    data = bytearray(shard.read_bytes())
    entry = list_entries(folders[1])[2]
    data[entry.offset + entry.length // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(ImageError, match=r"\[0002\.png\]: is damaged \(checksum\)"):
        entry.read()
    source = open_source(folders[1], patch=16, cache_mb=64)
    assert source.count == 4 and "0002.png" in source.skipped[0][0]
    shard.write_bytes(data[:-1])
    with pytest.raises(UserError, match="missing or cut"):
        list_entries(folders[1])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda shard: shard.update(file="../hr/0001.png"), "a file beside it"),
        (lambda shard: shard.update(file="/etc/passwd"), "a file beside it"),
        (lambda shard: shard.update(file=""), "a file beside it"),
        (lambda shard: shard["images"][0].update(length=10**18), "must lie within"),
        (lambda shard: shard["images"][0].update(offset=-1), "must lie within"),
    ],
)
def test_an_index_leads_nowhere_else(folders, change, says):
    fill(folders[0])
    _made(folders)
    path = folders[1] / "index.json"
    index = json.loads(path.read_text())
    change(index["shards"][0])
    path.write_text(json.dumps(index))
    with pytest.raises(UserError, match=says):
        list_entries(folders[1])


def test_shards_without_their_index_are_refused(folders):
    fill(folders[0])
    _made(folders)
    index = folders[1] / "index.json"
    index.write_text(json.dumps({"images": []}))
    with pytest.raises(UserError, match="another file"):
        list_entries(folders[1])
    index.unlink()
    with pytest.raises(UserError, match=r"need the index\.json"):
        list_entries(folders[1])
    with pytest.raises(UserError, match="no file"):
        list_entries(folders[1] / "none.tfrecord")
