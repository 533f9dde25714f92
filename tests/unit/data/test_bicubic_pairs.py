"""HR to bicubic pairs: the right pixels, whole files, only what is missing."""

import os

import numpy as np
import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import read_rgb_u8, write_png
from pdm_tf.data import bicubic_pairs
from pdm_tf.data.bicubic_pairs import make_bicubic_pairs
from pdm_tf.data.pairs import load_pairs
from pdm_tf.data.preparation import Outcome
from tests.oracles import imresize_oracle
from tests.unit.data.folders import fill, noise


def test_pairs_are_matlabs_bicubic_of_the_cropped_photograph(tmp_path):
    write_png(tmp_path / "in" / "sub" / "a.png", noise(23, 18, 0))
    outcome = make_bicubic_pairs(tmp_path / "in", tmp_path / "out", scale=4)
    assert outcome == Outcome(1, 0, ())
    hr_u8 = read_rgb_u8(tmp_path / "out" / "hr" / "sub" / "a.png")
    lr_u8 = read_rgb_u8(tmp_path / "out" / "lr" / "sub" / "a.png")
    np.testing.assert_array_equal(hr_u8, noise(23, 18, 0)[:20, :16])
    exact = 255 * imresize_oracle.imresize(hr_u8 / 255.0, 0.25)
    expected = np.floor(np.clip(exact, 0, 255) + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(lr_u8, expected)
    assert len(load_pairs(tmp_path / "out/hr", tmp_path / "out/lr", 4).pairs) == 1


def test_bad_files_are_left_out(tmp_path):
    fill(tmp_path / "in")
    (tmp_path / "in" / "text.png").write_text("text")
    write_png(tmp_path / "in" / "thin.png", noise(3, 40, 0))
    outcome = make_bicubic_pairs(tmp_path / "in", tmp_path / "out", scale=4)
    reasons = {path.rpartition("/")[2]: why for path, why in outcome.problems}
    assert outcome.written == 5 and reasons.keys() == {"text.png", "thin.png"}
    assert "40x3 px, x4" in reasons["thin.png"]
    assert len(list((tmp_path / "out" / "hr").iterdir())) == 5


def test_finished_pairs_are_kept(tmp_path, monkeypatch):
    fill(tmp_path / "in")
    folders = tmp_path / "in", tmp_path / "out"
    make_bicubic_pairs(*folders, scale=2)
    (tmp_path / "out" / "hr" / "0001.png").unlink()
    (tmp_path / "out" / "lr" / "0002.png").unlink()
    later = (tmp_path / "out" / "lr" / "0003.png").stat().st_mtime + 10
    os.utime(tmp_path / "in" / "0003.png", (later, later))
    made = []
    write = bicubic_pairs.write_png
    monkeypatch.setattr(
        bicubic_pairs, "write_png", lambda *args: (made.append(args[0]), write(*args))
    )
    assert make_bicubic_pairs(*folders, scale=2) == Outcome(3, 2, ())
    assert {path.name for path in made} == {"0001.png", "0002.png", "0003.png"}


def test_one_name_for_two_is_refused(tmp_path):
    write_png(tmp_path / "in" / "a.png", noise(8, 8, 0))
    write_png(tmp_path / "in" / "a.bmp", noise(8, 8, 1))
    with pytest.raises(UserError, match=r"a\.bmp and .*a\.png, both to become"):
        make_bicubic_pairs(tmp_path / "in", tmp_path / "out", scale=2)


def test_a_full_disk_is_the_users(tmp_path, monkeypatch):
    fill(tmp_path / "in")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bicubic_pairs, "write_png", full)
    with pytest.raises(UserError, match="cannot be written: No space left"):
        make_bicubic_pairs(tmp_path / "in", tmp_path / "out", scale=2)
