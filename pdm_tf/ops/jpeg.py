"""JPEG compression and decompression that gradients can pass.

Computes how an 8-bit image looks after it was stored as baseline JPEG (ITU-T T.81,
JFIF) and read again; entropy coding loses nothing and is left out. The steps and their
roundings are those of libjpeg(-turbo) with its default settings, on which most encoders
and viewers are built: YCbCr in 8 bit, chroma at full ("444") or half ("420")
resolution, edges repeated up to whole blocks, integer 8x8 DCT, the standard tables
scaled by quality, and back with triangle ("fancy") upsampling.

*Colour* (`jccolor.c`, `jcsample.c`, `jdsample.c`, `jdcolor.c`): planes are [B, H, W]
float32 that hold whole numbers 0..255; the 16-bit fixed-point factors have products
and sums that float32 holds exactly; halves of averages go down and up in turn.
Gradients pass these roundings unchanged and stop where a value was clamped.

*Blocks* (A.3.3 and A.3.4; `jfdctint.c`, `jidctint.c`): the DCT is two matrix products
per direction, over the rows and over the columns of a block, each on the flat block of
64 numbers: the same 64x64 matrices for all blocks, no transposition in between. Between
and after the products the numbers are rounded where libjpeg's default integer transform
rounds (two fractional bits after the first pass, samples scaled by 8 after the second),
which makes nearly all decoded pixels equal those of a real codec.

*Tables* (Annex K): `quality` 1 to 100 scales the standard ones as
`jpeg_quality_scaling` and `jpeg_add_quant_table` of libjpeg do (50: the standard
tables; 100: all ones), which nearly every encoder has taken over.

*Gradients.* All 8-bit roundings are straight-through. The rounding of quantised
coefficients is not (`round_half_away`): with slope 1, or with the cubic's of Shin and
Song ("JPEG-resistant Adversarial Images", NIPS 2017 workshop), the gradient in quality
has the wrong sign. A straight-through rounding takes the error of a coefficient for
noise that grows with the step, while most coefficients fall to zero and an image only
becomes smoother (measured: docs/decisions/0026-jpeg.md).
"""

import numpy as np
import tensorflow as tf

from pdm_tf.core.jpeg_tables import CHROMINANCE, LUMINANCE, SUBSAMPLINGS
from pdm_tf.ops.quantise import (
    quantise_8bit,
    round_down,
    round_half_away,
    round_half_up,
)

Planes = tuple[tf.Tensor, tf.Tensor, tf.Tensor]

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

_ONE = 65536.0
_CENTRE = 128.0


def grid_period(subsampling: str) -> int:
    """Pixels after which the grid of blocks repeats: 8, or 16 with halved chroma.

    Raises:
      ValueError: unknown subsampling.
    """
    if subsampling not in SUBSAMPLINGS:
        raise ValueError(
            f"`subsampling` must be one of {', '.join(SUBSAMPLINGS)}. "
            f"Received: {subsampling!r}."
        )
    return 16 if subsampling == "420" else 8


def jpeg(
    image: tf.Tensor,
    quality: tf.Tensor,
    *,
    subsampling: str = "420",
) -> tf.Tensor:
    """Stores images as JPEG and reads them again, differentiably.

    Args:
      image: [B, H, W, 3] float in [0, 1], RGB; rounded to 8 bit first, as in
        `quantise_8bit`. The grid of blocks starts at its first pixel, as in a file.
      quality: [B] float, 1..100, as libjpeg's; whole numbers give its tables.
      subsampling: "444" or "420".

    Returns:
      [B, H, W, 3] float32, multiples of 1/255 in [0, 1].

    Raises:
      ValueError: unknown subsampling, or images without three colours.
    """
    grid_period(subsampling)
    image = tf.convert_to_tensor(image)
    if image.shape.rank != 4 or image.shape[-1] != 3:
        raise ValueError(
            f"`image` must be [B, H, W, 3]. Received: shape={tuple(image.shape)}."
        )
    levels = quantise_8bit(tf.cast(image, tf.float32)) * 255.0
    # Multiples of 1/255 times 255 may miss the whole number by an ulp.
    levels = levels + tf.stop_gradient(tf.round(levels) - levels)
    quality = tf.cast(quality, tf.float32)
    y, cb, cr = rgb_to_ycbcr(*tf.unstack(levels, axis=-1))
    luminance = quantisation_table(LUMINANCE, quality)
    chrominance = quantisation_table(CHROMINANCE, quality)
    y = _coded([y], luminance)[0]
    if subsampling == "444":
        cb, cr = _coded([cb, cr], chrominance)
    else:
        height, width = tf.unstack(tf.shape(image)[1:3])
        halves = _coded([_halved(cb), _halved(cr)], chrominance)
        rows, columns = (height + 1) // 2, (width + 1) // 2
        cb, cr = (
            double(plane[:, :rows, :columns])[:, :height, :width] for plane in halves
        )
    decoded = tf.stack(ycbcr_to_rgb(y, cb, cr), axis=-1) / 255.0
    return tf.ensure_shape(decoded, image.shape)


