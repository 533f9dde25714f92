"""Files that are there in full or not at all."""

import os
import subprocess
import sys

import pytest

from pdm_tf.core import files, stored


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "deep" / "a.json"
    files.write_json_atomic(path, {"ä": [1, 2.5, None]})
    files.write_json_atomic(path, {"ä": 2})
    assert stored.read_json(path) == {"ä": 2}
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


# What a killed program leaves: the process is gone, and with it its lock.
_KILLED = """
import os, signal, sys
from pdm_tf.core import files
with files.unfinished_file(sys.argv[1] + "/a.json"):
    with files.working_folder(sys.argv[1] + "/b") as folder:
        (folder / "half").write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_leftovers_go_and_what_is_held_or_not_ours_stays(tmp_path, monkeypatch):
    subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)
    left = sorted(os.listdir(tmp_path))
    assert len(left) == 2 and all(name.endswith(".tmp") for name in left)
    kept = (".notes.tmp", "a.1.tmp", ".a.1.tmp2")
    for name in kept:
        (tmp_path / name).write_text("somebody's")
    monkeypatch.setattr(files, "_swept", set())  # as in a new process
    with files.unfinished_file(tmp_path / "held") as held:
        assert sorted(os.listdir(tmp_path)) == sorted([*kept, held.name])
        monkeypatch.setattr(files, "_swept", set())
        files.remove_leftovers(tmp_path)
        assert held.exists()
    assert sorted(os.listdir(tmp_path)) == sorted(kept)


def test_a_long_name_is_made_under_a_short_one(tmp_path):
    path = tmp_path / ("ä" * 125 + ".json")
    files.write_json_atomic(path, 1)
    assert stored.read_json(path, int) == 1


def test_one_writer_at_a_time_where_that_is_meant(tmp_path):
    name = files.hidden_name(tmp_path / "a.png", 0)
    first = files.hold(name, wait=False)
    with pytest.raises(BlockingIOError):
        files.hold(name, wait=False)
    os.close(first)


def test_a_link_is_atomic_and_leaves_nothing(tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("old")
    for _ in range(2):
        assert files.link_atomic(tmp_path / "a", tmp_path / "b")
    assert os.path.samefile(tmp_path / "a", tmp_path / "b")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_names_that_are_not_utf8_are_written_and_read_back(tmp_path):
    held = {"gr\udcfcn.png": ["stra\udcdfe", "grün"]}
    files.write_json_atomic(tmp_path / "a.json", held)
    assert stored.read_json(tmp_path / "a.json") == held
    assert b"gr\\udcfcn.png" in (tmp_path / "a.json").read_bytes()


@pytest.mark.parametrize("name", ["n" * 300 + ".jpeg", "ä" * 200 + ".png", "a" * 255])
def test_names_fit_and_never_meet(tmp_path, name):
    other = name[:-6] + "#" + name[-5:]
    for more in ("", ".sr.png"):
        made = {files.fitting_name(one, more) for one in (name, other)}
        assert len(made) == 2
        for one in made:
            (tmp_path / one).touch()
            assert one.endswith(more or os.path.splitext(name)[1])
    assert files.fitting_name("short.png") == "short.png"
