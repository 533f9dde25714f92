"""`python -m pdm_tf.prepare`, from flags to files."""

import subprocess
import sys

import numpy as np
import pytest

from pdm_tf.cli import program
from pdm_tf.core.images import read_rgb_u8
from pdm_tf.data.sources import open_source
from pdm_tf.prepare import SPEC, main
from tests.unit.data.folders import SIZES, fill


@pytest.fixture
def folder(tmp_path):
    fill(tmp_path / "in")
    return tmp_path


def _call(folder, task, *flags):
    argv = [f"--task={task}", f"--input={folder / 'in'}"]
    return program.call(SPEC, main, [*argv, f"--output={folder / 'out'}", *flags])


def test_as_a_user_runs_it(folder, repository):
    """Shards in a process of its own: quiet, with a bar that shows the time left."""
    command = [
        *(sys.executable, "-m", "pdm_tf.prepare", "--task=tfrecord", "--progress=on"),
        *(f"--input={folder / 'in'}", f"--output={folder / 'out'}"),
    ]
    done = subprocess.run(
        command, cwd=repository, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == program.OK, done.stderr
    assert done.stdout == f"5 images made: {folder / 'out'}\n"
    assert "100%" in done.stderr and "5/5" in done.stderr
    assert "WARNING" not in done.stderr and "cuda" not in done.stderr.lower()
    source = open_source(folder / "out", patch=16, cache_mb=1)
    assert source.count == len(SIZES)


def test_bicubic_pairs_and_a_second_start(folder, capsys):
    assert _call(folder, "bicubic_lr", "--scale=2") == program.OK
    assert read_rgb_u8(folder / "out" / "lr" / "0000.png").shape == (10, 16, 3)
    assert read_rgb_u8(folder / "out" / "hr" / "0000.png").shape == (20, 32, 3)
    assert _call(folder, "bicubic_lr", "--scale=2") == program.OK
    assert "0 images made, 5 kept from before: " in capsys.readouterr().out


@pytest.mark.parametrize("task", ["tfrecord", "bicubic_lr"])
def test_bad_files_are_named_and_counted_in_the_exit_code(folder, capsys, task):
    (folder / "in" / "text.png").write_text("text")
    for _ in range(2):  # the second start tells it again
        assert _call(folder, task) == program.SOME_LEFT_OUT
        told = capsys.readouterr()
        assert "text.png: is not a PNG, JPEG, WebP, TIFF, BMP or GIF image" in told.err
        assert "1 files left out" in told.out


def test_grey_copies_and_a_second_start(folder, capsys):
    (folder / "in" / "text.png").write_text("text")
    for made in ("5 images made, 1 files", "0 images made, 5 kept from before"):
        assert _call(folder, "grey") == program.SOME_LEFT_OUT
        assert made in capsys.readouterr().out
    source = open_source(folder / "out", patch=1, cache_mb=1)
    assert source.count == len(SIZES)
    for index, name in enumerate(source.names):
        rgb_u8 = read_rgb_u8(folder / "in" / name)
        luma = rgb_u8 @ np.array([0.299, 0.587, 0.114])
        assert np.abs(source.image(index) - luma[..., None]).max() < 0.51


def test_tiles(folder):
    assert _call(folder, "tfrecord", "--tile=20", "--tile_step=10") == program.OK
    source = open_source(folder / "out", patch=1, cache_mb=1)
    assert source.sizes.max() == 20
    np.testing.assert_array_equal(
        source.image(source.names.index("0001.png@21,0")),
        read_rgb_u8(folder / "in" / "0001.png")[21:],
    )


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--task=tfrecords"], "Did you mean 'tfrecord'?"),
        (["--scale=0"], "--scale must be 1 or more"),
        (["--tile=10", "--tile_step=11"], "--tile_step must be 0 to --tile"),
        (["--input="], "--input is required"),
        (["--tiles=3"], "Did you mean --tile?"),
    ],
)
def test_wrong_flags(folder, capsys, flags, words):
    assert _call(folder, "tfrecord", *flags) == program.BAD_INPUT
    told = capsys.readouterr()
    assert told.err.startswith("error: ") and words in told.err
    assert not (folder / "out").exists()


def test_help_teaches(capsys):
    assert program.call(SPEC, main, ["--help"]) == program.OK
    text = " ".join(capsys.readouterr().out.split())  # lines break by the terminal
    for words in ("Exit code: 0", "1 when some were left out", "--tile_step=N", "480"):
        assert words in text
