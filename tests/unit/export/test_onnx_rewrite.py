"""The passes over ONNX graphs: the same output, and hands off what they do not know."""

import sys

import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

from export import onnx_rewrite
from export.onnx_graph import from_function
from export.parity import compare
from pdm_tf.core.images import to_float
from pdm_tf.inference.model_file import is_sealed
from pdm_tf.inference.ort import import_onnxruntime
from pdm_tf.models.sr import EDSRConfig, RRDBNetConfig
from tests.support.tiny_nets import photo


def _run(model, feeds):
    session = import_onnxruntime().InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


def _resize_model(rows, columns, method="nearest"):
    def function(image):
        size = tf.shape(image)[1:3] * tf.constant([rows, columns])
        return {"out": tf.image.resize(image, size, method=method)}

    spec = tf.TensorSpec([None, None, None, 2], tf.float32, name="image")
    return from_function(function, [spec])


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_resize_by_a_constant_is_bit_identical(factor):
    model = _resize_model(factor, factor)
    feeds = {"image": np.random.default_rng(0).random([2, 5, 7, 2], np.float32)}
    before = _run(model, feeds)[0]
    assert onnx_rewrite.constant_resize(model.graph) == 1
    onnx_rewrite.drop_unused(model.graph)
    assert not {"Shape", "Slice", "Cast"} & {n.op_type for n in model.graph.node}
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_array_equal(_run(model, feeds)[0], before)
    np.testing.assert_array_equal(
        before, feeds["image"].repeat(factor, 1).repeat(factor, 2)
    )


@pytest.mark.parametrize("case", [(2, 3, "nearest"), (2, 2, "bilinear")])
def test_other_resizes_stay(case):
    """Two different factors, or another interpolation."""
    model = _resize_model(*case)
    before = model.SerializeToString(deterministic=True)
    assert onnx_rewrite.constant_resize(model.graph) == 0
    assert model.SerializeToString(deterministic=True) == before


def test_resize_to_the_size_of_another_tensor_stays():
    def function(image, other):
        size = tf.shape(other)[1:3] * 2
        return {"out": tf.image.resize(image, size, method="nearest")}

    specs = [tf.TensorSpec([1, None, None, 1], name=n) for n in ("image", "other")]
    model = from_function(function, specs)
    assert onnx_rewrite.constant_resize(model.graph) == 0


def _conv_model(weights_transposed, **attributes):
    nodes = []
    name = "w"
    if weights_transposed:
        nodes.append(helper.make_node("Transpose", ["w"], ["wt"], perm=[3, 2, 0, 1]))
        name = "wt"
    nodes.append(helper.make_node("Conv", ["x", name], ["y"], **attributes))
    free = [1, 2, "h", "w"]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, free),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, None),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8
    )


@pytest.mark.parametrize("transposed", [True, False])
def test_weights_become_part_of_the_graph(transposed):
    rng = np.random.default_rng(0)
    x = rng.random([1, 2, 6, 5], np.float32)
    shape = [3, 3, 2, 4] if transposed else [4, 2, 3, 3]
    w = rng.random(shape, np.float32)
    model = _conv_model(transposed, kernel_shape=[3, 3])
    before = _run(model, {"x": x, "w": w})[0]
    onnx_rewrite.bind_weights(model.graph, {"w": w, "unused": w})
    assert [entry.name for entry in model.graph.input] == ["x"]
    assert [node.op_type for node in model.graph.node] == ["Conv"]
    assert len(model.graph.initializer) == 1
    # onnxruntime sums in another order when it knows the weights beforehand.
    np.testing.assert_allclose(_run(model, {"x": x})[0], before, rtol=1e-6)


@pytest.mark.parametrize(("window", "dilation"), [(3, 1), (3, 2), (2, 1), (1, 1)])
def test_explicit_padding_is_tensorflows(window, dilation):
    """onnxruntime itself refuses automatic padding with dilation."""
    model = _conv_model(
        False,
        kernel_shape=[window, window],
        dilations=[dilation, dilation],
        auto_pad="SAME_UPPER",
    )
    rng = np.random.default_rng(0)
    x = rng.random([1, 2, 6, 5], np.float32)
    w = rng.random([4, 2, window, window], np.float32)
    onnx_rewrite.explicit_padding(model.graph)
    names = {attribute.name for attribute in model.graph.node[0].attribute}
    assert "pads" in names and "auto_pad" not in names
    wanted = tf.nn.conv2d(
        x.transpose(0, 2, 3, 1),
        w.transpose(2, 3, 1, 0),
        strides=1,
        padding="SAME",
        dilations=dilation,
    )
    np.testing.assert_allclose(
        _run(model, {"x": x, "w": w})[0].transpose(0, 2, 3, 1), wanted, rtol=1e-5
    )


def test_padding_that_depends_on_the_size_stays_automatic():
    model = _conv_model(
        False, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"
    )
    onnx_rewrite.explicit_padding(model.graph)
    assert "auto_pad" in {a.name for a in model.graph.node[0].attribute}


