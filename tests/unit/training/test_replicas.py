"""Several devices, or a batch in parts, train what one device does at once."""

import json
import sys

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.training.replicas import ONE_DEVICE, cluster_from_environment
from tests.support import forking

# Means over replicas of what is no mean over rows.
NOT_ADDITIVE = ("scalar.stat/kernel_offset", "spread_std", "noise_std")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Runs the program once for each set of arguments."""
    folder, done = tmp_path_factory.mktemp("replicas"), {}

    def run(*args):
        if args not in done:
            path = folder / f"{'_'.join(args)}.npz"
            program = "tests.unit.training.replica_program"
            command = [sys.executable, "-m", program, str(path), *args]
            ended = forking.run(command, timeout=200)
            assert ended.returncode == 0, ended.stderr
            with np.load(path) as file:
                done[args] = dict(file)
        return done[args]

    return run


@pytest.mark.parametrize(
    ("replicas", "parts", "precision", "norm", "atol"),
    [
        # Batch norm over all replicas (a bias before it moves by rounding alone); one
        # power iteration on each, the same one.
        ("2", "1", "float32", "spectral", 2e-5),
        ("2", "2", "float32", "none", 1e-7),
        # A step of Adam is 1e-3 whatever the gradient; float16 rounds that to 1e-3.
        pytest.param(
            "2", "1", "float16", "none", 2e-4, marks=pytest.mark.slow, id="float16"
        ),
    ],
)
def test_parts_and_replicas_equal_the_whole(
    trained, replicas, parts, precision, norm, atol
):
    whole = trained("1", "1", precision, norm)
    split = trained(replicas, parts, precision, norm)
    assert split.keys() == whole.keys() and split["traces"] == 1
    assert any(name.startswith("pdm.") for name in whole)
    for name, value in whole.items():
        if name.endswith(NOT_ADDITIVE):
            continue
        if name.startswith("scalar."):
            np.testing.assert_allclose(split[name], value, rtol=5e-3, err_msg=name)
        else:
            np.testing.assert_allclose(split[name], value, 0, atol, err_msg=name)


@pytest.mark.slow
def test_replicas_of_pdm_srgan_equal_one_device(trained):
    """Its second discriminator and the feature network are on every device."""
    settings = ("1", "float32", "none", "pdm_srgan")
    whole, split = trained("1", *settings), trained("2", *settings)
    assert split.keys() == whole.keys() and split["traces"] == 1
    assert any(name.startswith("hr_discriminator.") for name in whole)
    for name, value in whole.items():
        if not name.endswith(NOT_ADDITIVE):
            np.testing.assert_allclose(split[name], value, 1e-3, 1e-6, err_msg=name)


def has_gpu():
    return bool(tf.config.list_physical_devices("GPU"))


def test_one_device_has_no_machinery_around_it():
    assert (ONE_DEVICE.count, ONE_DEVICE.worker, ONE_DEVICE.workers) == (1, 0, 1)
    assert ONE_DEVICE.is_chief and ONE_DEVICE.from_chief(7) == 7
    assert ONE_DEVICE.run(lambda a: a + 1, (1,)) == 2
    assert ONE_DEVICE.device == ("/GPU:0" if has_gpu() else "")
    assert ONE_DEVICE.uses_xla("auto") == has_gpu()
    assert not ONE_DEVICE.uses_xla("off") and ONE_DEVICE.uses_xla("on")


WORKERS = {"worker": ["a:1", "b:1"]}


def test_a_cluster_is_read_from_the_environment():
    task = {"type": "worker", "index": 1}
    text = json.dumps({"cluster": WORKERS, "task": task})
    assert cluster_from_environment({"TF_CONFIG": text}) == (1, 2)
    assert cluster_from_environment({}) == (0, 1)


@pytest.mark.parametrize(
    "content",
    [
        "not json",
        json.dumps({"cluster": WORKERS}),
        json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": 2}}),
        json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": -1}}),
        json.dumps({"cluster": WORKERS, "task": {"type": "ps", "index": 0}}),
        json.dumps(
            {
                "cluster": {**WORKERS, "chief": ["c:1"]},
                "task": {"type": "worker", "index": 0},
            }
        ),
        json.dumps(
            {"cluster": {"worker": ["a"]}, "task": {"type": "worker", "index": 0}}
        ),
        json.dumps([1]),
    ],
)
def test_a_cluster_that_cannot_be_understood_is_refused(content):
    with pytest.raises(UserError, match="TF_CONFIG must be like") as refused:
        cluster_from_environment({"TF_CONFIG": content})
    assert str(refused.value).endswith(f"Received: {content}")
