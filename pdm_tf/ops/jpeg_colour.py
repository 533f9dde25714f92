"""Colour of JPEG: JFIF's YCbCr in 8 bit, and chroma at half the resolution.

All planes are [B, H, W] float32 that hold whole numbers 0..255. Rounding follows
libjpeg's integer code to the digit (`jccolor.c`, `jcsample.c`, `jdsample.c`,
`jdcolor.c`): 16-bit fixed-point factors, whose products and sums float32 holds exactly,
and the alternating rounding of its averages. Gradients pass the roundings unchanged and
stop where a value was clamped.
"""

import tensorflow as tf

from pdm_tf.ops.rounding import round_down, round_half_up

Planes = tuple[tf.Tensor, tf.Tensor, tf.Tensor]

_ONE = 65536.0
_CENTRE = 128.0


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
