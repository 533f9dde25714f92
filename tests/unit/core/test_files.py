"""Files that are there in full or not at all."""

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
