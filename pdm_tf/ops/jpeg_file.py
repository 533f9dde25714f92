"""JPEG by libjpeg itself, as TensorFlow has it: quick, and without a gradient.

`ops.jpeg` computes the same in operations that gradients pass and accelerators have.
"""

import tensorflow as tf

from pdm_tf.ops.quantise import quantise_8bit


def jpeg_file(image: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
    """Encodes an image as a JPEG file and decodes it.

    Baseline, chroma halved in both directions (4:2:0), the accurate integer DCT both
    ways, triangle upsampling of chroma.

    Args:
      image: [H, W, 3] float, rounded to 8 bit as in `quantise_8bit` first; sides up to
        65,500, libjpeg's limit.
      quality: scalar integer, 1..100.

    Returns:
      [H, W, 3] float32, multiples of 1/255 in [0, 1].
    """
    levels = tf.cast(tf.round(quantise_8bit(image) * 255.0), tf.uint8)
    data = tf.raw_ops.EncodeJpegVariableQuality(images=levels, quality=quality)
    decoded = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    decoded = tf.cast(tf.ensure_shape(decoded, image.shape), tf.float32)
    return decoded / 255.0
