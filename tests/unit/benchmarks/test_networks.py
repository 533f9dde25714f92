"""From flags to a network, and from its ONNX file back to weights."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.onnx_graph import network_to_onnx
from pdm_tf.benchmarks import networks
from pdm_tf.benchmarks.inference_task import InferenceBenchmarkConfig
from pdm_tf.benchmarks.timed import TimedNetwork
from pdm_tf.core.errors import UserError
from pdm_tf.models.sr import EDSRConfig
from tests.support.tiny_nets import EDSR_TINY, RRDB_TINY, built, sr_bundle

LR = np.random.default_rng(3).random((2, 7, 5, 3), np.float32)


def described(path):
    entries = {p.key: p.value for p in onnx.load(path).metadata_props}
    return TimedNetwork(
        str(path), path, entries["architecture"], json.loads(entries["config"])
    )


@pytest.mark.parametrize(
    ("config", "zero_biases"),
    [
        # The converter leaves out biases of 0, and may put EDSR's mean in their place.
        (EDSR_TINY, True),
        (EDSR_TINY, False),
        (EDSRConfig(num_blocks=1, filters=4, scale=3, rgb_range=1.0), False),
        (RRDB_TINY, False),
    ],
)
def test_weights_come_back_from_the_file(tmp_path, config, zero_biases):
    network = built(config)
    if zero_biases:
        for variable in network.variables:
            if len(variable.shape) == 1:
                variable.assign(np.zeros(variable.shape))
    timed = described(network_to_onnx(network, tmp_path / "m.onnx"))
    again = networks.keras_network(timed, "float32", networks.read_convolutions(timed))
    for ours, theirs in zip(again.variables, network.variables, strict=True):
        # The mean of up to 0.45 * 255 that was folded into a bias leaves its rounding.
        np.testing.assert_allclose(ours.value, theirs.value, rtol=0, atol=2e-5)
    difference = np.abs(np.asarray(again(LR)) - np.asarray(network(LR)))
    assert difference.max() < 2e-6


def test_a_network_by_name_has_the_settings_and_no_zero_biases(tmp_path):
    settings = ("num_blocks=1", "filters=4", "scale=2")
    timed = networks.random_network("edsr", settings, 5, tmp_path)
    assert timed.name == "edsr" and timed.architecture == "EDSR"
    assert timed.config["scale"] == 2 and timed.config["num_blocks"] == 1
    convolutions = networks.read_convolutions(timed)
    assert len(convolutions) == 6
    assert all(np.any(bias) for _, bias in convolutions)


def test_a_bundle_and_an_onnx_file(tmp_path):
    network = sr_bundle(tmp_path / "bundle", RRDB_TINY)
    path = network_to_onnx(network, tmp_path / "given.onnx")
    for model in (tmp_path / "bundle", path):
        timed = networks.open_network(str(model), tmp_path)
        first, _ = networks.read_convolutions(timed)[0]
        expected = np.asarray(network.head.kernel.value).transpose(3, 2, 0, 1)
        np.testing.assert_array_equal(first, expected)


def test_a_file_of_someone_else_runs_in_onnxruntime_alone(tmp_path):
    path = network_to_onnx(built(EDSR_TINY), tmp_path / "m.onnx")
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    timed = networks.open_network(str(path), tmp_path)
    assert timed.architecture == ""


@pytest.mark.parametrize(
    ("model", "message"),
    [("none.onnx", "--model must exist"), ("text.onnx", "must be an ONNX file")],
)
def test_models_that_are_none(tmp_path, monkeypatch, model, message):
    monkeypatch.chdir(tmp_path)
    Path("text.onnx").write_text("these are words, not a graph")
    with pytest.raises(UserError, match=message):
        networks.open_network(model, tmp_path)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({}, "Either --model or --sr_net"),
        ({"model": "a", "sr_net": "edsr"}, "Either --model or --sr_net"),
        ({"model": "a", "sr_arg": ("scale=2",)}, "--sr_arg belongs to --sr_net"),
        ({"sr_net": "edsr", "rounds": 0}, "--rounds must be 1 or more"),
        ({"sr_net": "edsr", "threads": -1}, "--threads must be 0 or more"),
    ],
)
def test_flags_that_contradict_each_other(flags, message):
    with pytest.raises(UserError, match=message):
        InferenceBenchmarkConfig(**flags)
