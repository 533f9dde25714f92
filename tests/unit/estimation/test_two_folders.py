"""Folders that would make a run worthless are refused before it begins."""

import shutil

import numpy as np
import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import write_png
from pdm_tf.estimation.folder_check import check_folders
from pdm_tf.estimation.two_folders import all_grey, check_two_folders
from tests.unit.estimation.folders import blurred, sharp, write_folders


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("two")
    write_folders(root, sharp(5), [blurred(x, 2.0) for x in sharp(10)[5:]])
    return root


def _refused(hr, lr, match, **further):
    with pytest.raises(UserError, match=rf"{match}(?s:.)*--accept_folders goes on"):
        check_two_folders(str(hr), str(lr), 4, **further)
    (line,) = check_two_folders(str(hr), str(lr), 4, accept=True, **further)
    assert line.startswith("warning: ")


def test_sound_folders_pass_without_a_word(place):
    assert check_two_folders(str(place / "hr"), str(place / "lr"), 4) == []


def test_places(place, tmp_path):
    hr = place / "hr"
    (tmp_path / "link").symlink_to(hr)
    for same in (hr, f"{hr}/../hr/", tmp_path / "link"):
        _refused(hr, same, "two different places")
    _refused(place, place / "lr", "--lr_dir must lie outside --hr_dir")
    _refused(place / "hr", place, "--hr_dir must lie outside --lr_dir")
    shutil.copytree(place / "lr", tmp_path / "hr/val")
    shutil.copytree(hr, tmp_path / "hr", dirs_exist_ok=True)
    val = {"--val_hr_dir": "", "--val_lr_dir": str(tmp_path / "hr/val")}
    _refused(tmp_path / "hr", place / "lr", "--val_lr_dir must lie", within=val)
    found = check_folders(place, place / "lr", 4).errors
    assert "nested" in [one.code for one in found]


def test_swapped_and_equal_folders(place, tmp_path):
    _refused(place / "lr", place / "hr", "look swapped")
    shutil.copytree(place / "hr", tmp_path / "copy")
    _refused(place / "hr", tmp_path / "copy", "Received: 5 LR files, all of which")
    # One photograph of the LR folder alone makes the folder worth reading.
    shutil.copy(place / "lr/t00.png", tmp_path / "copy")
    assert check_two_folders(str(place / "hr"), str(tmp_path / "copy"), 4) == []


def test_larger_but_blurred_photographs_are_no_swap(place, tmp_path):
    """A camera's whole photographs, and a collection of small sharp ones."""
    whole = [np.tile(x, (3, 3, 1)) for x in sharp(8)[4:]]
    write_folders(tmp_path, sharp(4), [blurred(x, 2.0, 1) for x in whole])
    assert check_two_folders(str(tmp_path / "hr"), str(tmp_path / "lr"), 4) == []


def test_grey_against_colour_is_told_at_the_start(place, tmp_path):
    grey = [blurred(x, 2.0)[..., :1].repeat(3, -1) for x in sharp(4)]
    hr, lr = write_folders(tmp_path, sharp(4), grey)
    (line,) = check_two_folders(str(hr), str(lr), 4)
    assert "grey and the HR photographs are in colour" in line
    assert "--noise_arg=channels=1" in line
    write_png(lr / "t02.png", blurred(sharp(1)[0], 2.0))
    assert check_two_folders(str(hr), str(lr), 4) == []
    files = sorted(lr.iterdir())
    assert all_grey(files[:2]) and not all_grey(files)
