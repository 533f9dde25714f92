"""Passes over an ONNX graph that make it smaller without changing its results.

tf2onnx translates operation by operation; its graph is right but clumsy. Each pass here
matches one pattern exactly and leaves everything else alone, so that a graph of another
shape stays correct and is merely less tidy:

- weights that came as graph inputs become initialisers (`onnx_graph.py` says why), and
  a Transpose of a weight is done once, here, instead of at every call;
- nearest-neighbour Resize to a size computed from the input's shape becomes a Resize
  by a constant factor. The size's whole chain (Shape, Slice, Gather, Cast, Mul, Concat)
  goes, which also kept parts of the graph on the CPU under CUDA. Bit-identical: output
  pixel i is input pixel floor(i / factor) either way;
- automatic padding becomes explicit where it does not depend on the size;
- axes of the inputs and outputs get names.

`write_fp16` makes the file that computes in float16 with float32 ends. Whether half
precision is good enough is measured afterwards on the network's own weights
(`certificate.py`): a network whose activations pass 65504 overflows.
"""

import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from graphlib import TopologicalSorter
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from pdm_tf.core.files import write_bytes_atomic
from pdm_tf.inference.model_file import SEAL, sealed
from pdm_tf.inference.ort import import_onnxruntime

# Nodes that may stand between a Resize and the Shape of its size.
_SHAPE_OPS = ("Shape", "Slice", "Gather", "Cast", "Mul", "Concat", "Squeeze")


def bind_weights(graph: onnx.GraphProto, weights: Mapping[str, np.ndarray]) -> None:
    """Turns inputs into initialisers, transposed already where the graph does it.

    Args:
      graph: with the names of `weights` among its inputs.
      weights: input name -> float32 values; names that the graph does not use are
        passed over.
    """
    kept = [entry for entry in graph.input if entry.name not in weights]
    del graph.input[:]
    graph.input.extend(kept)
    users = _users(graph)
    done = []
    for name, value in weights.items():
        stays = False
        for node in users.get(name, ()):
            if node.op_type == "Transpose":
                turned = np.transpose(value, _attribute(node, "perm"))
                _add_initializer(graph, node.output[0], turned)
                done.append(node)
            else:
                stays = True
        if stays:
            _add_initializer(graph, name, value)
    for node in done:
        graph.node.remove(node)


def rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Renames initialisers and the inputs and outputs of nodes."""
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]


def constant_resize(graph: onnx.GraphProto) -> int:
    """Gives nearest-neighbour Resizes a constant factor instead of a computed size.

    It handles only an integer factor on the two last axes of [N, C, H, W].

    Returns:
      How many were rewritten.
    """
    makers = {output: node for node in graph.node for output in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    count = 0
    for node in graph.node:
        if node.op_type != "Resize" or _attribute(node, "mode") != b"nearest":
            continue
        factor = _factor(node, makers, constants)
        if factor is None:
            continue
        scales = f"{node.output[0]}/scales"
        _add_initializer(graph, scales, np.array([1, 1, factor, factor], np.float32))
        node.input[:] = [node.input[0], "", scales]
        del node.attribute[:]
        node.attribute.extend(
            [
                helper.make_attribute("mode", "nearest"),
                helper.make_attribute("coordinate_transformation_mode", "asymmetric"),
                helper.make_attribute("nearest_mode", "floor"),
            ]
        )
        count += 1
    return count


def explicit_padding(graph: onnx.GraphProto) -> None:
    """Replaces `auto_pad` by `pads` for convolutions whose padding is the same always.

    That is so for stride 1: (window - 1) * dilation in all, the odd one at the end.
    """
    for node in graph.node:
        if node.op_type != "Conv" or _attribute(node, "auto_pad") != b"SAME_UPPER":
            continue
        window = _attribute(node, "kernel_shape")
        strides = _attribute(node, "strides") or [1] * len(window)
        dilations = _attribute(node, "dilations") or [1] * len(window)
        if any(stride != 1 for stride in strides):
            continue
        total = [(w - 1) * d for w, d in zip(window, dilations, strict=True)]
        begin = [t // 2 for t in total]
        end = [t - b for t, b in zip(total, begin, strict=True)]
        kept = [entry for entry in node.attribute if entry.name != "auto_pad"]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute("pads", begin + end)])


def drop_unused(graph: onnx.GraphProto) -> None:
    """Removes nodes and initialisers that no output depends on."""
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(list(graph.node)):
        if needed.isdisjoint(node.output):
            continue
        kept.append(node)
        needed |= set(_inputs_of(node))
    del graph.node[:]
    graph.node.extend(reversed(kept))
    used = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(used)


def name_axes(
    values: Iterable[onnx.ValueInfoProto], axes: Mapping[str, Sequence[str | int]]
) -> None:
    """Names the free axes of inputs or outputs, and fixes those given as numbers.

    Args:
      values: of a graph.
      axes: name of the value -> one name or size per axis.

    Raises:
      ValueError: a value has another number of axes.
    """
    for value in values:
        if value.name not in axes:
            continue
        shape = value.type.tensor_type.shape
        wanted = axes[value.name]
        if shape.dim and len(shape.dim) != len(wanted):
            raise ValueError(
                f"`{value.name}` must have the axes {wanted}. "
                f"Received: {len(shape.dim)} axes."
            )
        del shape.dim[:]
        for axis in wanted:
            key = "dim_value" if isinstance(axis, int) else "dim_param"
            shape.dim.add(**{key: axis})


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Orders the nodes so that each comes after those it reads from.

    onnxruntime forgives another order; the standard and its checker do not.
    """
    makers = {
        name: index
        for index, node in enumerate(graph.node)
        for name in node.output
        if name
    }
    reads = {
        index: [makers[name] for name in _inputs_of(node) if name in makers]
        for index, node in enumerate(graph.node)
    }
    ordered = [graph.node[index] for index in TopologicalSorter(reads).static_order()]
    del graph.node[:]
    graph.node.extend(ordered)