def _coded(planes: list[tf.Tensor], table: tf.Tensor) -> list[tf.Tensor]:
    """Planes of one size through blocks, DCT, quantisation and back."""
    height, width = tf.unstack(tf.shape(planes[0])[1:3])
    padded = (-(-height // 8) * 8, -(-width // 8) * 8)
    blocks = [to_blocks(edge_padded(plane, *padded)) for plane in planes]
    coded = through_blocks(tf.concat(blocks, axis=1), table)
    return [
        from_blocks(part, *padded)[:, :height, :width]
        for part in tf.split(coded, len(planes), axis=1)
    ]


def _halved(plane: tf.Tensor) -> tf.Tensor:
    """2x2 averages, [B, H, W] -> [B, ceil(H/2), n] with n a multiple of 8.

    libjpeg repeats the last column before averaging, up to the last block, but the last
    row only to an even number: below, it is averages that are repeated.
    """
    height, width = tf.unstack(tf.shape(plane)[1:3])
    return halve(edge_padded(plane, height + height % 2, -(-width // 16) * 16))


def rgb_to_ycbcr(red: tf.Tensor, green: tf.Tensor, blue: tf.Tensor) -> Planes:
    """JFIF's transform in 16-bit fixed point.

    Args:
      red, green, blue: [B, H, W], whole numbers 0..255.

    Returns:
      Y, Cb, Cr: the same, Cb and Cr with 128 for grey.
    """
    y = 19595.0 * red + 38470.0 * green + 7471.0 * blue
    cb = -11059.0 * red - 21709.0 * green + 32768.0 * blue
    cr = 32768.0 * red - 27439.0 * green - 5329.0 * blue
    # libjpeg rounds Y half up and the others half down.
    almost_half = 32767.0
    return (
        round_down((y + 32768.0) / _ONE),
        round_down((cb + almost_half) / _ONE) + _CENTRE,
        round_down((cr + almost_half) / _ONE) + _CENTRE,
    )


def ycbcr_to_rgb(y: tf.Tensor, cb: tf.Tensor, cr: tf.Tensor) -> Planes:
    """The inverse, clamped to 0..255."""
    cb, cr = cb - _CENTRE, cr - _CENTRE
    red = y + round_half_up(91881.0 / _ONE * cr)
    green = y + round_half_up((-22554.0 * cb - 46802.0 * cr) / _ONE)
    blue = y + round_half_up(116130.0 / _ONE * cb)
    return tuple(tf.clip_by_value(plane, 0.0, 255.0) for plane in (red, green, blue))


def edge_padded(plane: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Repeats the last row and column up to the wanted size.

    Args:
      plane: [B, H, W].
      height, width: scalars, at least H and W.
    """
    size = tf.shape(plane)
    plane = tf.concat([plane, tf.repeat(plane[:, -1:], height - size[1], axis=1)], 1)
    edge = tf.repeat(plane[:, :, -1:], width - size[2], axis=2)
    return tf.concat([plane, edge], 2)


def halve(plane: tf.Tensor) -> tf.Tensor:
    """Averages squares of 2x2, as libjpeg's h2v2_downsample.

    Sums are divided by 4 after adding 1 in even and 2 in odd columns, so that halves
    go down and up in turn and the mean colour stays.

    Args:
      plane: [B, 2h, 2w], whole numbers.

    Returns:
      [B, h, w], whole numbers.
    """
    rows = plane[:, 0::2] + plane[:, 1::2]
    sums = rows[:, :, 0::2] + rows[:, :, 1::2]
    bias = 1.0 + tf.cast(tf.range(tf.shape(sums)[2]) % 2, sums.dtype)
    return round_down((sums + bias) / 4.0)


def double(plane: tf.Tensor) -> tf.Tensor:
    """Triangle ("fancy") upsampling, as libjpeg's h2v2_fancy_upsample.

    Each new sample is 9/16 of the nearest old one, 3/16 of the next nearest in either
    direction and 1/16 of the one across; at the border the plane is repeated.

    libjpeg repeats pixels instead where the plane is at most two wide; this does not.

    Args:
      plane: [B, h, w], whole numbers.

    Returns:
      [B, 2h, 2w], whole numbers.
    """
    above = tf.concat([plane[:, :1], plane[:, :-1]], 1)
    below = tf.concat([plane[:, 1:], plane[:, -1:]], 1)
    rows = _interleaved(3.0 * plane + above, 3.0 * plane + below, axis=1)
    left = tf.concat([rows[:, :, :1], rows[:, :, :-1]], 2)
    right = tf.concat([rows[:, :, 1:], rows[:, :, -1:]], 2)
    even = round_down((3.0 * rows + left + 8.0) / 16.0)
    odd = round_down((3.0 * rows + right + 7.0) / 16.0)
    return _interleaved(even, odd, axis=2)


def _interleaved(even: tf.Tensor, odd: tf.Tensor, axis: int) -> tf.Tensor:
    """[B, h, w] twice -> even, odd, even, ... along an axis."""
    size = tf.shape(even)
    stacked = tf.stack([even, odd], axis=axis + 1)
    shape = [size[0], size[1], size[2]]
    shape[axis] *= 2
    return tf.reshape(stacked, shape)


def quantisation_table(standard: np.ndarray, quality: tf.Tensor) -> tf.Tensor:
    """The standard table scaled by quality.

    At whole qualities it is libjpeg's table to the digit; between them the same
    formula, so a table always holds whole numbers. The gradient ignores the formula's
    roundings.

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
    """Inverts `to_blocks`; height and width are multiples of 8."""
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


def through_blocks(blocks: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
    """Takes blocks of samples through DCT, quantisation and back.

    Args:
      blocks: [B, N, 64], whole numbers 0..255.
      table: [B, 64] or [B, N, 64] quantisation steps.

    Returns:
      [B, N, 64], whole numbers 0..255.
    """
    if table.shape.rank == 2:
        table = table[:, None]
    return inverse_dct(round_half_away(forward_dct(blocks) / table) * table)


def _times(blocks: tf.Tensor, matrix: np.ndarray) -> tf.Tensor:
    size = tf.shape(blocks)
    flat = tf.matmul(tf.reshape(blocks, [-1, SIDE * SIDE]), tf.constant(matrix))
    return tf.reshape(flat, size)
