"""libjpeg's file, against Pillow's."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pdm_tf.ops.jpeg_file import jpeg_file


@pytest.mark.parametrize("quality", [10, 60, 95])
def test_is_the_picture_that_pillow_stores_and_reads(quality):
    """Bit for bit: same rounding to 8 bit, tables, subsampling, DCT and upsampling."""
    rng = np.random.default_rng(quality)
    smooth = rng.random((5, 6, 3)).repeat(8, axis=0).repeat(7, axis=1)
    image = np.clip(smooth + 0.1 * rng.standard_normal(smooth.shape), -0.1, 1.1)
    image = image.astype(np.float32)
    found = jpeg_file(tf.constant(image), tf.constant(quality)).numpy()
    levels = np.floor(np.clip(image, 0, 1) * np.float32(255) + np.float32(0.5))
    file = io.BytesIO()
    picture = Image.fromarray(levels.astype(np.uint8))
    picture.save(file, "JPEG", quality=quality, subsampling=2)
    wanted = np.asarray(Image.open(file)) / np.float32(255)
    np.testing.assert_array_equal(found, wanted)
