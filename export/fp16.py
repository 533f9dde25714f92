"""From a float32 ONNX file to one that computes in float16 with float32 ends.

onnxruntime's own converter, then a topological sort: it appends casts at the end of the
node list, which onnxruntime forgives and the ONNX checker does not. Whether half
precision is good enough is measured afterwards on the network's own weights
(`certificate.py`): a network whose activations pass 65504 overflows.
"""

import logging
import warnings
from pathlib import Path

import onnx

from pdm_tf.core.files import write_bytes_atomic
from pdm_tf.inference.ort import import_onnxruntime


def write_fp16(source: Path, path: Path) -> Path:
    """Converts `source` and writes `path`, checked; inputs and outputs stay float32.

    Metadata are kept; `precision` becomes "float16".
    """
    import_onnxruntime()  # its setting comes before any import of its parts
    from onnxruntime.transformers import float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    model = onnx.load(source)
    logger = logging.getLogger("onnxruntime.transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # A warning per tensor with values below 1e-7, which become 1e-7.
        warnings.simplefilter("ignore", UserWarning)
        half = float16.convert_float_to_float16(model, keep_io_types=True)
    logger.setLevel(level)
    OnnxModel(half).topological_sort()
    for entry in half.metadata_props:
        if entry.key == "precision":
            entry.value = "float16"
    write_bytes_atomic(path, half.SerializeToString(deterministic=True))
    onnx.checker.check_model(str(path), full_check=True)
    return path
