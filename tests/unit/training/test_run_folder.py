"""The run folder records what was run, and lets one process in at a time."""

import dataclasses
import io
import json
import math
import os
import platform
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import pdm_tf
from pdm_tf.cli.component import from_json_dict
from pdm_tf.cli.flag_set import parse
from pdm_tf.core.errors import UserError
from pdm_tf.run import read_metrics
from pdm_tf.train import SPEC, open_run_folder
from pdm_tf.train_config import TrainConfig
from pdm_tf.training.checkpoint import CheckpointStore
from pdm_tf.training.run_folder import EventWriter, MetricsFile
from tests.unit.training.toy import toy_config


def fake_checkpoint(run, step):
    state = {"a": [tf.Variable(np.float32(step))]}
    CheckpointStore(run.checkpoints, state, keep=3).save(step)


def test_config_and_flags_describe_the_run(tmp_path):
    config = toy_config(tmp_path / "run", sr_arg=("num_blocks=2",), noise=False)
    with open_run_folder(config) as run:
        stored = json.loads((run.root / "config.json").read_text())
        assert from_json_dict(TrainConfig, stored) == config
        assert parse(SPEC, [f"--flagfile={run.root / 'flags.txt'}"]) == config


def test_environment_of_every_start_is_kept(tmp_path):
    config = toy_config(tmp_path / "run")
    with open_run_folder(config) as run:
        fake_checkpoint(run, 4)
    with open_run_folder(config) as run:
        assert run.start_step == 4
    env = json.loads((tmp_path / "run/env.json").read_text())
    assert env["versions"]["tensorflow"] == tf.__version__
    assert env["versions"]["pdm_tf"] == pdm_tf.__version__
    assert env["versions"]["python"] == platform.python_version()
    assert env["start_step"] == 4
    assert [start["start_step"] for start in env["earlier"]] == [0]
    assert "earlier" not in env["earlier"][0]
    assert env["folders"]["run_dir"] == str(tmp_path / "run")
    assert {"commit", "command", "started", "device"} <= env.keys()


TAKES_THE_LOCK = """
import fcntl, sys
with open(sys.argv[1], "a+") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
"""


def another_process_may_take_the_lock(run_dir):
    command = [sys.executable, "-c", TAKES_THE_LOCK, str(run_dir / "lock")]
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


def test_a_second_opening_is_refused_and_names_the_first_process(tmp_path):
    config = toy_config(tmp_path / "run")
    with open_run_folder(config):
        # A lock belongs to the opened file, so this process is refused like another.
        with pytest.raises(UserError, match="another process") as refused:
            open_run_folder(config)
        assert f"process {os.getpid()} on " in str(refused.value)
        assert not another_process_may_take_the_lock(tmp_path / "run")
    assert another_process_may_take_the_lock(tmp_path / "run")
    with open_run_folder(config):
        pass


def test_changed_settings_are_named_with_old_and_new(tmp_path):
    config = toy_config(tmp_path / "run")
    with open_run_folder(config) as run:
        fake_checkpoint(run, 2)
    before = (tmp_path / "run/config.json").read_text()
    with pytest.raises(UserError) as error:
        open_run_folder(dataclasses.replace(config, batch_size=7, init_sr="other"))
    message = str(error.value)
    assert "at step 2" in message
    assert "--batch_size: it was 32, now 7" in message
    assert "--init_sr: it was not given, now other" in message
    assert "--steps" not in message
    assert (tmp_path / "run/config.json").read_text() == before
    with open_run_folder(dataclasses.replace(config, steps=99)):
        pass  # the lock was given back


def test_settings_may_change_while_there_is_nothing_to_resume(tmp_path):
    config = toy_config(tmp_path / "run")
    with open_run_folder(config):
        pass
    with open_run_folder(dataclasses.replace(config, batch_size=7)) as run:
        assert run.start_step == 0
    assert json.loads((tmp_path / "run/config.json").read_text())["batch_size"] == 7


def test_a_file_in_the_way_is_a_clear_error(tmp_path):
    (tmp_path / "run").write_text("I am a file")
    with pytest.raises(UserError, match="must be a folder that can be written"):
        open_run_folder(toy_config(tmp_path / "run"))


def test_log_has_the_time(tmp_path):
    with open_run_folder(toy_config(tmp_path / "run")) as run:
        run.log("hello")
        lines = run.log_path.read_text().splitlines()
    assert lines[0].endswith(" hello")
    assert lines[0][:4].isdigit()


def events(folder):
    files = sorted(str(path) for path in folder.iterdir())
    assert all("events.out.tfevents." in name for name in files)
    records = tf.data.TFRecordDataset(files)
    return [tf.compat.v1.Event.FromString(record.numpy()) for record in records]


def starts(folder):
    return [event for event in events(folder) if event.HasField("session_log")]


