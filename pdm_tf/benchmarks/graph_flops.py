"""Counting the arithmetic of a traced TensorFlow function.

Multiplications and additions of convolutions and matrix products, forward and backward,
two for each multiply-accumulate; everything else is left out, as usual in this field. A
trace holds more than will run (the gradient of every operation for every input), so
only what the results or side effects need is counted, as TensorFlow prunes it.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf


def count(function: Any) -> int:
    """Returns the floating-point operations of one call.

    Functions called inside, compiled ones too, are counted as often as they are called,
    with all of their results; the body of a loop, of which nobody knows how often it
    runs, counts once.

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
        if op.type in _COUNTED:
            total += 2 * _COUNTED[op.type](op)
        for name in _called(op):
            # TensorFlow has no public way from a call to the graph of its function.
            total += _count_graph(graph._get_function(name).graph)
    return total


def _needed(roots: Iterable[tf.Operation]) -> set[tf.Operation]:
    """The operations that the roots depend on, and themselves."""
    found: set[tf.Operation] = set()
    left = list(roots)
    while left:
        op = left.pop()
        if op not in found:
            found.add(op)
            left += [tensor.op for tensor in op.inputs]
            left += op.control_inputs
    return found


def _called(op: tf.Operation) -> list[str]:
    attributes = op.node_def.attr.values()
    named = [attribute.func.name for attribute in attributes if attribute.func.name]
    for attribute in attributes:
        named += [function.name for function in attribute.list.func]
    return named


def _sizes(op: tf.Operation, tensor: tf.Tensor) -> list[int]:
    if not tensor.shape.is_fully_defined():
        raise ValueError(
            "The arithmetic can be counted only where every size is known when the "
            f"function is traced. Received: {op.name} ({op.type}), {tensor.shape}."
        )
    return tensor.shape.as_list()


def _convolution(
    kernel: tuple[str, int], values: tuple[str, int], kernel_axes: int
) -> Callable[[tf.Operation], int]:
    """Every one of `values` meets the first `kernel_axes` axes of the kernel."""

    def macs(op: tf.Operation) -> int:
        shapes = [
            _sizes(op, (op.inputs if side == "input" else op.outputs)[index])
            for side, index in (kernel, values)
        ]
        return math.prod(shapes[0][:kernel_axes]) * math.prod(shapes[1])

    return macs


def _product(op: tf.Operation) -> int:
    transposed = any(op.node_def.attr[key].b for key in ("transpose_a", "adj_x"))
    inner = _sizes(op, op.inputs[0])[-2 if transposed else -1]
    return inner * math.prod(_sizes(op, op.outputs[0]))


def _einsum(op: tf.Operation) -> int:
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
_COUNTED: dict[str, Callable[[tf.Operation], int]] = {
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
