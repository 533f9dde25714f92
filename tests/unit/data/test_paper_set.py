"""The paper's datasets are made of archives with the published names and counts."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from pdm_tf import datasets
from pdm_tf.cli import program
from pdm_tf.core.images import encode_png, list_images, read_rgb_u8
from pdm_tf.data import paper_set
from pdm_tf.data.pairs import load_pairs
from pdm_tf.data.paper_sets import PAPER_SETS
from pdm_tf.data.sources import list_entries
from tests.conftest import REPOSITORY
from tests.unit.data.published import (
    HR,
    WRITERS,
    members,
    numbered,
    png,
    write_2017,
    write_zip,
)


def call(name, archives, output, *more):
    """The program in this process."""
    flags = [f"--dataset={name}", f"--archives_dir={archives}"]
    flags += [f"--output={output}", "--progress=off", *more]
    return program.call(datasets.SPEC, datasets.main, flags)


def names(folder):
    return [path.name for path in list_images(folder)]


@pytest.fixture(scope="module")
def archives_2017(tmp_path_factory):
    """Nobody changes it."""
    folder = tmp_path_factory.mktemp("archives")
    write_2017(folder)
    return folder


@pytest.fixture
def no_flush(monkeypatch):
    """The disk need not be waited for thousands of times."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.parametrize("name", WRITERS)
def test_halves_and_pairs_of_every_dataset(name, tmp_path, no_flush, capsys):
    WRITERS[name](tmp_path / "archives")
    output = tmp_path / "set"
    assert call(name, tmp_path / "archives", output) == program.OK
    counts = {part.place: part.count for part in PAPER_SETS[name].parts}
    made = {place: names(output / place) for place in counts}
    assert {place: len(found) for place, found in made.items()} == counts
    assert f"{sum(counts.values())} images made" in capsys.readouterr().out
    scenes = {side: {n[:4] for n in made[f"train/{side}"]} for side in ("hr", "lr")}
    if name.startswith(("ntire2017", "ntire2018")):
        assert scenes["hr"] == {f"{n:04d}" for n in range(1, 401)}
        assert scenes["lr"] == {f"{n:04d}" for n in range(401, 801)}
    if name == "ntire2018_track4":
        assert made["train/lr"][:2] == ["0401x4w1.png", "0401x4w2.png"]
    if "val/hr" in counts:
        pairs = load_pairs(output / "val/hr", output / "val/lr", 4)
        assert len(pairs.pairs) == 100 and not pairs.problems
    assert not [path for path in output.rglob(".*")]


def test_missing_archives_are_all_named_with_their_page(tmp_path, capsys):
    write_2017(tmp_path / "archives")
    (tmp_path / "archives/DIV2K_train_HR.zip").unlink()
    (tmp_path / "archives/DIV2K_valid_LR_unknown_X4.zip").unlink()
    code = call("ntire2017_track2", tmp_path / "archives", tmp_path / "set")
    told = capsys.readouterr().err
    assert code == program.BAD_INPUT
    assert "DIV2K_train_HR.zip: 800 HR photographs" in told
    assert "DIV2K_valid_LR_unknown_X4.zip: 100 LR photographs for validation" in told
    assert "DIV2K_valid_HR.zip" not in told
    assert "https://data.vision.ee.ethz.ch/cvl/DIV2K/" in told
    assert not (tmp_path / "set").exists()


def test_other_names_of_an_archive_are_printed(tmp_path, capsys):
    (tmp_path / "archives").mkdir()
    call("ntire2020_track1", tmp_path / "archives", tmp_path / "set")
    told = capsys.readouterr().err
    assert "track1-train-source.zip: 2650 LR" in told
    assert "(also taken: Corrupted-tr-x.zip)" in told
    assert "competitions.codalab.org/competitions/22220" in told


def test_one_image_too_few_is_refused_before_anything_is_written(
    archives_2017, tmp_path, capsys
):
    folder = tmp_path / "archives"
    shutil.copytree(archives_2017, folder)
    content = members("DIV2K_train_HR/", numbered(2, 800), HR)
    write_zip(folder / "DIV2K_train_HR.zip", content)
    assert call("ntire2017_track2", folder, tmp_path / "set") == program.BAD_INPUT
    told = capsys.readouterr().err
    assert "Received: 799 images" in told and "missing: 0001" in told
    assert not (tmp_path / "set").exists()


def test_too_little_space_is_noticed_before_anything_is_written(
    archives_2017, tmp_path, monkeypatch, capsys
):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=50_000))
    code = call("ntire2017_track2", archives_2017, tmp_path / "set")
    assert code == program.BAD_INPUT
    size = (500 * len(png(8)) + 500 * len(png(2))) * 1.05
    told = capsys.readouterr().err
    assert f"must have {size / 1e9:.2f} GB free. Received: 0.00 GB" in told
    assert not list(tmp_path.rglob("*.png"))
    # What is there is not asked for twice, what shards will take is.
    monkeypatch.undo()
    assert call("ntire2017_track2", archives_2017, tmp_path / "set") == program.OK
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=50_000))
    assert call("ntire2017_track2", archives_2017, tmp_path / "set") == program.OK
    code = call("ntire2017_track2", archives_2017, tmp_path / "set", "--shards")
    assert code == program.BAD_INPUT


