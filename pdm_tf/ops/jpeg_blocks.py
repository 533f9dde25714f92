"""The lossy core of JPEG: 8x8 DCT, quantisation and back, on planes.

ITU-T T.81, A.3.3 and A.3.4. The DCT is two matrix products per direction, over the rows
and over the columns of a block, each on the flat block of 64 numbers: the same 64x64
matrices for all blocks, no transposition in between. Between and after the products the
numbers are rounded where libjpeg's default integer transform rounds (`jfdctint.c`,
`jidctint.c`: two fractional bits after the first pass, samples scaled by 8 after the
second), which makes nearly all decoded pixels equal those of a real codec.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pdm_tf.ops.rounding import round_half_up

SIDE = 8
# The DCT in libjpeg's factors: 2^13 sqrt(8) times the orthonormal matrix, in whole
# numbers; those of a rotation made of shared products are off by one in places. Row u
# holds frequency u at samples 0 to 3; the other four are mirrored (u even) or mirrored
# and negated (u odd).
_LEFT_HALF = [
    [8192, 8192, 8192, 8192],
    [11363, 9633, 6437, 2260],
    [10703, 4433, -4433, -10703],
    [9633, -2259, -11362, -6436],
    [8192, -8192, -8192, 8192],
    [6437, -11362, 2261, 9633],
    [4433, -10704, 10704, -4433],
    [2260, -6436, 9633, -11363],
]


def dct_matrix() -> np.ndarray:
    """[8, 8] float64: sqrt(8) times the orthonormal DCT, row u for frequency u."""
    left = np.array(_LEFT_HALF, np.float64) / 8192.0
    signs = (-1.0) ** np.arange(SIDE)[:, None]
    return np.concatenate([left, signs * left[:, ::-1]], axis=1)


_DCT, _EYE = dct_matrix(), np.eye(SIDE)
# A flat block times _ROWS has each of its rows transformed, times _COLUMNS its columns.
_ROWS, _COLUMNS = np.kron(_EYE, _DCT.T), np.kron(_DCT.T, _EYE)
# Between the passes numbers are 4 sqrt(8) times too large, coefficients 8 times.
_FORWARD_1 = (_ROWS * 4.0).astype(np.float32)
_FORWARD_2 = (_COLUMNS / 4.0).astype(np.float32)
_INVERSE_1 = (_COLUMNS.T * 4.0).astype(np.float32)
_INVERSE_2 = (_ROWS.T / 32.0).astype(np.float32)


def to_blocks(plane: tf.Tensor) -> tf.Tensor:
    """[B, 8m, 8n] -> [B, m * n, 64]."""
    size = tf.shape(plane)
    rows, columns = size[1] // SIDE, size[2] // SIDE
    blocks = tf.reshape(plane, [size[0], rows, SIDE, columns, SIDE])
    blocks = tf.transpose(blocks, [0, 1, 3, 2, 4])
    return tf.reshape(blocks, [size[0], rows * columns, SIDE * SIDE])


def from_blocks(blocks: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """The inverse of `to_blocks`; height and width are multiples of 8."""
    rows, columns = height // SIDE, width // SIDE
    plane = tf.reshape(blocks, [-1, rows, columns, SIDE, SIDE])
    return tf.reshape(tf.transpose(plane, [0, 1, 3, 2, 4]), [-1, height, width])


def forward_dct(blocks: tf.Tensor) -> tf.Tensor:
    """Samples 0..255 [B, N, 64] -> coefficients, multiples of 1/8."""
    first = round_half_up(_times(blocks - 128.0, _FORWARD_1))
    return round_half_up(_times(first, _FORWARD_2)) / 8.0


def inverse_dct(coefficients: tf.Tensor) -> tf.Tensor:
    """Coefficients [B, N, 64] -> samples, whole numbers clamped to 0..255."""
    first = round_half_up(_times(coefficients, _INVERSE_1))
    samples = round_half_up(_times(first, _INVERSE_2)) + 128.0
    return tf.clip_by_value(samples, 0.0, 255.0)


def through_blocks(
    blocks: tf.Tensor,
    table: tf.Tensor,
    rounding: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """What quantisation leaves of the samples of blocks.

    Args:
      blocks: [B, N, 64], whole numbers 0..255.
      table: [B, 64] or [B, N, 64] quantisation steps.
      rounding: of the quantised coefficients, halves away from zero.

    Returns:
      [B, N, 64], whole numbers 0..255.
    """
    if table.shape.rank == 2:
        table = table[:, None]
    return inverse_dct(rounding(forward_dct(blocks) / table) * table)


def _times(blocks: tf.Tensor, matrix: np.ndarray) -> tf.Tensor:
    size = tf.shape(blocks)
    flat = tf.matmul(tf.reshape(blocks, [-1, SIDE * SIDE]), tf.constant(matrix))
    return tf.reshape(flat, size)