def test_unused_parts_go_and_what_a_loop_reads_stays():
    """A loop's body reads tensors of the graph around it without naming them inputs."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["v", "step"], ["v2"]),
            helper.make_node("Identity", ["c"], ["c2"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("c2", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v2", TensorProto.FLOAT, []),
        ],
    )
    constants = {"three": np.int64(3), "yes": np.bool_(True), "spare": np.float32(1)}
    graph = helper.make_graph(
        [
            helper.make_node("Neg", ["x"], ["step"]),
            helper.make_node("Add", ["x", "spare"], ["nobody"]),
            helper.make_node("Loop", ["three", "yes", "x"], ["y"], body=body),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [])],
        [numpy_helper.from_array(np.array(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8
    )
    onnx_rewrite.drop_unused(model.graph)
    assert [node.op_type for node in model.graph.node] == ["Neg", "Loop"]
    assert {tensor.name for tensor in model.graph.initializer} == {"three", "yes"}
    assert _run(model, {"x": np.array(2.0, np.float32)})[0] == 2.0 - 3 * 2.0


def test_axes_must_fit():
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])
    with pytest.raises(ValueError, match="axes"):
        onnx_rewrite.name_axes([value], {"x": ("batch", "height", 3)})


def test_nodes_are_sorted_into_the_order_that_the_standard_wants():
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Dropout", ["a"], ["b", ""]),  # "": an output left out
        helper.make_node("Clip", ["sum", "", "most"], ["y"]),  # and an input
    ]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"
    )
    most = numpy_helper.from_array(np.float32(3.0), "most")
    graph = helper.make_graph(nodes, "g", [x], [y], [most])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    with pytest.raises(onnx.checker.ValidationError, match="sorted"):
        onnx.checker.check_model(model)
    onnx_rewrite.sort_nodes(model.graph)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == [
        "Relu",
        "Dropout",
        "Add",
        "Clip",
    ]


@pytest.mark.parametrize(
    "config",
    [
        EDSRConfig(num_blocks=2, filters=16),
        RRDBNetConfig(num_blocks=1, filters=16, growth=8),
    ],
    ids=["edsr", "rrdb"],
)
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_float16_file(sr_onnx, tmp_path, monkeypatch, config, layout):
    monkeypatch.setitem(sys.modules, "sympy", None)  # what export does not require
    network, full = sr_onnx(config, layout)
    half = onnx_rewrite.write_fp16(full, tmp_path / "h.onnx")

    model = onnx.load(half)
    onnx.checker.check_model(model, full_check=True)  # topological order too
    kinds = {t.data_type for t in model.graph.initializer if len(t.dims) == 4}
    assert kinds == {onnx.TensorProto.FLOAT16}
    # Casts at the ends alone: one inside would bring memory traffic and float32.
    assert sum(node.op_type == "Cast" for node in model.graph.node) == 2
    assert half.stat().st_size < 0.7 * full.stat().st_size

    session = import_onnxruntime().InferenceSession(
        str(half), providers=["CPUExecutionProvider"]
    )
    assert session.get_inputs()[0].type == "tensor(float)"
    assert session.get_outputs()[0].type == "tensor(float)"
    found = session.get_modelmeta().custom_metadata_map
    whole = {entry.key: entry.value for entry in onnx.load(full).metadata_props}
    assert found == whole | {"precision": "float16", "seal": found["seal"]}
    assert is_sealed(half) and is_sealed(full)

    image = to_float(photo(24, 19)[None])
    keras = network(image).numpy()
    fed = image if layout == "NHWC" else image.transpose(0, 3, 1, 2)
    output = session.run(["sr"], {"image": np.ascontiguousarray(fed)})[0]
    output = output if layout == "NHWC" else output.transpose(0, 2, 3, 1)
    difference = compare(output, keras, 1e-4)
    assert difference.finite and difference.psnr_db > 60
    assert difference.max_abs > 0  # it is half precision indeed


@pytest.mark.parametrize(("scale", "unshuffle"), [(2, 2), (1, 4)])
def test_sizes_are_no_float16_numbers(sr_onnx, scale, unshuffle, tmp_path):
    """Real-ESRGAN's x2 and x1: above 2048 float16 has no odd numbers."""
    network, full = sr_onnx(
        RRDBNetConfig(
            num_blocks=1, filters=4, growth=2, scale=scale, unshuffle=unshuffle
        )
    )
    half = onnx_rewrite.write_fp16(full, tmp_path / "h.onnx")
    session = import_onnxruntime().InferenceSession(
        str(half), providers=["CPUExecutionProvider"]
    )
    for size in ((1, 1), (3, 5), (2, 1503)):
        image = np.random.default_rng(5).random((2, *size, 3), np.float32)
        found = session.run(["sr"], {"image": image})[0]
        keras = network(image).numpy()
        assert found.shape == keras.shape
        np.testing.assert_allclose(found, keras, rtol=0, atol=2e-3, err_msg=f"{size}")
