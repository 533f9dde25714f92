"""The summary of the measurements, by hand-worked numbers."""

import dataclasses

import numpy as np
import pytest

from export.onnx_graph import network_to_onnx
from pdm_tf.benchmarks.inference_task import (
    InferenceBenchmarkConfig,
    differences,
    run_alone,
    table,
    wanted,
)
from pdm_tf.benchmarks.measuring import peak_mb
from pdm_tf.benchmarks.sides import INFERENCE, figures
from pdm_tf.benchmarks.timed import TimedNetwork
from pdm_tf.core.errors import UserError
from tests.support.tiny_nets import EDSR_TINY, built

SECONDS = {
    "onnxruntime": [0.2, 0.4, 0.3],
    "torch": [0.6, 0.9, 0.5],
    "torch_channels_last": [0.5, 0.4, 0.8],
    "tensorflow_bfloat16": [0.1, 0.1, 0.1],
}


def made(seconds=SECONDS, operations=60_000_000_000):
    result = figures(
        INFERENCE,
        seconds,
        operations,
        {"float32": 400.0, "bfloat16": 1500.0},
        {"onnxruntime": 300.0},
    )
    for side in result["sides"].values():
        side["max_difference"] = 0.0
    return result


def test_figures_by_hand():
    result = made()
    assert result["gflop"] == 60.0
    assert result["references"] == {"float32": "torch_channels_last"}  # 0.5 < 0.6
    ours = result["sides"]["onnxruntime"]
    assert ours["ms"] == {"median": 300, "least": 200, "most": 400}
    assert ours["gflops"] == pytest.approx(200.0)
    assert ours["share_of_gemm"] == pytest.approx(0.5)
    assert ours["ratio_to_torch"] == pytest.approx(
        {"median": 0.6, "least": 0.375, "most": 1.0}
    )
    assert ours["peak_mb"] == 300.0
    low = result["sides"]["tensorflow_bfloat16"]
    assert low["share_of_gemm"] == pytest.approx(600 / 1500)
    assert low["ratio_to_torch"] is None  # PyTorch did not run in bfloat16
    assert low["peak_mb"] is None


def test_unknown_work_and_no_torch():
    result = made({"onnxruntime": [0.2, 0.4, 0.3]}, None)
    side = result["sides"]["onnxruntime"]
    assert result["references"] == {} and result["gflop"] is None
    assert side["gflops"] is side["share_of_gemm"] is side["ratio_to_torch"] is None
    assert side["ms"]["median"] == 300


def test_the_table_says_all_of_it():
    text = table(
        {
            **made(),
            "network": "edsr",
            "rounds": 3,
            "lr_shape": [1, 8, 8, 3],
            "sr_shape": [1, 32, 32, 3],
            "gemm": {"size": 256, "peak_gflops": {"float32": 400.0}},
        }
    )
    assert "edsr: 1x8x8x3 -> 1x32x32x3, 60 GFLOP" in text
    row = next(line for line in text.splitlines() if line.startswith("onnxruntime"))
    assert row.split() == [
        "onnxruntime",
        "300",
        "(200-400)",
        "200",
        "50",
        "0.60",
        "(0.37-1.00)",
        "0",
        "300",
    ]


def test_other_outputs_are_not_timed_as_the_same_work():
    sr = np.ones([1, 4, 4, 3], np.float32)
    near = {"onnxruntime": sr, "torch": sr + 1e-4, "torch_bfloat16": sr + 0.1}
    found = differences(near)
    assert found["torch"] == pytest.approx(1e-4, rel=0.01)
    assert found["torch_bfloat16"] == pytest.approx(0.1, rel=0.01)
    for wrong in (sr + 0.01, sr * np.nan):
        with pytest.raises(RuntimeError, match="does not compute the same"):
            differences({"onnxruntime": sr, "torch": wrong})
    assert differences({"onnxruntime": 50 * sr, "torch": 50 * sr + 0.01})


def test_sides_that_the_flags_ask_for(tmp_path):
    ours = TimedNetwork("m", tmp_path, "EDSR", {})
    foreign = TimedNetwork("m", tmp_path, "", {})

    def asked(network, **flags):
        return wanted(InferenceBenchmarkConfig(sr_net="edsr", **flags), network)

    assert asked(ours) == ["onnxruntime", "tensorflow"]
    assert asked(ours, bfloat16=True)[-1] == "tensorflow_bfloat16"
    assert asked(ours, compare="torch", bfloat16=True) == list(INFERENCE)
    assert asked(foreign) == ["onnxruntime"]
    with pytest.raises(UserError, match="need an ONNX file of one EDSR or RRDBNet"):
        asked(foreign, compare="torch")


@pytest.mark.parametrize(
    ("side", "library", "most"),
    # Measured: 63 and 242 MB; 666 MB with TensorFlow, which is in this process.
    [
        ("onnxruntime", "onnxruntime", 200),
        pytest.param("torch_channels_last", "torch", 500, marks=pytest.mark.slow),
    ],
)
def test_memory_of_a_side_is_its_own(tmp_path, side, library, most):
    pytest.importorskip(library, reason=f"needs {library}: pip install -e .[benchmark]")
    path = network_to_onnx(built(EDSR_TINY), tmp_path / "m.onnx")
    network = TimedNetwork("m", path, "EDSR", dataclasses.asdict(EDSR_TINY))
    small = peak_mb(run_alone, side, network, (1, 16, 16, 3), 1)
    assert 30 < small < most
    large = peak_mb(run_alone, side, network, (1, 256, 256, 3), 1)
    # The result alone, 1024 x 1024 x 3 float32, has 12.6 MB.
    assert large > small + 12.6
