"""The HR pixels that lie under each LR pixel, as channels.

How a network on the LR grid sees an HR image: every HR pixel exactly once, where it
belongs. An antialiased reduction would take away the detail that a kernel could depend
on; picking every `scale`-th pixel would alias it.
"""

import tensorflow as tf

from pdm_tf.ops.blur import grid_geometry


def hr_footprint(hr: tf.Tensor, scale: int, grid: str, margin: int) -> tf.Tensor:
    """Rearranges HR pixels into blocks of scale x scale around each LR pixel.

    The block of LR pixel i starts (scale - 1) // 2 HR pixels before the middle of its
    blur window: it is centred on that window, up to half a pixel for an even scale.

    Args:
      hr: [B, H, W, C], H and W without `margin` on both sides divisible by `scale`.
      scale: HR pixels per LR pixel.
      grid: sampling grid, see `ops.blur`.
      margin: HR pixels on each side that belong to no LR pixel, at least
        (scale - 1) // 2, or 0: then what is missing is mirrored, as by the blur.

    Returns:
      [B, h, w, scale * scale * C]: rows of the block, columns, colours.

    Raises:
      ValueError: `margin` is neither 0 nor large enough.
    """
    window, _ = grid_geometry(scale, grid)
    before = (scale - 1) // 2
    if 0 < margin < before:
        raise ValueError(
            "`margin` must be 0 or at least (scale - 1) // 2. "
            f"Received: margin={margin}, scale={scale}."
        )
    size = tf.shape(hr)
    height, width = ((size[i] - 2 * margin) // scale for i in (1, 2))
    if margin == 0:
        pad = [before, 0]
        hr = tf.pad(hr, [[0, 0], pad, pad, [0, 0]], mode="REFLECT")
        margin = before
    start = margin + window - before
    channels = hr.shape[-1]
    hr = hr[:, start : start + scale * height, start : start + scale * width]
    blocks = tf.reshape(hr, [-1, height, scale, width, scale, channels])
    blocks = tf.transpose(blocks, [0, 1, 3, 2, 4, 5])
    return tf.reshape(blocks, [-1, height, width, scale * scale * channels])