def test_goes_on_after_being_killed(archives_2017, tmp_path, capsys):
    """SIGKILL in the middle of a part: no folder that looks finished, then all."""
    output = tmp_path / "set"
    command = [sys.executable, "-m", "pdm_tf.datasets", "--dataset=ntire2017_track2"]
    command += [f"--archives_dir={archives_2017}", f"--output={output}"]
    process = subprocess.Popen([*command, "--threads=1"], cwd=REPOSITORY)
    making = output / "train/.hr.making"
    deadline = time.monotonic() + 60
    while len(list(making.glob("*.png"))) < 20 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path.name for path in making.glob("0*.png")}
    assert 20 <= len(before) < 400 and not (output / "train/hr").exists()
    (making / ".0399.png.77.tmp").write_bytes(b"half")
    assert call("ntire2017_track2", archives_2017, output) == program.OK
    kept = len(before)
    assert f"{1000 - kept} images made, {kept} kept" in capsys.readouterr().out
    assert names(output / "train/hr") == numbered(1, 400)
    assert not list(output.rglob(".*"))


def test_a_second_start_writes_nothing_and_strangers_are_noticed(
    archives_2017, tmp_path, no_flush, capsys
):
    output = tmp_path / "set"
    assert call("ntire2017_track2", archives_2017, output) == program.OK
    (tmp_path / "mild").mkdir()
    code = call("ntire2018_track2", tmp_path / "mild", output)
    assert code == program.BAD_INPUT
    capsys.readouterr()
    assert call("ntire2017_track2", archives_2017, output) == program.OK
    assert "0 images made, 1000 kept" in capsys.readouterr().out
    (output / "train/lr/holiday.png").write_bytes(png(2))
    code = call("ntire2017_track2", archives_2017, output)
    assert code == program.BAD_INPUT
    told = capsys.readouterr().err
    assert "401 files; the first that differs is holiday.png" in told
    WRITERS["ntire2018_track2"](tmp_path / "mild")
    code = call("ntire2018_track2", tmp_path / "mild", output)
    assert code == program.BAD_INPUT
    assert "was made with --dataset=ntire2017_track2" in capsys.readouterr().err


def test_extracted_folders_do_as_well(archives_2017, tmp_path, no_flush):
    """With the archive's own folders: DIV2K_train_LR_unknown/X4 for ..._X4.zip."""
    folder = tmp_path / "archives"
    for path in archives_2017.glob("*.zip"):
        shutil.unpack_archive(path, folder)
    (folder / "DIV2K_train_LR_unknown/X2").mkdir()
    (folder / "DIV2K_train_LR_unknown/X2/0001x2.png").write_bytes(png(4))
    assert call("ntire2017_track2", folder, tmp_path / "set") == program.OK
    assert names(tmp_path / "set/train/lr") == numbered(401, 800, "x4")


def test_pairs_of_the_wrong_size_are_refused(archives_2017, tmp_path, no_flush, capsys):
    folder = tmp_path / "archives"
    shutil.copytree(archives_2017, folder)
    content = members("DIV2K_valid_HR/", numbered(801, 900), HR)
    content["DIV2K_valid_HR/0801.png"] = png(12)
    write_zip(folder / "DIV2K_valid_HR.zip", content)
    assert call("ntire2017_track2", folder, tmp_path / "set") == program.BAD_INPUT
    assert "0801.png, which is not 4 times the size" in capsys.readouterr().err


def test_shards_of_overlapping_tiles(archives_2017, tmp_path, no_flush):
    """One HR photograph is larger than a tile: 3 x 2 tiles that overlap by half."""
    folder = tmp_path / "archives"
    shutil.copytree(archives_2017, folder)
    draw = np.random.default_rng(3)
    large = draw.integers(0, 256, (32, 24, 3)).astype(np.uint8)
    content = members("DIV2K_train_HR/", numbered(1, 800), HR)
    content["DIV2K_train_HR/0002.png"] = encode_png(large)
    write_zip(folder / "DIV2K_train_HR.zip", content)
    output = tmp_path / "set"
    more = ("--shards", "--tile=16", "--tile_step=8")
    assert call("ntire2017_track2", folder, output, *more) == program.OK
    entries = {entry.name: entry for entry in list_entries(output / "shards/hr")}
    assert len(entries) == 399 + 6
    found = entries["0002.png@16,8"].read()
    np.testing.assert_array_equal(found, large[16:32, 8:24])
    assert len(list_entries(output / "shards/lr")) == 400
    whole = read_rgb_u8(output / "train/hr/0002.png")
    np.testing.assert_array_equal(whole, large)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tile=480"], "needs --shards"),
        (["--shards", "--tile=482"], "multiples of 4"),
        (["--shards", "--tile=480", "--tile_step=960"], "0 to --tile"),
    ],
)
def test_flags_that_cannot_work(flags, message, tmp_path, capsys):
    assert call("ntire2017_track2", tmp_path, tmp_path / "x", *flags) == 2
    assert message in capsys.readouterr().err


def test_a_misspelt_dataset_is_named(tmp_path, capsys):
    assert call("ntire2017track2", tmp_path, tmp_path / "x") == program.BAD_INPUT
    assert "Did you mean 'ntire2017_track2'?" in capsys.readouterr().err


def test_nothing_is_made_inside_the_archives(archives_2017, capsys):
    code = call("ntire2017_track2", archives_2017, archives_2017 / "set")
    assert code == program.BAD_INPUT
    assert "must lie outside --archives_dir" in capsys.readouterr().err


def test_a_wrong_row_of_the_table_is_a_defect(tmp_path, archives_2017):
    """Counts of a row are checked against its numbers: a slip is ours, with a trace."""
    row = PAPER_SETS["ntire2017_track2"]
    first = dataclasses.replace(row.parts[0], numbers=(1, 399))
    wrong = dataclasses.replace(row, parts=(first, *row.parts[1:]))
    with pytest.raises(ValueError, match="must have 400 images. Received: 399"):
        paper_set.plan_parts(wrong, archives_2017, tmp_path)
