"""A process of its own: what it writes, how it ends, and what it may not take."""

import pytest

from pdm_tf.core.apart import run_apart
from pdm_tf.core.errors import UserError


def test_its_output_and_arguments(tmp_path):
    ended = run_apart("print(sys.argv[1:])", "a b", tmp_path)
    assert (ended.code, ended.words) == (0, "")
    assert ended.output.decode() == f"{['a b', str(tmp_path)]}\n"
    assert not ended.was_ended


@pytest.mark.parametrize(
    ("code", "was_ended", "why"),
    [
        ("import os; os.abort()", True, "ended by SIGABRT"),
        ("import os; os.kill(os.getpid(), 11)", True, "ended by SIGSEGV"),
        ("import time; time.sleep(99)", True, "does not come to an end in 2 s"),
        ("sys.exit('no such thing')", False, "ended with code 1. no such thing"),
        ("bytearray(1 << 40)", False, "ended with code 1. MemoryError"),
    ],
)
def test_how_it_ended(code, was_ended, why):
    # The first two end at once, and the third at no machine's pace.
    seconds = 2 if "sleep" in code else 60
    ended = run_apart(code, seconds=seconds, memory_bytes=1 << 32)
    assert (ended.was_ended, ended.why) == (was_ended, why)


def test_it_imports_what_this_process_would(tmp_path, monkeypatch):
    """Not what lies in the folder in which somebody happens to stand."""
    (tmp_path / "json.py").write_text("print('not this one')")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "only_here.py").write_text("print('found')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    assert run_apart("import json, only_here").output == b"found\n"


def test_a_process_that_cannot_start(monkeypatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(UserError, match=r"must be allowed to start.*/nowhere/python"):
        run_apart("")
