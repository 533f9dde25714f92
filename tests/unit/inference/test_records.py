"""What counts as finished."""

import os

import pytest

from pdm_tf.inference.records import RECORD_NAME, Record

SETTINGS = {"model": "abc", "outscale": 0.0}


@pytest.fixture
def made(tmp_path):
    """A source, its result, and the record that tells of it."""
    source, target = tmp_path / "a.png", tmp_path / "out" / "x" / "a.png"
    source.write_bytes(b"source")
    target.parent.mkdir(parents=True)
    target.write_bytes(b"result")
    Record(tmp_path / "out", SETTINGS).add(source, target, 6)
    return source, target


def _state(made, settings=SETTINGS):
    source, target = made
    return Record(target.parents[1], settings).state(source, target)


def test_finished_is_told_after_a_restart(made):
    assert _state(made) == "finished"


def test_the_folder_may_be_moved(made, tmp_path):
    source, target = made
    os.rename(tmp_path / "out", tmp_path / "there")
    assert _state((source, tmp_path / "there" / "x" / "a.png")) == "finished"


def test_other_settings_or_another_source_make_it_old(made):
    source, _ = made
    assert _state(made, {**SETTINGS, "outscale": 2.0}) == "old"
    times = source.stat()
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    assert _state(made) == "old"


def test_a_changed_or_unknown_file_is_foreign(made, tmp_path):
    source, target = made
    target.write_bytes(b"edited by a person")
    assert _state(made) == "foreign"
    other = target.with_name("b.png")
    other.write_bytes(b"result")
    assert _state((source, other)) == "foreign"
    record = Record(tmp_path / "nothing yet", SETTINGS)
    (tmp_path / "nothing yet").mkdir()
    (tmp_path / "nothing yet" / "a.png").write_bytes(b"")
    assert record.state(source, tmp_path / "nothing yet" / "a.png") == "foreign"


def test_a_line_cut_off_by_a_crash_harms_no_other(made):
    source, target = made
    path = target.parents[1] / RECORD_NAME
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        cut = _state(made)
        assert cut == ("finished" if size >= len(whole) - 1 else "foreign")
        Record(target.parents[1], SETTINGS).add(source, target, 6)
        assert _state(made) == "finished"


def test_the_last_line_counts(made):
    source, target = made
    Record(target.parents[1], {**SETTINGS, "outscale": 3.0}).add(source, target, 6)
    assert _state(made) == "old"
    assert _state(made, {**SETTINGS, "outscale": 3.0}) == "finished"


def test_names_that_are_no_text(made):
    source, target = made
    odd = target.with_name(os.fsdecode(b"latin-\xe9.png"))
    odd.write_bytes(b"result")
    Record(target.parents[1], SETTINGS).add(source, odd, 6)
    assert _state((source, odd)) == "finished"
