"""Counting the arithmetic of an ONNX graph for one input size.

Multiplications and additions of convolutions and matrix products, two for each
multiply-accumulate; activations and additions of whole images are left out, as usual in
this field. For EDSR-baseline by 4 that is 3.97 MFLOP per LR pixel.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pdm_tf.benchmarks.subject import import_onnx, load_onnx


def count(path: Path, lr_shape: tuple[int, int, int, int]) -> int | None:
    """Returns the floating-point operations of one call.

    Args:
      path: an ONNX file with one input, in either layout.
      lr_shape: [B, h, w, 3] of that input.

    Returns:
      The number, or None when a size is only known once the graph has run.
    """
    onnx = import_onnx()
    model = load_onnx(path)
    _fix_input(model.graph, lr_shape)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {entry.name: tuple(entry.dims) for entry in inferred.initializer}
    for entry in (*inferred.input, *inferred.value_info, *inferred.output):
        shapes.setdefault(entry.name, _shape(entry))
    total = 0
    for node in inferred.node:
        if node.op_type not in _COUNTED:
            continue
        known = [shapes.get(name) for name in (*node.input[:2], node.output[0])]
        if any(shape is None for shape in known):
            return None
        total += 2 * _COUNTED[node.op_type](node, *known)
    return total


def _convolution(
    node: Any, x: Sequence[int], kernel: Sequence[int], out: Sequence[int]
) -> int:
    del node, x  # kernel [out, in / groups, kh, kw]: every output sums over the rest
    return math.prod(out) * math.prod(kernel[1:])


def _transposed(
    node: Any, x: Sequence[int], kernel: Sequence[int], out: Sequence[int]
) -> int:
    del node, out  # kernel [in, out / groups, kh, kw]: every input goes to the rest
    return math.prod(x) * math.prod(kernel[1:])


def _product(node: Any, x: Sequence[int], y: Sequence[int], out: Sequence[int]) -> int:
    del y
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return math.prod(out) * x[-2 if transposed else -1]


# Operation -> multiply-accumulates, from the shapes of two inputs and the output.
_COUNTED = {
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "Gemm": _product,
    "MatMul": _product,
}


def _fix_input(graph: Any, lr_shape: tuple[int, int, int, int]) -> None:
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


def _shape(entry: Any) -> tuple[int, ...] | None:
    axes = entry.type.tensor_type.shape.dim
    sizes = tuple(axis.dim_value for axis in axes)
    is_known = entry.type.tensor_type.HasField("shape") and all(sizes)
    return sizes if is_known else None
