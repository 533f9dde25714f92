"""Compiles a Keras SR network to a function on 8-bit images."""

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.core.images import to_float, to_u8
from pdm_tf.evaluation.runner import Upscaler
from pdm_tf.inference.tiling import OVERLAP, TILE, upscale_in_tiles


def keras_upscaler(
    network: keras.Model, scale: int, *, tile: int = TILE, overlap: int = OVERLAP
) -> Upscaler:
    """Compiles a network once, for images of any size.

    The function reads the network's variables at each call, so it may be kept while
    training goes on.

    Args:
      network: lr [B, h, w, 3] float32 in [0, 1] -> sr [B, h * scale, w * scale, 3].
      scale: its factor.
      tile: images of more than tile * tile LR pixels are processed in tiles; 0: never.
      overlap: context around tiles in LR pixels (see `tiles.py` for when it is exact).

    Returns:
      lr_u8 [h, w, 3] uint8 -> sr_u8 [h * scale, w * scale, 3] uint8, clipped and
      rounded half up.
    """

    # With free height and width it is traced once, not once per image size.
    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32)])
    def run(lr: tf.Tensor) -> tf.Tensor:
        return tf.cast(network(lr, training=False), tf.float32)

    def whole(lr: np.ndarray) -> np.ndarray:
        return to_u8(run(tf.constant(lr[None])).numpy()[0])

    def upscale(lr_u8: np.ndarray) -> np.ndarray:
        return upscale_in_tiles(
            whole, to_float(lr_u8), scale, tile=tile, overlap=overlap
        )

    return upscale
