"""`Run` and the finding of bundles: what is there, what is chosen, what is refused."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.core.files import hold, write_json_atomic
from pdm_tf.run import (
    DEGRADATION,
    Run,
    check_bundle_output,
    find_bundle,
    is_bundle,
    run_around,
    source_name,
)

STORED = Path(__file__).resolve().parents[1] / "data" / "stored" / "run"


@pytest.fixture
def run_dir(tmp_path):
    """A run whose `pdm` has no average."""
    for name in ("sr", "sr_ema", "pdm"):
        write_json_atomic(tmp_path / "run/bundles" / name / "bundle.json", {"is": name})
    (tmp_path / "run/bundles/half").mkdir()  # without an index
    write_json_atomic(tmp_path / "run/config.json", {"hr_dir": str(tmp_path), "lr": ""})
    return tmp_path / "run"


def test_a_run_of_an_earlier_version_is_read():
    run = Run(STORED)
    assert run.is_started and run.name == "run"
    assert run.settings["method"] == "pdm_sr" and run.environment["start_step"] == 0
    assert run.bundles == ("pdm", "pdm_ema", "sr", "sr_ema")
    assert run.checkpoint_steps == [2]
    assert [r["step"] for r in run.metrics] == [1, 2, 2, 2]
    assert run.index("sr_ema")["step"] == 2
    assert not run.report.exists()


def test_the_ending_of_a_run_is_its_last_record(tmp_path):
    """One that goes on after its end has none."""
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 2, "loss/x": 1}\n')
    assert Run(tmp_path).ending is None
    with open(path, "a") as file:
        file.write('{"step": 2, "finished": true, "perf/train_seconds": 3.5}\n')
    assert Run(tmp_path).ending["perf/train_seconds"] == 3.5
    with open(path, "a") as file:
        file.write('{"step": 4, "loss/x": 1}\n')
    assert Run(tmp_path).ending is None


def test_a_run_is_locked_while_somebody_trains_in_it(tmp_path):
    """Looking takes the lock from nobody."""
    run = Run(tmp_path)
    assert not run.is_locked
    with open(tmp_path / "lock", "a") as file:
        assert not run.is_locked
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert run.is_locked and run.is_locked
    assert not run.is_locked


def test_missing_values_are_empty(tmp_path):
    run = Run(tmp_path)
    assert not run.is_started
    assert run.settings == run.environment == {}
    assert run.metrics == run.checkpoint_steps == [] and run.bundles == ()
    assert run.find("sr") is None and run.ending is None


def test_averages_come_first_where_there_are_any(run_dir):
    run, bundles = Run(run_dir), run_dir / "bundles"
    assert run.find("sr") == bundles / "sr_ema"
    assert run.find("sr", "raw") == bundles / "sr"
    assert run.find("pdm") == bundles / "pdm"
    assert run.find("half") is None


def test_folders_of_settings_are_those_that_are_still_there(run_dir, tmp_path):
    run = Run(run_dir)
    assert run.folder("hr_dir") == str(tmp_path)
    assert run.folder("lr") == run.folder("unknown") == ""


def test_a_relative_folder_means_what_it_meant_at_the_start(tmp_path, monkeypatch):
    """From elsewhere by its whole path; moved along with the run, by its own."""
    (tmp_path / "start/photos").mkdir(parents=True)
    (tmp_path / "other/photos").mkdir(parents=True)
    whole = str(tmp_path / "start/photos")
    write_json_atomic(tmp_path / "run/config.json", {"hr_dir": "photos"})
    write_json_atomic(tmp_path / "run/env.json", {"folders": {"hr_dir": whole}})
    monkeypatch.chdir(tmp_path / "start")
    assert Run(tmp_path / "run").folder("hr_dir") == "photos"
    monkeypatch.chdir(tmp_path / "other")
    assert Run(tmp_path / "run").folder("hr_dir") == whole
    (tmp_path / "start/photos").rmdir()
    assert Run(tmp_path / "run").folder("hr_dir") == "photos"
    monkeypatch.chdir(tmp_path)
    assert Run(tmp_path / "run").folder("hr_dir") == ""


def test_find_takes_a_run_folder_or_the_bundle_itself(run_dir):
    bundles = run_dir / "bundles"
    assert find_bundle(run_dir) == bundles / "sr_ema"
    assert find_bundle(run_dir, weights="raw") == bundles / "sr"
    assert find_bundle(run_dir, "pdm", "raw") == bundles / "pdm"
    assert find_bundle(str(bundles / "sr")) == bundles / "sr"
    assert find_bundle(bundles / "pdm", "sr") == bundles / "pdm"


def test_find_says_what_it_looked_for_and_what_is_there(run_dir, tmp_path):
    with pytest.raises(UserError, match="hold bundles/pdm_ema/.*pdm, sr, sr_ema"):
        find_bundle(run_dir, "pdm", "ema")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="It has no bundles yet"):
        find_bundle(tmp_path / "empty")
    with pytest.raises(UserError, match="must exist. Received: .*nowhere"):
        find_bundle(tmp_path / "nowhere")


def test_a_bundle_knows_the_run_around_it(run_dir, tmp_path, monkeypatch):
    sr = run_dir / "bundles" / "sr"
    assert is_bundle(sr) and not is_bundle(run_dir)
    assert run_around(sr).root == run_dir
    monkeypatch.chdir(sr)
    assert run_around(".").root == run_dir
    assert source_name(Path(".")) == "run/sr"
    write_json_atomic(tmp_path / "alone" / "bundle.json", {})
    assert run_around(tmp_path / "alone") is None
    assert source_name(tmp_path / "alone") == "alone"
    (run_dir / "config.json").unlink()
    assert run_around(sr) is None


def test_a_bundle_is_written_only_where_nothing_else_is(run_dir, tmp_path):
    for place in (tmp_path / "new", run_dir / "bundles" / "half"):
        assert check_bundle_output(place, False) == place
    bundle = run_dir / "bundles" / "sr"
    with pytest.raises(UserError, match="holds a bundle. --overwrite replaces it"):
        check_bundle_output(bundle, False)
    assert check_bundle_output(bundle, True) == bundle
    with pytest.raises(UserError, match="holds other files"):
        check_bundle_output(run_dir, True)
    with pytest.raises(UserError, match="must be a folder. Received: the file"):
        check_bundle_output(run_dir / "config.json", True)


def test_what_a_killed_program_wrote_of_a_bundle_is_in_nobodys_way(tmp_path):
    killed = tmp_path / "killed"
    (killed / ".0123456789ab.keras.77.tmp").mkdir(parents=True)
    (killed / ".bundle.json.77.tmp").write_bytes(b"{")
    assert check_bundle_output(killed, False) == killed
    assert not any(killed.iterdir())
    (killed / "0123456789ab.keras").write_bytes(b"")
    held = hold(killed / ".bundle.json.78.tmp")  # somebody writes it just now
    assert check_bundle_output(killed, False) == killed
    os.close(held)
    assert len(list(killed.iterdir())) == 2
    (killed / "mine.keras").write_bytes(b"")
    with pytest.raises(UserError, match="holds other files"):
        check_bundle_output(killed, False)


def test_reading_a_run_loads_no_tensorflow():
    code = (
        "import sys; from pdm_tf.run import Run; Run('x').bundles; "
        "print([m for m in ('tensorflow', 'keras') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_learned_degradation_is_found_by_either_name(tmp_path):
    """Its own name first, and of that the averaged weights."""
    for name in ("pdm", "pdm_ema", "sr"):
        write_json_atomic(tmp_path / "old/bundles" / name / "bundle.json", {})
    for name in ("degradation", "pdm_ema"):
        write_json_atomic(tmp_path / "new/bundles" / name / "bundle.json", {})
    old, new = Run(tmp_path / "old"), Run(tmp_path / "new")
    assert old.find(DEGRADATION).name == old.bundle(DEGRADATION).name == "pdm_ema"
    assert old.bundle(DEGRADATION, "raw").name == "pdm"
    assert new.find(DEGRADATION).name == "degradation"
    assert new.find("pdm").name == "pdm_ema"
    with pytest.raises(UserError) as refused:
        Run(tmp_path / "none").bundle(DEGRADATION)
    wanted = "bundles/degradation_ema/bundle.json or bundles/pdm_ema/bundle.json"
    assert wanted in str(refused.value)
