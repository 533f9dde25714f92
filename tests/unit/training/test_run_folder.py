"""The run folder records what was run, and lets one process in at a time."""

import dataclasses
import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import pdm_tf
from pdm_tf.cli.component import from_json_dict
from pdm_tf.cli.flag_set import parse
from pdm_tf.core.errors import UserError
from pdm_tf.train import SPEC, open_run_folder
from pdm_tf.train_config import TrainConfig
from pdm_tf.training.checkpoint import CheckpointStore
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
