"""Quantisation tables of JPEG: the standard ones and libjpeg's scaling by quality.

ITU-T T.81, Annex K, tables K.1 (luminance) and K.2 (chrominance). `quality` 1 to 100
scales them as `jpeg_quality_scaling` and `jpeg_add_quant_table` of libjpeg do (50: the
standard tables; 100: all ones), which nearly every encoder has taken over.
"""

import numpy as np
import tensorflow as tf

from pdm_tf.ops.rounding import round_down

LUMINANCE = np.array(
    [
        *(16, 11, 10, 16, 24, 40, 51, 61),
        *(12, 12, 14, 19, 26, 58, 60, 55),
        *(14, 13, 16, 24, 40, 57, 69, 56),
        *(14, 17, 22, 29, 51, 87, 80, 62),
        *(18, 22, 37, 56, 68, 109, 103, 77),
        *(24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101),
        *(72, 92, 95, 98, 112, 100, 103, 99),
    ],
    np.float32,
)
CHROMINANCE = np.array(
    [
        *(17, 18, 24, 47, 99, 99, 99, 99),
        *(18, 21, 26, 66, 99, 99, 99, 99),
        *(24, 26, 56, 99, 99, 99, 99, 99),
        *(47, 66, 99, 99, 99, 99, 99, 99),
        *(99, 99, 99, 99, 99, 99, 99, 99),
        *(99, 99, 99, 99, 99, 99, 99, 99),
        *(99, 99, 99, 99, 99, 99, 99, 99),
        *(99, 99, 99, 99, 99, 99, 99, 99),
    ],
    np.float32,
)


def quantisation_table(standard: np.ndarray, quality: tf.Tensor) -> tf.Tensor:
    """The standard table scaled by quality.

    At whole qualities it is libjpeg's table to the digit; between them the same
    formula, so a table is always one of whole numbers. The gradient takes the
    formula's roundings as if they were none.

    Args:
      standard: [64] of Annex K, row-major.
      quality: [B] float32; outside 1..100 it is taken as the nearer end, without
        gradient.

    Returns:
      [B, 64] float32 whole numbers in 1..255.
    """
    quality = tf.clip_by_value(quality, 1.0, 100.0)[:, None]
    # Both divisions get a little more than whole numbers have: a compiler may turn them
    # into products with a reciprocal, which can fall short of an exact quotient.
    percent = tf.where(
        quality < 50.0, round_down(5000.0 / quality + 1e-3), 200.0 - 2.0 * quality
    )
    table = round_down((tf.constant(standard) * percent + 50.5) / 100.0)
    return tf.clip_by_value(table, 1.0, 255.0)
