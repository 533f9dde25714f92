"""The module that becomes the SavedModel: three signatures around one network.

It tracks the raw TensorFlow variables and nothing else. A SavedModel stores whatever a
module tracks: a Keras model comes with its optimiser's moments, and Keras's own export
stores every weight twice. The signatures' names are those of `signatures.py`.
"""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf


class ServingModule(tf.Module):
    """float32, uint8 and encoded images in; the same kind out.

    Args:
      function: image [B, h, w, 3] float32 in [0, 1] -> sr float32, not clipped.
      variables: all that `function` reads.
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
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, "image")]
    )
    def float32(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """`image` float32 in [0, 1] -> `sr` float32, not clipped."""
        return {"sr": self._function(image)}

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "image")]
    )
    def uint8(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """`image` uint8 -> `sr` uint8, clipped and rounded half up."""
        return {"sr": self._levels(image)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def encoded(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """`image_bytes` [B] PNG, JPEG, WebP, BMP or GIF -> `sr_bytes` [B] PNG.

        Images of a batch may differ in size: they are upscaled one by one, so that a
        request needs the memory of its largest. Alpha is dropped, 16 bits become 8, of
        an animation the first picture counts, and EXIF orientation is not applied.
        """

        def one(data: tf.Tensor) -> tf.Tensor:
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
