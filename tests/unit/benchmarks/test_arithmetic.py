"""Counted arithmetic against the networks' own formulas, by hand, and GEMM's rates."""

import onnx
import pytest
import tensorflow as tf
from onnx import TensorProto, helper

from export.onnx_graph import network_to_onnx
from pdm_tf.benchmarks.arithmetic import (
    count_onnx,
    count_traced,
    matmul_rates,
    matrix_products,
    peak_rates,
)
from pdm_tf.benchmarks.measuring import Summary
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
    assert count_onnx(path, (2, 5, 7, 3)) == 2 * 2 * edsr_macs(4, 2, 5, 7)


def test_rrdbnet(tmp_path):
    network = RRDBNetConfig(num_blocks=1, filters=4, growth=2).build()
    path = network_to_onnx(network, tmp_path / "m.onnx")
    assert count_onnx(path, (1, 6, 4, 3)) == 2 * rrdb_macs(4, 2, 1, 6, 4)


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
    assert count_onnx(path, (1, 8, 8, 3)) == 2 * 4 * 4 * 6 * 9


def test_transposed_convolution_and_matrix_product(tmp_path):
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["t"], strides=[2, 2]),
        helper.make_node("MatMul", ["t", "v"], ["y"]),
    ]
    weights = [("w", [3, 5, 2, 2], 60), ("v", [12, 7], 84)]
    path = graph(nodes, weights, [None, 3, None, None], tmp_path / "m.onnx")
    # 4 x 6 -> 8 x 12 of 5 channels; then rows of 12 to rows of 7.
    assert count_onnx(path, (1, 4, 6, 3)) == 2 * (4 * 6 * 3 * 5 * 4 + 5 * 8 * 12 * 7)


def test_sizes_that_only_running_tells(tmp_path):
    nodes = [
        helper.make_node("NonZero", ["x"], ["found"]),
        helper.make_node("Cast", ["found"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["v", "float"], ["y"]),
    ]
    path = graph(nodes, [("v", [2, 4], 8)], [None, 3, None, None], tmp_path / "m", 2)
    assert count_onnx(path, (1, 4, 4, 3)) is None


def traced(function, *shapes):
    specs = [tf.TensorSpec(shape) for shape in shapes]
    return tf.function(function, autograph=False).get_concrete_function(*specs)


def gradients(function):
    def run(x, kernel):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = function(x, kernel)
        return (y, *tape.gradient(y, [x, kernel]))

    return run


def conv(x, kernel):
    return tf.nn.conv2d(x, kernel, strides=2, padding="VALID")


# 9 x 9 -> 4 x 4 pixels of 7 channels, each from 3 x 3 x 5 inputs; 2 images.
CONV = 2 * (2 * 4 * 4 * 7) * (3 * 3 * 5)
CONV_SHAPES = ([2, 9, 9, 5], [3, 3, 5, 7])


def test_a_convolution_and_both_gradients():
    assert count_traced(traced(conv, *CONV_SHAPES)) == CONV
    assert count_traced(traced(gradients(conv), *CONV_SHAPES)) == 3 * CONV


def test_unused_operations_are_not_counted():
    """The tape records both gradients of a convolution whatever it is asked for."""

    def kernel_only(x, kernel):
        return gradients(conv)(x, kernel)[2]

    assert count_traced(traced(kernel_only, *CONV_SHAPES)) == CONV

    def nothing(x, kernel):
        conv(x, kernel)
        return tf.reduce_sum(x)

    assert count_traced(traced(nothing, *CONV_SHAPES)) == 0


def test_side_effects_are_needed():
    total = tf.Variable(0.0)

    def adds(x, kernel):
        total.assign_add(tf.reduce_sum(conv(x, kernel)))

    assert count_traced(traced(adds, *CONV_SHAPES)) == CONV


def test_depthwise_and_grouped_convolutions():
    def depthwise(x, kernel):
        return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME")

    once = 2 * (1 * 4 * 5 * 3 * 2) * 9  # 3 channels, 2 results of each
    shapes = ([1, 4, 5, 3], [3, 3, 3, 2])
    assert count_traced(traced(gradients(depthwise), *shapes)) == 3 * once

    def grouped(x, kernel):
        return tf.nn.conv2d(x, kernel, strides=1, padding="SAME")

    assert count_traced(traced(grouped, [1, 4, 4, 6], [3, 3, 2, 9])) == 2 * 16 * 9 * 18


def test_products():
    def dense(x, kernel):
        return tf.matmul(x, kernel)

    once = 2 * 3 * 4 * 5
    assert count_traced(traced(dense, [3, 4], [4, 5])) == once
    assert count_traced(traced(gradients(dense), [3, 4], [4, 5])) == 3 * once
    assert count_traced(traced(gradients(dense), [6, 3, 4], [6, 4, 5])) == 18 * once

    def einsum(x, kernel):
        return tf.einsum("bhkc,bhk->bhc", x, kernel)

    assert count_traced(traced(einsum, [2, 3, 4, 5], [2, 3, 4])) == 2 * 2 * 3 * 4 * 5


@pytest.mark.parametrize("jit_compile", [False, True])
def test_functions_inside_count_at_each_call(jit_compile):
    inner = tf.function(conv, jit_compile=jit_compile, autograph=False)

    def twice(x, kernel):
        return inner(x, kernel) + inner(2.0 * x, kernel)

    assert count_traced(traced(twice, *CONV_SHAPES)) == 2 * CONV
    assert count_traced(traced(gradients(inner), *CONV_SHAPES)) == 3 * CONV


def test_unknown_sizes_are_an_error():
    with pytest.raises(ValueError, match="every size is known"):
        count_traced(traced(conv, [None, 9, 9, 5], [3, 3, 5, 7]))


def test_gemm_rates_and_peaks():
    rates = matmul_rates({"gemm numpy float32": [0.5, 1.0, 0.25]}, 1000)
    assert rates["gemm numpy float32"] == Summary(4.0, 2.0, 8.0)
    peaks = peak_rates(
        {
            "gemm numpy float32": Summary(4.0, 2.0, 8.0),
            "gemm torch float32": Summary(5.0, 1.0, 5.0),
            "gemm torch bfloat16": Summary(9.0, 1.0, 9.0),
        }
    )
    assert peaks == {"float32": 5.0, "bfloat16": 9.0}


def test_products_are_products():
    made = matrix_products(64, bfloat16=True, with_torch=False, numpy_too=True)
    assert set(made) == {
        "gemm numpy float32",
        "gemm tensorflow float32",
        "gemm tensorflow bfloat16",
    }
    product = made["gemm numpy float32"]()
    assert product.shape == (64, 64)
    exact = float(made["gemm tensorflow float32"]())
    assert exact == pytest.approx(product[0, 0], rel=1e-5)
    assert float(made["gemm tensorflow bfloat16"]()) == pytest.approx(exact, rel=0.02)
