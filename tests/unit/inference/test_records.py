"""Finished results in a folder are known, and nothing else."""

import json
import os

import pytest

from pdm_tf.core.ledger import digest
from pdm_tf.inference.files import RECORD_NAME, FileTask, Record

SETTINGS = {"model": "abc", "outscale": 0.0}


def make(folder, task, settings=SETTINGS):
    record = Record(folder, settings)
    record.begin(task, 6)
    task.target.parent.mkdir(parents=True, exist_ok=True)
    task.target.write_bytes(b"result")
    record.add(task)


@pytest.fixture
def made(tmp_path):
    """A source and its recorded result."""
    task = FileTask(tmp_path / "a.png", tmp_path / "out" / "x" / "a.png")
    task.source.write_bytes(b"source")
    make(tmp_path / "out", task)
    return task


def state(task, settings=SETTINGS):
    return Record(task.target.parents[1], settings).state(task)


def test_finished_files_are_known_after_a_restart_and_a_move(made, tmp_path):
    assert state(made) == "finished"
    os.rename(tmp_path / "out", tmp_path / "there")
    assert state(FileTask(made.source, tmp_path / "there/x/a.png")) == "finished"


def test_other_settings_or_another_source_make_it_old(made):
    assert state(made, {**SETTINGS, "outscale": 2.0}) == "old"
    times = made.source.stat()
    os.utime(made.source, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert state(made) == "old"


def test_a_changed_or_unknown_file_is_foreign(made):
    made.target.write_bytes(b"edited by a person")
    assert state(made) == "foreign"
    other = made.target.with_name("b.png")
    other.write_bytes(b"result")
    assert state(FileTask(made.source, other)) == "foreign"


def test_the_last_settings_count(made):
    make(made.target.parents[1], made, {**SETTINGS, "outscale": 3.0})
    assert state(made) == "old"
    assert state(made, {**SETTINGS, "outscale": 3.0}) == "finished"


def test_names_that_are_no_text(made):
    odd = FileTask(made.source, made.target.with_name(os.fsdecode(b"latin-\xe9.png")))
    make(made.target.parents[1], odd)
    assert state(odd) == "finished"


def test_a_record_of_the_version_before_is_understood(made):
    """Its line, as that version wrote it: the work is not done again."""
    facts = made.source.stat()
    line = {
        "target": "x/a.png",
        "bytes": 6,
        "source_bytes": facts.st_size,
        "source_time_ns": facts.st_mtime_ns,
        "settings": digest(SETTINGS),
    }
    (made.target.parents[1] / RECORD_NAME).write_text(f"\n{json.dumps(line)}\n")
    assert state(made) == "finished"
    assert state(made, {**SETTINGS, "outscale": 2.0}) == "old"
    made.target.write_bytes(b"edited by a person")
    assert state(made) == "foreign"
