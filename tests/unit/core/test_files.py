"""Files that are there in full or not at all."""

import errno
import json
import os
import subprocess
import sys

import numpy as np
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


def test_what_the_disk_refuses_is_told_from_defects(tmp_path):
    refused = (
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        OSError(errno.EROFS, "Read-only file system"),
        RuntimeError("state.data: No space left on device"),  # as TensorFlow says it
    )
    assert all(files.refusal(error) for error in refused)
    others = (OSError(errno.EBADF, "Bad descriptor"), ValueError("No space"))
    assert not any(files.refusal(error) for error in others)
    with pytest.raises(OSError) as caught, files.atomic_file(tmp_path / "a.json"):
        raise OSError(errno.ENOSPC, "No space left on device")
    line = f"the disk is full: {tmp_path}/a.json: No space left on device"
    assert files.refused(caught.value) == line
    native = "{{function_node __wrapped__SaveV2}} a/.data; No space left on device"
    said = files.refused(RuntimeError(f"{native} [Op:SaveV2]\nat 0x12"))
    assert said == "the disk is full: a/.data; No space left on device"


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
    assert files.read_json(path, int) == 1


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
    assert files.read_json(tmp_path / "a.json") == held
    assert b"gr\\udcfcn.png" in (tmp_path / "a.json").read_bytes()


FORM = {
    "step": int,
    "rate?": (float, None),
    "files": [{"name": str}],
    "seen": {str: bool},
}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "it must be an object"),
        ('{"step": 1}', "it lacks files, seen"),
        ('{"step": true, "files": [], "seen": {}}', "it.step must be a whole number"),
        ('{"step": 1, "files": [{}], "seen": {}}', r"it.files\[0\] lacks name"),
        ('{"step": 1, "files": [], "seen": {"a": 1}}', "it.seen.a must be true or"),
        ('{"step": 1, "files": [], "seen": {}, "rate": "x"}', "it.rate must be a num"),
        ("[" * 100_000, "must be JSON. Received: it is nested too deeply"),
        ("1" * 5000, "must be JSON"),
        (b"\xff\xfe{}", "must be JSON"),
    ],
)
def test_what_is_damaged_in_a_file_is_named_with_what_to_do(tmp_path, content, words):
    path = tmp_path / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=rf"a\.json .*{words}.* Remove it\."):
        files.read_json(path, FORM, remedy="Remove it.")


def test_a_file_of_the_right_form_is_read_and_made(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"step": 1, "files": [{"name": "b"}], "seen": {}, "rate": 2}')
    assert files.read_json(path, FORM, make=lambda x: x["files"][0]["name"]) == "b"
    with pytest.raises(UserError, match=r"KeyError \('other'\)"):
        files.read_json(path, make=lambda x: x["other"])


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\3\4 no zip", b"text"])
def test_damaged_arrays_are_named(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"Arrays of numbers.*a\.npz"):
        files.read_arrays(tmp_path / "a.npz")


def test_arrays_that_hold_objects_are_not_opened(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(UserError, match="holds objects"):
        files.read_arrays(tmp_path / "a.npy")


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
