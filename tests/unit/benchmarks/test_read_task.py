"""The read task's summary of its measurements, and its counts."""

import pytest

from pdm_tf.benchmarks.read_task import (
    ReadBenchmarkConfig,
    figures,
    forget,
    stored_files,
    table,
)
from pdm_tf.core.errors import UserError
from pdm_tf.data.shards import make_shards
from pdm_tf.data.sources import list_entries
from tests.unit.data.folders import fill

SECONDS = {
    "plain": [1.0, 2.0, 4.0],
    "ordered": [1.0, 1.0, 2.0],
    "scattered": [4.0, 4.0, 4.0],
    "decoded": [20.0, 10.0, 40.0],
}
AMOUNTS = {"plain": 220e6, **dict.fromkeys(("ordered", "scattered", "decoded"), 200e6)}


def test_rates_count_each_sides_own_bytes():
    result = figures(SECONDS, AMOUNTS)
    assert result["mb_per_second"]["plain"] == {
        "median": 110.0,
        "least": 55.0,
        "most": 220.0,
    }
    assert result["mb_per_second"]["scattered"]["median"] == 50.0
    ratios = result["ratio_to_plain"]
    assert set(ratios) == {"ordered", "scattered", "decoded"}
    assert ratios["ordered"]["median"] == pytest.approx(200 / 110)
    assert ratios["decoded"]["median"] == pytest.approx(10 / 110)


def test_table_names_the_sides():
    about = {"images": 9, "mb": 200.0, "files": 2, "cold": True}
    lines = table({**about, **figures(SECONDS, AMOUNTS)}).splitlines()
    assert lines[0].startswith("9 images, 200 MB in 2 files, from the disk;")
    assert [" ".join(line.split()) for line in lines[1:]] == [
        "front to back 110 (55 to 220)",
        "images in order 200 (100 to 200) 1.82 of plain",
        "images scattered 50 (50 to 50) 0.45 of plain",
        "scattered, decoded 10 (5 to 20) 0.09 of plain",
    ]


def test_each_file_is_counted_once(tmp_path):
    fill(tmp_path / "photos")
    make_shards(tmp_path / "photos", tmp_path / "shards", shard_mb=0.004)
    shards = sorted((tmp_path / "shards").glob("*.tfrecord"))
    assert 1 < len(shards) < 5  # several images in at least one of them
    assert stored_files(list_entries(tmp_path / "shards")) == shards
    photos = sorted((tmp_path / "photos").iterdir())
    assert stored_files(list_entries(tmp_path / "photos")) == photos
    before = [path.read_bytes() for path in shards]
    forget(shards)
    assert [path.read_bytes() for path in shards] == before


def test_refuses_tasks_it_cannot_measure():
    with pytest.raises(UserError, match="--input is required"):
        ReadBenchmarkConfig()
    with pytest.raises(UserError, match="--rounds must be 1 or more. Received: 0"):
        ReadBenchmarkConfig(input="a", rounds=0)
