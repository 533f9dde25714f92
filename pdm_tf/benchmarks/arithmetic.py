"""Counts the arithmetic of a task, and measures how much this machine can reach.

*Counted* are multiplications and additions of convolutions and matrix products, two for
each multiply-accumulate; everything else is left out, as usual in this field.
`count_onnx` counts an ONNX graph for one input size: EDSR-baseline by 4 takes 3.97
MFLOP per LR pixel. `count_traced` counts a traced TensorFlow function, forward and
backward. A trace holds more than will run (the gradient of every operation for every
input), so only operations that results or side effects need are counted, as TensorFlow
prunes the rest.

*Reached* is the rate of plain matrix products. A convolution is a matrix product with
extra memory traffic, so no network runs faster than the best product of its precision.
Every library that takes part brings its own, is measured in the same rounds as the
networks, and the best median is the peak.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from pdm_tf.benchmarks.measuring import Summary, summary
from pdm_tf.benchmarks.sides import import_torch_side
from pdm_tf.benchmarks.timed import import_onnx, load_onnx

if TYPE_CHECKING:  # ONNX files are counted without TensorFlow
    import tensorflow as tf


def count_onnx(path: Path, lr_shape: tuple[int, int, int, int]) -> int | None:
    """Returns the floating-point operations of one call.

    Args:
      path: an ONNX file with one input, in either layout.
      lr_shape: [B, h, w, 3] of that input.

    Returns:
      The number, or None when a size is only known once the graph has run.
    """
    onnx = import_onnx()
    model = load_onnx(path)
    _fix_onnx_input(model.graph, lr_shape)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {entry.name: tuple(entry.dims) for entry in inferred.initializer}
    for entry in (*inferred.input, *inferred.value_info, *inferred.output):
        shapes.setdefault(entry.name, _onnx_shape(entry))
    total = 0
    for node in inferred.node:
        if node.op_type not in _COUNTED_ONNX:
            continue
        known = [shapes.get(name) for name in (*node.input[:2], node.output[0])]
        if any(shape is None for shape in known):
            return None
        total += 2 * _COUNTED_ONNX[node.op_type](node, *known)
    return total


def _onnx_convolution(
    node: Any, x: Sequence[int], kernel: Sequence[int], out: Sequence[int]
) -> int:
    del node, x  # kernel [out, in / groups, kh, kw]: every output sums over the rest
    return math.prod(out) * math.prod(kernel[1:])


def _onnx_transposed(
    node: Any, x: Sequence[int], kernel: Sequence[int], out: Sequence[int]
) -> int:
    del node, out  # kernel [in, out / groups, kh, kw]: every input goes to the rest
    return math.prod(x) * math.prod(kernel[1:])


def _onnx_product(
    node: Any, x: Sequence[int], y: Sequence[int], out: Sequence[int]
) -> int:
    del y
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return math.prod(out) * x[-2 if transposed else -1]


# Operation -> multiply-accumulates, from the shapes of two inputs and the output.
_COUNTED_ONNX = {
    "Conv": _onnx_convolution,
    "ConvTranspose": _onnx_transposed,
    "Gemm": _onnx_product,
    "MatMul": _onnx_product,
}


def _fix_onnx_input(graph: Any, lr_shape: tuple[int, int, int, int]) -> None:
    """Writes sizes into the graph's input, and forgets the free ones that follow."""
    batch, height, width, channels = lr_shape
    constants = {entry.name for entry in graph.initializer}
    entry = next(entry for entry in graph.input if entry.name not in constants)
    axes = entry.type.tensor_type.shape.dim
    is_nchw = axes[1].dim_value == channels != axes[3].dim_value
    shape = (batch, channels, height, width) if is_nchw else lr_shape
    for axis, size in zip(axes, shape, strict=True):
        axis.Clear()
        axis.dim_value = size
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")


def _onnx_shape(entry: Any) -> tuple[int, ...] | None:
    axes = entry.type.tensor_type.shape.dim
    sizes = tuple(axis.dim_value for axis in axes)
    is_known = entry.type.tensor_type.HasField("shape") and all(sizes)
    return sizes if is_known else None


def count_traced(function: Any) -> int:
    """Returns the floating-point operations of one call.

    Functions called inside, compiled ones too, are counted as often as they are called,
    with all of their results; the body of a loop, whose number of runs is unknown,
    counts once.

    Args:
      function: a concrete function of inputs with static sizes.

    Raises:
      ValueError: a size is only known once the function runs.
    """
    return _count_graph(function.graph)


def _count_graph(graph: Any) -> int:
    total = 0
    roots = [tensor.op for tensor in graph.outputs]
    for op in _needed([*roots, *graph.control_outputs]):
        if op.type in _COUNTED_OPS:
            total += 2 * _COUNTED_OPS[op.type](op)
        for name in _called(op):
            # TensorFlow has no public way from a call to the graph of its function.
            total += _count_graph(graph._get_function(name).graph)
    return total


def _needed(roots: Iterable["tf.Operation"]) -> set["tf.Operation"]:
    """Finds the operations that the roots depend on, and the roots themselves."""
    found: set[Any] = set()
    left = list(roots)
    while left:
        op = left.pop()
        if op not in found:
            found.add(op)
            left += [tensor.op for tensor in op.inputs]
            left += op.control_inputs
    return found


def _called(op: "tf.Operation") -> list[str]:
    attributes = op.node_def.attr.values()
    named = [attribute.func.name for attribute in attributes if attribute.func.name]
    for attribute in attributes:
        named += [function.name for function in attribute.list.func]
    return named


