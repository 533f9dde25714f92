"""Files that are there in full or not at all."""

import errno
import json
import os

import pytest

from pdm_tf.core import files
from pdm_tf.core.errors import UserError


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "deep" / "a.json"
    files.write_json_atomic(path, {"ä": [1, 2.5, None]})
    files.write_json_atomic(path, {"ä": 2})
    assert files.read_json(path) == {"ä": 2}
    assert os.listdir(path.parent) == ["a.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    files.write_text_atomic(path, "old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_text_atomic(path, "new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


def test_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json_atomic(tmp_path / "a.json", {"loss": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_read_json_says_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match="no file"):
        files.read_json(tmp_path / "none.json")
    with pytest.raises(UserError, match="cannot be read"):
        files.read_json(tmp_path)
    (tmp_path / "cut.json").write_text(json.dumps({"a": 1})[:-1])
    with pytest.raises(UserError, match=r"cut\.json must be JSON"):
        files.read_json(tmp_path / "cut.json")


def test_a_full_disk_is_told_from_other_errors():
    full = (
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("state.data: No space left on device"),  # as TensorFlow says it
    )
    assert all(files.is_disk_full(error) for error in full)
    others = (OSError(errno.EIO, "Input/output error"), ValueError("No space"))
    assert not any(files.is_disk_full(error) for error in others)


def test_names_that_are_not_utf8_are_written_and_read_back(tmp_path):
    held = {"gr\udcfcn.png": ["stra\udcdfe", "grün"]}
    files.write_json_atomic(tmp_path / "a.json", held)
    assert files.read_json(tmp_path / "a.json") == held
    assert b"gr\\udcfcn.png" in (tmp_path / "a.json").read_bytes()
