"""Results that appear in full or not at all."""

import os
import subprocess
import sys

import pytest

from pdm_tf.core.errors import ImageError
from pdm_tf.inference.targets import TargetFile


def test_the_name_appears_at_commit_alone(tmp_path):
    path = tmp_path / "new" / "a.png"
    seen = []
    with TargetFile(path) as target:
        os.write(target.descriptor, b"content")
        assert not path.exists()
        target.commit(lambda facts: seen.append((facts.st_size, path.exists())))
    assert path.read_bytes() == b"content"
    assert seen == [(7, False)]
    assert os.listdir(path.parent) == ["a.png"]


def test_without_commit_nothing_remains_and_the_old_file_stays(tmp_path):
    (tmp_path / "a.png").write_bytes(b"old")
    with TargetFile(tmp_path / "a.png") as target:
        os.write(target.descriptor, b"new")
    assert (tmp_path / "a.png").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


def test_what_a_killed_program_left_is_overwritten(tmp_path):
    (tmp_path / ".a.png.part").write_bytes(b"half of a longer file")
    with TargetFile(tmp_path / "a.png") as target:
        os.write(target.descriptor, b"whole")
        target.commit()
    assert (tmp_path / "a.png").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["a.png"]


def test_two_programs_do_not_write_the_same_file(tmp_path):
    holder = (
        "import sys, pathlib; from pdm_tf.inference.targets import TargetFile\n"
        "target = TargetFile(pathlib.Path(sys.argv[1]))\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path / "a.png")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(ImageError, match="is being written by another program"):
        TargetFile(tmp_path / "a.png")
    process.kill()
    process.communicate()
    TargetFile(tmp_path / "a.png").discard()  # the killed one's is free
    assert os.listdir(tmp_path) == []


def test_a_result_renamed_meanwhile_is_not_touched(tmp_path, monkeypatch):
    """Opened as .part, renamed by its writer, then locked: it is a result now."""
    import fcntl

    path = tmp_path / "a.png"
    other = TargetFile(path)
    os.write(other.descriptor, b"other's result")
    calls = []

    def flock(descriptor, operation, real=fcntl.flock):
        calls.append(operation)
        if len(calls) == 1:
            other.commit()
        real(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", flock)
    target = TargetFile(path)
    assert path.read_bytes() == b"other's result"
    target.discard()
    assert path.read_bytes() == b"other's result" and len(calls) == 2


def test_what_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match="cannot be written"):
        TargetFile(tmp_path / "file" / "a.png")
    with pytest.raises(ImageError, match="cannot be written .*too long"):
        TargetFile(tmp_path / ("a" * 255 + ".png"))
