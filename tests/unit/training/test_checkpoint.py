"""Checkpoints hold everything, are whole or absent, and never restored by half."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.training.checkpoint import CheckpointStore, collect_state, complete_steps
from pdm_tf.training.ema import EMA
from tests.unit.training.toy import ToyMethod


def store_of(folder, *values, keep=3):
    state = {"a": [tf.Variable(v) for v in values]}
    return CheckpointStore(folder, state, keep), state["a"]


def test_round_trip_into_another_object(tmp_path):
    store, _ = store_of(tmp_path, [1.5, 2.5], np.int64(7))
    store.save(12)
    other, variables = store_of(tmp_path, [0.0, 0.0], np.int64(0))
    assert other.restore_latest() == (12, [])
    np.testing.assert_array_equal(variables[0].numpy(), [1.5, 2.5])
    assert variables[1].numpy() == 7


def test_no_checkpoint_is_step_zero(tmp_path):
    store, variables = store_of(tmp_path / "new", 3.0)
    assert store.restore_latest() == (0, [])
    assert variables[0].numpy() == 3.0


@pytest.mark.parametrize("loss_scaled", [False, True])
def test_state_of_a_method_is_complete(loss_scaled):
    """Nothing that a step changes is missing, wrapped optimizers included."""
    method = ToyMethod(loss_scaled=loss_scaled)
    ema = EMA(method.ema_networks(), 0.9)
    state = collect_state(method, ema)
    held = {id(v) for group in state.values() for v in group}
    for network in method.networks.values():
        assert all(id(v.value) in held for v in network.variables)
    for optimizer in method.optimizers.values():
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        moments = [*inner._momentums, *inner._velocities, inner.iterations]
        if loss_scaled:
            moments += [optimizer.dynamic_scale, optimizer.step_counter]
        assert all(id(v.value) in held for v in moments)
    assert id(method.extra_state["seen"]) in held
    assert all(id(v) in held for v in ema.variables["sr"])


def test_keeps_the_newest(tmp_path):
    store, _ = store_of(tmp_path, 1.0, keep=2)
    for step in (5, 10, 100_000_000):
        store.save(step)
    assert complete_steps(tmp_path) == [10, 100_000_000]
    assert store.restore_latest()[0] == 100_000_000


def test_a_folder_without_all_its_bytes_does_not_count(tmp_path):
    store, variables = store_of(tmp_path, np.zeros(100))
    store.save(1)
    variables[0].assign(np.ones(100))
    store.save(2)
    data = tmp_path / "step_00000002/state.data-00000-of-00001"
    os.truncate(data, data.stat().st_size - 1)
    assert complete_steps(tmp_path) == [1]
    step, warnings = store.restore_latest()
    assert step == 1
    assert "damaged" in warnings[0]
    assert variables[0].numpy().sum() == 0
    assert (tmp_path / "damaged_step_00000002").is_dir()
    store.save(2)  # the place is free again
    assert complete_steps(tmp_path) == [1, 2]


def test_altered_bytes_of_the_right_number_are_noticed(tmp_path):
    store, _ = store_of(tmp_path, np.zeros(100))
    store.save(1)
    store.save(2)
    data = tmp_path / "step_00000002/state.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[200] ^= 0xFF
    data.write_bytes(content)
    assert store.restore_latest()[0] == 1


def _zero_tail(file):
    content = file.read_bytes()
    file.write_bytes(content[:-48] + bytes(48))


def _edit(path, **changes):
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | changes))


DAMAGE = {
    "index": lambda path: _zero_tail(path / "state.index"),
    "data": lambda path: _zero_tail(path / "state.data-00000-of-00001"),
    "another step": lambda path: _edit(path, step=7),
    "no variables": lambda path: _edit(path, variables=None),
    "other variables": lambda path: _edit(path, variables={"a": ["float64[3]"]}),
    "files of another place": lambda path: _edit(path, files={"../../etc/passwd": 1}),
    "a list": lambda path: (path / "manifest.json").write_text("[1]"),
    "a number": lambda path: _edit(path, files={"state.index": "many"}),
    "no files": lambda path: [file.unlink() for file in path.iterdir()],
    "a file of that name": lambda path: (shutil.rmtree(path), path.write_text("")),
    "a loop": lambda path: (shutil.rmtree(path), path.symlink_to(path)),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_any_damage_is_set_aside_before_tensorflow_reads(tmp_path, damage):
    store, variables = store_of(tmp_path, np.zeros(100))
    for name in ("step_1", "step_000000011", "step_00000012.bak", "notes"):
        (tmp_path / name).mkdir()  # stray names are nobody's checkpoints
    store.save(1)
    variables[0].assign(np.ones(100))
    for again in range(2):  # the same step is damaged a second time
        store.save(2)
        damage(tmp_path / "step_00000002")
        step, (warning,) = store.restore_latest()
        aside = "damaged_step_00000002" + ("_2" if again else "")
        assert step == 1 and f"set aside as {aside}: " in warning
        assert os.path.lexists(tmp_path / aside)
        assert variables[0].numpy().sum() == 0


def test_checkpoints_without_checksums_are_read_too(tmp_path):
    """Those of earlier versions: what TensorFlow finds damaged is set aside."""
    store, _ = store_of(tmp_path, np.zeros(100))
    for step in (1, 2):
        path = store.save(step)
        manifest = json.loads((path / "manifest.json").read_text())
        sizes = {name: one["bytes"] for name, one in manifest["files"].items()}
        del manifest["sha256"]
        (path / "manifest.json").write_text(json.dumps(manifest | {"files": sizes}))
    assert store.restore_latest() == (2, [])
    _zero_tail(path / "state.index")
    assert store.restore_latest()[0] == 1


def test_torn_manifest_and_leftovers_of_a_kill(tmp_path):
    store, _ = store_of(tmp_path, 1.0)
    store.save(1)
    store.save(2)
    (tmp_path / "step_00000002/manifest.json").write_text('{"step": 2, "fi')
    (tmp_path / ".step_00000003.1.tmp").mkdir()
    (tmp_path / ".step_00000003.1.tmp/state.index").write_text("half")
    store, _ = store_of(tmp_path, 1.0)
    assert not (tmp_path / ".step_00000003.1.tmp").exists()
    assert store.restore_latest()[0] == 1


def test_only_damaged_ones_is_an_error_not_a_fresh_start(tmp_path):
    store, _ = store_of(tmp_path, 1.0)
    store.save(1)
    (tmp_path / "step_00000001/state.index").unlink()
    with pytest.raises(UserError, match="none of the checkpoints"):
        store.restore_latest()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((np.zeros(3),), r"variable 0, is float64\[2\] there, float64\[3\] here"),
        ((np.zeros(2), 1.0), "has 1 variables there, 2 here"),
    ],
)
def test_checkpoint_of_another_network_is_refused(tmp_path, values, words):
    store_of(tmp_path, np.zeros(2))[0].save(1)
    other, variables = store_of(tmp_path, *values)
    with pytest.raises(UserError, match=words):
        other.restore_latest()
    assert complete_steps(tmp_path) == [1]  # not taken for damaged


def test_failed_save_raises_and_leaves_the_older_ones(tmp_path, monkeypatch):
    store, _ = store_of(tmp_path, 1.0)
    store.save(1)

    def full_disk(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full_disk)
    with pytest.raises(OSError, match="No space"):
        store.save(2)
    assert complete_steps(tmp_path) == [1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_00000001"]


def test_manifest_says_what_is_inside(tmp_path):
    store_of(tmp_path, np.zeros((2, 3), np.float32))[0].save(4)
    manifest = json.loads((tmp_path / "step_00000004/manifest.json").read_text())
    assert manifest["step"] == 4
    assert manifest["variables"] == {"a": ["float32[2, 3]"]}
