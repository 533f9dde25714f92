"""The passes over ONNX graphs: the same output, and hands off what they do not know."""

import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

from export import onnx_rewrite
from export.onnx_graph import from_function
from pdm_tf.inference.ort import import_onnxruntime


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