def _sizes(op: "tf.Operation", tensor: "tf.Tensor") -> list[int]:
    if not tensor.shape.is_fully_defined():
        raise ValueError(
            "The arithmetic can be counted only where every size is known when the "
            f"function is traced. Received: {op.name} ({op.type}), {tensor.shape}."
        )
    return tensor.shape.as_list()


def _convolution(
    kernel: tuple[str, int], values: tuple[str, int], kernel_axes: int
) -> Callable[["tf.Operation"], int]:
    """Every one of `values` meets the first `kernel_axes` axes of the kernel."""

    def macs(op: "tf.Operation") -> int:
        shapes = [
            _sizes(op, (op.inputs if side == "input" else op.outputs)[index])
            for side, index in (kernel, values)
        ]
        return math.prod(shapes[0][:kernel_axes]) * math.prod(shapes[1])

    return macs


def _product(op: "tf.Operation") -> int:
    transposed = any(op.node_def.attr[key].b for key in ("transpose_a", "adj_x"))
    inner = _sizes(op, op.inputs[0])[-2 if transposed else -1]
    return inner * math.prod(_sizes(op, op.outputs[0]))


def _einsum(op: "tf.Operation") -> int:
    equation = op.get_attr("equation").decode()
    sizes: dict[str, int] = {}
    for labels, tensor in zip(
        equation.partition("->")[0].split(","), op.inputs, strict=True
    ):
        if "." in labels:
            raise ValueError(
                "Einsum is counted without an ellipsis. Received: "
                f"{op.name}, {equation}."
            )
        sizes.update(zip(labels, _sizes(op, tensor), strict=True))
    return math.prod(sizes.values()) if len(op.inputs) > 1 else 0


# Operation -> multiply-accumulates. A kernel is [kh, kw, in / groups, out], a depthwise
# one [kh, kw, in, multiplier]. Each gradient of a convolution takes as much arithmetic
# as the convolution: `values` are its results, or the gradients that come back to them.
_COUNTED_OPS: dict[str, Callable[["tf.Operation"], int]] = {
    "Conv2D": _convolution(("input", 1), ("output", 0), 3),
    "Conv2DBackpropInput": _convolution(("input", 1), ("input", 2), 3),
    "Conv2DBackpropFilter": _convolution(("output", 0), ("input", 2), 3),
    "DepthwiseConv2dNative": _convolution(("input", 1), ("output", 0), 2),
    "DepthwiseConv2dNativeBackpropInput": _convolution(("input", 1), ("input", 2), 2),
    "DepthwiseConv2dNativeBackpropFilter": _convolution(("output", 0), ("input", 2), 2),
    "MatMul": _product,
    "BatchMatMul": _product,
    "BatchMatMulV2": _product,
    "BatchMatMulV3": _product,
    "Einsum": _einsum,
}


def matrix_products(
    size: int,
    *,
    bfloat16: bool,
    with_torch: bool,
    numpy_too: bool,
) -> dict[str, Callable[[], object]]:
    """Returns the products to time: "gemm LIBRARY PRECISION" -> one product.

    Args:
      size: side of the square matrices.
      bfloat16: also in that precision.
      with_torch: PyTorch's too.
      numpy_too: False when a number of threads was requested, which NumPy's library
        would not know.
    """
    import tensorflow

    torch = import_torch_side("torch_networks").torch if with_torch else None
    left = np.random.default_rng(0).standard_normal((size, size), np.float32)
    right = np.ascontiguousarray(left.T)
    sides = {"gemm numpy float32": lambda: left @ right} if numpy_too else {}
    for precision in ("float32", "bfloat16") if bfloat16 else ("float32",):
        product = _tensorflow_product(tensorflow, left, right, precision)
        sides[f"gemm tensorflow {precision}"] = product
        if torch is not None:
            sides[f"gemm torch {precision}"] = _torch_product(
                torch, left, right, precision
            )
    return sides


def matmul_rates(
    seconds: Mapping[str, Sequence[float]], size: int
) -> dict[str, Summary]:
    """Returns GFLOP/s of each product; one takes 2 * size**3 operations."""
    work = 2e-9 * size**3
    return {
        name: summary([work / value for value in values])
        for name, values in seconds.items()
    }


def peak_rates(gflops: Mapping[str, Summary]) -> dict[str, float]:
    """Returns the best median of each precision, in GFLOP/s."""
    best: dict[str, float] = {}
    for name, rate in gflops.items():
        precision = name.rpartition(" ")[2]
        best[precision] = max(best.get(precision, 0.0), rate.median)
    return best


def rates_to_json(gflops: Mapping[str, Summary], size: int) -> dict[str, Any]:
    """Returns the summary of the products for a report."""
    return {
        "size": size,
        "gflops": {name: rate.to_json() for name, rate in gflops.items()},
        "peak_gflops": peak_rates(gflops),
    }


def _tensorflow_product(
    tf: ModuleType, left: np.ndarray, right: np.ndarray, precision: str
) -> Callable[[], object]:
    with tf.device("/CPU:0"):
        a, b = (tf.cast(tf.constant(m), precision) for m in (left, right))

    def run() -> object:
        with tf.device("/CPU:0"):
            return tf.matmul(a, b)[0, 0].numpy()  # waits for the result

    return run


def _torch_product(
    torch: ModuleType, left: np.ndarray, right: np.ndarray, precision: str
) -> Callable[[], object]:
    dtype = getattr(torch, precision)
    a, b = (torch.from_numpy(m).to(dtype) for m in (left, right))
    return lambda: a @ b
