"""What an exported folder offers, as JSON: names, types and shapes, no values."""

from pathlib import Path
from typing import Any


def signatures_of(folder: Path) -> dict[str, Any]:
    """Returns the signatures of every SavedModel and ONNX file below a folder."""
    saved = {
        path.parent.relative_to(folder).as_posix(): _of_saved_model(path.parent)
        for path in sorted(folder.rglob("saved_model.pb"))
    }
    onnx = {
        path.relative_to(folder).as_posix(): _of_onnx(path)
        for path in sorted(folder.rglob("*.onnx"))
        if not path.is_symlink()
    }
    return {"saved_models": saved, "onnx": onnx}


def _of_saved_model(folder: Path) -> dict[str, Any]:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    found = {}
    for name, signature in model.meta_graphs[0].signature_def.items():
        if not name.startswith("__"):
            found[name] = {
                "inputs": _tensors(signature.inputs),
                "outputs": _tensors(signature.outputs),
            }
    return dict(sorted(found.items()))


def _tensors(tensors: Any) -> dict[str, list]:
    return {
        name: [info.dtype, [axis.size for axis in info.tensor_shape.dim]]
        for name, info in sorted(tensors.items())
    }


def _of_onnx(path: Path) -> dict[str, Any]:
    import onnx

    model = onnx.load(path)

    def values(items: Any) -> dict[str, list]:
        return {
            item.name: [
                item.type.tensor_type.elem_type,
                [
                    axis.dim_param or axis.dim_value
                    for axis in item.type.tensor_type.shape.dim
                ],
            ]
            for item in items
        }

    return {
        "opset": [opset.version for opset in model.opset_import],
        "inputs": values(model.graph.input),
        "outputs": values(model.graph.output),
        "metadata": sorted(entry.key for entry in model.metadata_props),
    }
