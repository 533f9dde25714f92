"""Tiny SR networks written as ONNX by hand: no TensorFlow, known radius and weights."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_sr(
    path,
    *,
    scale=2,
    convs=2,
    gain=(),
    layout="NHWC",
    half=False,
    io=TensorProto.FLOAT,
    batch="batch",
    metadata=None,
    more=None,
    seed=0,
):
    """Writes convolutions, then depth to space: radius = number of convolutions.

    Args:
      gain: factors that the image is multiplied by, one after the other, and divided by
        again: overflow where it is bright.
      half: compute in float16 between float32 ends.
      batch: a number where the graph takes one batch size only.
      metadata: None: the contract's; {} leaves all of it out.
      more: added to the contract's.
    """
    rng = np.random.default_rng(seed)
    inner = TensorProto.FLOAT16 if half else io
    dtype = np.float16 if inner == TensorProto.FLOAT16 else np.float32
    nodes, weights = [], []

    def add(op, inputs, **attributes):
        name = f"t{len(nodes)}"
        nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def constant(value):
        name = f"w{len(weights)}"
        weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    x = "image"

    def turn_channels(x, first):
        sizes = numpy_helper.from_array(np.array([first, 3 - first]), f"sizes_{first}")
        weights.append(sizes)
        parts = [f"part_{first}", f"part_{3 - first}_"]
        nodes.append(helper.make_node("Split", [x, sizes.name], parts, axis=1))
        return add("Concat", parts[::-1], axis=1)

    if half:
        x = add("Cast", [x], to=TensorProto.FLOAT16)
    if layout == "NHWC":
        x = add("Transpose", [x], perm=[0, 3, 1, 2])
    for factor in gain:
        x = add("Mul", [x, constant(factor)])
    if gain:
        # A CPU multiplies in float32 and would leave out the way through float16, but
        # for nodes that it does compute in float16, like these.
        x = turn_channels(turn_channels(x, 1), 2)
    for factor in reversed(gain):
        x = add("Mul", [x, constant(1 / factor)])
    channels = 3
    for index in range(convs):
        last = index == convs - 1
        out = 3 * scale**2 if last else 4
        kernel = rng.normal(size=(out, channels, 3, 3)) * 0.15
        if last:
            kernel = kernel * 0.5
        bias = np.full(out, 0.5 if last else 0.1)
        x = add("Conv", [x, constant(kernel), constant(bias)], pads=[1, 1, 1, 1])
        if not last:
            x = add("Relu", [x])
        channels = out
    if scale > 1:
        x = add("DepthToSpace", [x], blocksize=scale)
    if layout == "NHWC":
        x = add("Transpose", [x], perm=[0, 2, 3, 1])
    if half:
        x = add("Cast", [x], to=TensorProto.FLOAT)
    nodes.append(helper.make_node("Identity", [x], ["sr"]))

    free = [batch, "height", "width"]
    axes = [*free, 3] if layout == "NHWC" else [free[0], 3, *free[1:]]
    out_axes = [f"{a}_sr" if a in free[1:] else a for a in axes]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", io, axes)],
        [helper.make_tensor_value_info("sr", io, out_axes)],
        weights,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    )
    if metadata is None:
        metadata = {
            "kind": "sr",
            "scale": str(scale),
            "architecture": "Tiny",
            "layout": layout,
            "range": "0..1",
            "receptive_radius": str(convs),
            "precision": "float16" if half else "float32",
            **(more or {}),
        }
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return path
