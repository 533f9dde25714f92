"""JPEG compression and decompression that gradients can pass.

What an 8-bit image looks like after it was stored as baseline JPEG (ITU-T T.81, JFIF)
and read again; entropy coding loses nothing and is left out. The steps and their
roundings are those of libjpeg(-turbo) with its default settings, on which most
encoders and viewers are built: YCbCr in 8 bit, chroma at full ("444") or half ("420")
resolution, edges repeated up to whole blocks, integer 8x8 DCT, the standard tables
scaled by quality, and back with triangle ("fancy") upsampling.

Gradients. All 8-bit roundings are straight-through. For the rounding of quantised
coefficients there is a choice, `GRADIENTS`. "threshold" is the default because with the
others the gradient in quality has the wrong sign: a straight-through rounding takes the
error of a coefficient for noise that grows with the step, while most coefficients fall
to zero and an image only becomes smoother (measured: BUILD_NOTES.md, "JPEG").
"""

from collections.abc import Callable

import tensorflow as tf

from pdm_tf.ops.jpeg_blocks import from_blocks, through_blocks, to_blocks
from pdm_tf.ops.jpeg_colour import (
    double,
    edge_padded,
    halve,
    rgb_to_ycbcr,
    ycbcr_to_rgb,
)
from pdm_tf.ops.jpeg_tables import CHROMINANCE, LUMINANCE, quantisation_table
from pdm_tf.ops.quantise import quantise_8bit
from pdm_tf.ops.rounding import (
    round_half_away,
    round_half_away_cubic,
    round_half_away_threshold,
)

Rounding = Callable[[tf.Tensor], tf.Tensor]

SUBSAMPLINGS = ("444", "420")
GRADIENTS = {
    "straight": round_half_away,
    "cubic": round_half_away_cubic,
    "threshold": round_half_away_threshold,
}


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
    gradient: str = "threshold",
) -> tf.Tensor:
    """Stores images as JPEG and reads them again, differentiably.

    Args:
      image: [B, H, W, 3] float in [0, 1], RGB; rounded to 8 bit first, as in
        `quantise_8bit`. The grid of blocks starts at its first pixel, as in a file.
      quality: [B] float, 1..100, as libjpeg's; whole numbers give its tables.
      subsampling: "444" or "420".
      gradient: slope of the rounding of coefficients, one of `GRADIENTS`.

    Returns:
      [B, H, W, 3] float32, multiples of 1/255 in [0, 1].

    Raises:
      ValueError: unknown subsampling or gradient, or images without three colours.
    """
    grid_period(subsampling)
    if gradient not in GRADIENTS:
        raise ValueError(
            f"`gradient` must be one of {', '.join(GRADIENTS)}. Received: {gradient!r}."
        )
    image = tf.convert_to_tensor(image)
    if image.shape.rank != 4 or image.shape[-1] != 3:
        raise ValueError(
            f"`image` must be [B, H, W, 3]. Received: shape={tuple(image.shape)}."
        )
    rounding = GRADIENTS[gradient]
    levels = quantise_8bit(tf.cast(image, tf.float32)) * 255.0
    # Multiples of 1/255 times 255 may miss the whole number by an ulp.
    levels = levels + tf.stop_gradient(tf.round(levels) - levels)
    quality = tf.cast(quality, tf.float32)
    y, cb, cr = rgb_to_ycbcr(*tf.unstack(levels, axis=-1))
    luminance = quantisation_table(LUMINANCE, quality)
    chrominance = quantisation_table(CHROMINANCE, quality)
    y = _coded([y], luminance, rounding)[0]
    if subsampling == "444":
        cb, cr = _coded([cb, cr], chrominance, rounding)
    else:
        height, width = tf.unstack(tf.shape(image)[1:3])
        halves = _coded([_halved(cb), _halved(cr)], chrominance, rounding)
        rows, columns = (height + 1) // 2, (width + 1) // 2
        cb, cr = (
            double(plane[:, :rows, :columns])[:, :height, :width] for plane in halves
        )
    decoded = tf.stack(ycbcr_to_rgb(y, cb, cr), axis=-1) / 255.0
    return tf.ensure_shape(decoded, image.shape)


def _coded(
    planes: list[tf.Tensor], table: tf.Tensor, rounding: Rounding
) -> list[tf.Tensor]:
    """Planes of one size through blocks, DCT, quantisation and back."""
    height, width = tf.unstack(tf.shape(planes[0])[1:3])
    padded = (-(-height // 8) * 8, -(-width // 8) * 8)
    blocks = [to_blocks(edge_padded(plane, *padded)) for plane in planes]
    coded = through_blocks(tf.concat(blocks, axis=1), table, rounding)
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