def write_checked(model: onnx.ModelProto, path: Path | str) -> Path:
    """Writes a model atomically, sealed, and runs ONNX's own checker over the file.

    Raises:
      onnx.checker.ValidationError: the model breaks the standard; a defect of ours.
    """
    path = Path(path)
    others = [entry for entry in model.metadata_props if entry.key != SEAL]
    del model.metadata_props[:]
    model.metadata_props.extend(others)
    write_bytes_atomic(path, sealed(model.SerializeToString(deterministic=True)))
    onnx.checker.check_model(str(path), full_check=True)
    return path


def write_fp16(source: Path, path: Path) -> Path:
    """Converts `source` and writes `path`, checked; inputs and outputs stay float32.

    Metadata are kept; `precision` becomes "float16".
    """
    import_onnxruntime()  # its setting comes before any import of its parts
    from onnxruntime.transformers import float16

    model = onnx.load(source)
    logger = logging.getLogger("onnxruntime.transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # A warning per tensor with values below 1e-7, which become 1e-7.
        warnings.simplefilter("ignore", UserWarning)
        half = float16.convert_float_to_float16(model, keep_io_types=True)
    logger.setLevel(level)
    sort_nodes(half.graph)  # the converter appends its casts at the end of the list
    for entry in half.metadata_props:
        if entry.key == "precision":
            entry.value = "float16"
    return write_checked(half, path)


def _factor(
    resize: onnx.NodeProto,
    makers: Mapping[str, onnx.NodeProto],
    constants: Mapping[str, onnx.TensorProto],
) -> int | None:
    """The integer by which H and W of the resized tensor are multiplied, if so."""
    if len(resize.input) < 4 or not resize.input[3]:
        return None
    source = resize.input[0]
    turn = makers.get(source)
    sources = {source}
    if turn is not None and turn.op_type == "Transpose":
        sources.add(turn.input[0])
    seen, stack, factors = set(), [resize.input[3]], []
    while stack:
        name = stack.pop()
        if name in seen or name in constants:
            continue
        seen.add(name)
        node = makers.get(name)
        if node is None or node.op_type not in _SHAPE_OPS:
            return None
        if node.op_type == "Shape":
            if node.input[0] not in sources:
                return None
            continue
        if node.op_type == "Mul":
            fixed = [constants[name] for name in node.input if name in constants]
            if len(fixed) != 1:
                return None
            factors.append(numpy_helper.to_array(fixed[0]).ravel())
        stack.extend(node.input)
    if len(factors) != 1 or len(set(factors[0].tolist())) != 1:
        return None
    factor = factors[0][0]
    return int(factor) if factor == int(factor) and factor >= 1 else None


def _inputs_of(node: onnx.NodeProto) -> list[str]:
    """Lists a node's inputs, bodies of loops and branches included."""
    names = list(node.input)
    for attribute in node.attribute:
        for graph in [attribute.g, *attribute.graphs]:
            names += [output.name for output in graph.output]
            for inner in graph.node:
                names += _inputs_of(inner)
    return names


def _users(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    return users


def _attribute(node: onnx.NodeProto, name: str) -> object:
    """An attribute's value, or None where the node leaves it at its default."""
    for attribute in node.attribute:
        if attribute.name == name:
            return helper.get_attribute_value(attribute)
    return None


def _add_initializer(graph: onnx.GraphProto, name: str, value: np.ndarray) -> None:
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
