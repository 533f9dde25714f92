"""Counted arithmetic against the networks' own formulas, and other people's graphs."""

import onnx
import pytest
from onnx import TensorProto, helper

from export.onnx_graph import network_to_onnx
from pdm_tf.benchmarks.flops import count
from pdm_tf.models.sr import EDSRConfig, RRDBNetConfig


def edsr_macs(f, blocks, height, width):
    """By 4: of each convolution, pixels * inputs * outputs * 9."""
    on_lr = 3 * f + 2 * blocks * f * f + f * f + f * 4 * f
    return 9 * height * width * (on_lr + 4 * (f * 4 * f) + 16 * (f * 3))


def rrdb_macs(f, g, blocks, height, width):
    dense = sum((f + i * g) * g for i in range(4)) + (f + 4 * g) * f
    on_lr = 3 * f + 3 * blocks * dense + f * f
    return 9 * height * width * (on_lr + 4 * f * f + 16 * (f * f + f * f + f * 3))


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_edsr(tmp_path, layout):
    network = EDSRConfig(num_blocks=2, filters=4).build()
    path = network_to_onnx(network, tmp_path / "m.onnx", layout=layout)
    assert count(path, (2, 5, 7, 3)) == 2 * 2 * edsr_macs(4, 2, 5, 7)


def test_rrdbnet(tmp_path):
    network = RRDBNetConfig(num_blocks=1, filters=4, growth=2).build()
    path = network_to_onnx(network, tmp_path / "m.onnx")
    assert count(path, (1, 6, 4, 3)) == 2 * rrdb_macs(4, 2, 1, 6, 4)


def test_the_published_sizes():
    """What the formulas above give for the full networks, per 128 x 128 tile."""
    assert 2e-9 * edsr_macs(64, 16, 128, 128) == pytest.approx(65.0, abs=0.05)
    assert 2e-9 * rrdb_macs(64, 32, 23, 128, 128) == pytest.approx(587, abs=1)


def graph(nodes, initializers, shape, path, out_rank=4):
    """Writes a graph x -> y."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None] * out_rank)
    values = [
        helper.make_tensor(name, TensorProto.FLOAT, dims, [0.0] * size)
        for name, dims, size in initializers
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], values),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    onnx.save(model, path)
    return path


def test_groups_and_strides(tmp_path):
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], group=3, strides=[2, 2], pads=[1, 1, 1, 1]
    )
    weights = [("w", [6, 1, 3, 3], 54)]
    path = graph([node], weights, [None, 3, None, None], tmp_path / "m.onnx")
    # 8 x 8 -> 4 x 4 pixels of 6 channels, each from 1 x 3 x 3 inputs.
    assert count(path, (1, 8, 8, 3)) == 2 * 4 * 4 * 6 * 9


def test_transposed_convolution_and_matrix_product(tmp_path):
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["t"], strides=[2, 2]),
        helper.make_node("MatMul", ["t", "v"], ["y"]),
    ]
    weights = [("w", [3, 5, 2, 2], 60), ("v", [12, 7], 84)]
    path = graph(nodes, weights, [None, 3, None, None], tmp_path / "m.onnx")
    # 4 x 6 -> 8 x 12 of 5 channels; then rows of 12 to rows of 7.
    assert count(path, (1, 4, 6, 3)) == 2 * (4 * 6 * 3 * 5 * 4 + 5 * 8 * 12 * 7)


def test_sizes_that_only_running_tells(tmp_path):
    nodes = [
        helper.make_node("NonZero", ["x"], ["found"]),
        helper.make_node("Cast", ["found"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["v", "float"], ["y"]),
    ]
    path = graph(nodes, [("v", [2, 4], 8)], [None, 3, None, None], tmp_path / "m", 2)
    assert count(path, (1, 4, 4, 3)) is None
