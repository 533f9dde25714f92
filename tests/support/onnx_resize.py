"""ONNX files that resize: networks whose results are known without any network."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RADIUS = {"nearest": 1, "cubic": 2, "linear": 1}
_GRIDS = {"pixel0": "asymmetric", "half_pixel": "half_pixel"}


def write_resize(path, *, scale=4, mode="nearest", grid=None, said=None):
    """Writes nearest or bicubic (A = -0.5) upscaling with the metadata of the contract.

    Both give back a constant image as it is, up to its border.

    Args:
      mode: or "linear", which puts LR pixels exactly on the grid that is given.
      grid: of "linear".
      said: the grid that the metadata name; None: they name none.
    """
    scales = numpy_helper.from_array(np.float32([1, 1, scale, scale]), "scales")
    nearest = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    cubic = {
        "coordinate_transformation_mode": "half_pixel",
        "cubic_coeff_a": -0.5,
        "exclude_outside": 1,
    }
    linear = {"coordinate_transformation_mode": _GRIDS.get(grid)}
    nodes = [
        helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "Resize",
            ["planes", "", "scales"],
            ["large"],
            mode=mode,
            **{"nearest": nearest, "cubic": cubic, "linear": linear}[mode],
        ),
        helper.make_node("Transpose", ["large"], ["sr"], perm=[0, 2, 3, 1]),
    ]
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        mode,
        [tensor("image", TensorProto.FLOAT, ["batch", "height", "width", 3])],
        [tensor("sr", TensorProto.FLOAT, ["batch", "height_sr", "width_sr", 3])],
        [scales],
    )
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    metadata = {
        "kind": "sr",
        "scale": str(scale),
        "architecture": mode,
        "layout": "NHWC",
        "range": "0..1",
        "receptive_radius": str(RADIUS[mode]),
        "precision": "float32",
        **({"grid": said} if said else {}),
    }
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return path
