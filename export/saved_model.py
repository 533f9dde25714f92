"""Writes the SavedModel of an SR network: signatures, weights once, warm-up requests.

The folder is what TF Serving wants: `<base>/<integer>/saved_model.pb`, `variables/`,
`assets.extra/`. Warm-up requests are replayed while a version is loaded, before it
becomes available, so that the first client does not wait for what is prepared per
shape.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from export.serving_module import ServingModule
from export.signatures import SIGNATURES
from export.sources import ExportSources
from pdm_tf.core.images import encode_png, to_float

_WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"


def write_saved_model(
    sources: ExportSources, folder: Path, *, model_name: str, tile_u8: np.ndarray
) -> Path:
    """Writes the SR networks of a sources.

    Args:
      sources: with at least one SR network.
      folder: the version's folder, made here.
      model_name: as warm-up requests name the model.
      tile_u8: [T, T, 3] uint8, what the warm-up requests hold.

    Returns:
      `folder`.
    """
    variables = [v for network in sources.networks for v in network.variables]
    module = ServingModule(sources, variables)
    functions = {
        "serving_default": module.float32,
        "serving_uint8": module.uint8,
        "serving_bytes": module.encoded,
    }
    save_quietly(module, folder, functions)
    write_warmup(folder, model_name, tile_u8)
    return folder


def save_quietly(module: tf.Module, folder: Path, functions: dict[str, object]) -> None:
    """tf.saved_model.save without its line about assets that are not there."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        tf.saved_model.save(module, str(folder), signatures=functions)
    finally:
        logger.setLevel(level)


def write_warmup(folder: Path, model_name: str, tile_u8: np.ndarray) -> Path:
    """Writes one request of one tile for each signature.

    Returns:
      The file, a TFRecord of PredictionLog messages.
    """
    # Stubs of the extra "export", needed by this function alone.
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    values = {
        "float32": to_float(tile_u8)[None],
        "uint8": tile_u8[None],
        "string": np.array([encode_png(tile_u8)], object),
    }
    path = folder / _WARMUP_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, signature in SIGNATURES.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = model_name
            request.model_spec.signature_name = name
            tensor = tf.make_tensor_proto(values[signature.dtype])
            request.inputs[signature.input].CopyFrom(tensor)
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())
    return path