def write_scalars(folder, last_step, values):
    writer = EventWriter(folder, last_step)
    for step, value in values.items():
        writer.scalars(step, {"loss/a": value})
    writer.close()


def test_another_process_reads_the_log_before_the_end(tmp_path):
    writer = EventWriter(tmp_path, 0)
    writer.scalars(3, {"loss/a": 0.5})
    until = time.monotonic() + 20
    while not (read := [e for e in events(tmp_path) if e.HasField("summary")]):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert read[0].step == 3
    writer.close()


def test_scalars_and_pictures(tmp_path):
    rgb_u8 = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    writer = EventWriter(tmp_path, 0)
    writer.scalars(3, {"loss/a": 0.5, "loss/b": -2.0})
    writer.pictures(4, {"patches": rgb_u8})
    writer.close()
    header, *_ = events(tmp_path)
    assert header.file_version == "brain.Event:2"
    (start,) = starts(tmp_path)
    *scalars, pictures = (e for e in events(tmp_path) if e.HasField("summary"))
    assert [event.step for event in scalars] == [3, 3]
    values = [value for event in scalars for value in event.summary.value]
    assert {v.tag: v.simple_value for v in values} == {"loss/a": 0.5, "loss/b": -2.0}
    assert pictures.step == 4
    image = pictures.summary.value[0].image
    assert (image.height, image.width) == (5, 7)
    decoded = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)))
    np.testing.assert_array_equal(decoded, rgb_u8)
    assert start.step == 1


def test_resume_tells_to_forget_later_steps(tmp_path):
    write_scalars(tmp_path, 70, {71: 1.0})
    (start,) = starts(tmp_path)
    assert start.session_log.status == tf.compat.v1.SessionLog.START
    assert start.step == 71


def test_pytorch_is_not_loaded_for_it(tmp_path, monkeypatch):
    """tensorboardX would, which takes two seconds."""
    for name in [*sys.modules]:
        if name.partition(".")[0] in ("tensorboardX", "torch"):
            monkeypatch.delitem(sys.modules, name)
    (tmp_path / "torch.py").write_text("raise AssertionError('it is')\n")
    monkeypatch.syspath_prepend(tmp_path)
    write_scalars(tmp_path / "events", 0, {1: 1.0})
    assert starts(tmp_path / "events")


def test_nothing_written_makes_no_file(tmp_path):
    EventWriter(tmp_path, 0).close()
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_itself_reads_it_and_forgets(tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed",
    )
    write_scalars(tmp_path, 0, {step: float(step) for step in (1, 2, 3, 4)})
    write_scalars(tmp_path, 2, {3: 30.0})
    board = accumulator.EventAccumulator(str(tmp_path)).Reload()
    shown = [(event.step, event.value) for event in board.Scalars("loss/a")]
    assert shown == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_records_come_back(tmp_path):
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path, 0)
    file.write(1, {"loss/a": 0.5, "finished": True})
    file.write(2, {"loss/a": math.inf, "loss/b": math.nan})
    first, second = read_metrics(path)  # flushed: readable while open
    assert (first["step"], first["loss/a"], first["finished"]) == (1, 0.5, True)
    assert (second["loss/a"], second["loss/b"]) == (None, None)
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=lambda name: 1 / 0)  # strict JSON


def test_resume_drops_later_steps_and_torn_lines_only(tmp_path):
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path, 0)
    for step in (1, 2, 2, 3):
        file.write(step, {"loss/a": step})
    file.close()
    with open(path, "a") as torn:
        torn.write('{"step": 2, "loss/a": 0.')
    file = MetricsFile(path, 2)
    file.write(3, {"loss/a": 30})
    assert [(r["step"], r["loss/a"]) for r in read_metrics(path)] == [
        (1, 1),
        (2, 2),
        (2, 2),
        (3, 30),
    ]


def test_no_file_no_records(tmp_path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_a_refused_start_leaves_no_folder_but_those_of_others(tmp_path):
    def refused(root, before=lambda run: None):
        with pytest.raises(UserError, match="no photographs"):
            with open_run_folder(toy_config(root)) as run:
                run.log("looking")
                before(run)
                raise UserError("no photographs")

    refused(tmp_path / "runs" / "mine")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()  # somebody has made it for this run
    refused(tmp_path / "mine")
    assert (tmp_path / "mine" / "log.txt").is_file()
    # What took time to make stays, and so does what was trained.
    refused(tmp_path / "a", lambda run: fake_checkpoint(run, 2))
    assert (tmp_path / "a" / "config.json").is_file()
    refused(tmp_path / "b", lambda run: (run.root / "estimate").mkdir())
    assert (tmp_path / "b" / "estimate").is_dir()
    with pytest.raises(RuntimeError):
        with open_run_folder(toy_config(tmp_path / "c")):
            raise RuntimeError("a defect of ours, whose log is wanted")
    assert (tmp_path / "c" / "log.txt").is_file()
