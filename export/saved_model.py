"""Writes the SavedModel of an SR network: signatures, weights once, warm-up requests.

The folder has the layout of TF Serving: `<base>/<integer>/saved_model.pb`,
`variables/`, `assets.extra/`. Warm-up requests are replayed while a version is loaded,
before it becomes available, so that the first client does not wait for preparations per
shape.

`ServingModule` tracks the raw TensorFlow variables and nothing else. A SavedModel
stores whatever a module tracks: a Keras model comes with its optimiser's moments, and
Keras's own export stores every weight twice.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from export.signatures import SIGNATURES
from export.sources import ExportSources
from pdm_tf.core.images import encode_png, to_float

# Byte 28 is how many bits a pixel has; \C is any byte.
_BMP_WITH_PALETTE = r"BM\C{26}[\x01-\x08]"
_WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"


def write_saved_model(
    sources: ExportSources, folder: Path, *, model_name: str, tile_u8: np.ndarray
) -> Path:
    """Writes the SR networks of a sources.

    Args:
      sources: with at least one SR network.
      folder: the version's folder, made here.
      model_name: as warm-up requests name the model.
      tile_u8: [T, T, 3] uint8, the content of the warm-up requests.

    Returns:
      `folder`.
    """
    module = ServingModule(sources, sources.network.variables)
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


class ServingModule(tf.Module):
    """float32, uint8 and encoded images in; the same kind out.

    Args:
      function: image [B, h, w, 3] float32 in [0, 1] -> sr float32, not clipped.
      variables: all variables that `function` reads.
    """

    def __init__(
        self,
        function: Callable[[tf.Tensor], tf.Tensor],
        variables: Sequence[keras.Variable],
    ) -> None:
        super().__init__(name="serving")
        self._function = lambda image: function(image)  # a lambda is not tracked
        self.weights = [variable.value for variable in variables]

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, "image")],
        autograph=False,
    )
    def float32(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """`image` float32 in [0, 1] -> `sr` float32, not clipped."""
        return {"sr": self._function(image)}

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "image")],
        autograph=False,
    )
    def uint8(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """`image` uint8 -> `sr` uint8, clipped and rounded half up."""
        return {"sr": self._levels(image)}

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")],
        autograph=False,
    )
    def encoded(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """`image_bytes` [B] PNG, JPEG, WebP, BMP or GIF -> `sr_bytes` [B] PNG.

        Images of a batch may differ in size: they are upscaled one by one, so that a
        request needs the memory of its largest. Alpha is dropped, 16 bits become 8, of
        an animation the first frame is used, and EXIF orientation is not applied. BMP
        files with a palette are refused, and WebP with alpha or several frames.
        """

        def one(data: tf.Tensor) -> tf.Tensor:
            # TensorFlow takes the numbers of a palette's entries for levels of grey.
            has_palette = tf.strings.regex_full_match(
                tf.strings.substr(data, 0, 29), _BMP_WITH_PALETTE
            )
            words = "A BMP file must have 24 or 32 bits per pixel, not a palette."
            with tf.control_dependencies([tf.debugging.Assert(~has_palette, [words])]):
                data = tf.identity(data)
            image = tf.io.decode_image(data, channels=3, expand_animations=False)
            image = tf.ensure_shape(image, [None, None, 3])
            return tf.io.encode_png(self._levels(image[tf.newaxis])[0])

        sr_bytes = tf.map_fn(
            one,
            image_bytes,
            fn_output_signature=tf.TensorSpec([], tf.string),
            parallel_iterations=1,
        )
        return {"sr_bytes": sr_bytes}

    def _levels(self, image: tf.Tensor) -> tf.Tensor:
        sr = self._function(tf.cast(image, tf.float32) / 255.0)
        return tf.cast(tf.floor(tf.clip_by_value(sr, 0.0, 1.0) * 255.0 + 0.5), tf.uint8)
