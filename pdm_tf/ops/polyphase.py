"""Images and kernels split into phases, so that a strided window becomes a dense one.

With stride s, pixel s*i + u of an axis is pixel i of phase u, and tap s*a + u of a
kernel is tap a of phase u. A correlation with stride s is then the sum, over the s*s
phases, of correlations without stride and with ceil(K/s) * ceil(K/s) taps.
"""

import tensorflow as tf


def tap_count(side: int, stride: int) -> int:
    """Taps of each phase along one axis: ceil(K/s)."""
    return -(-side // stride)


def split_image(
    image: tf.Tensor, height: tf.Tensor, width: tf.Tensor, side: int, stride: int
) -> tf.Tensor:
    """The phases of what the windows see.

    Args:
      image: [B, H, W, C].
      height, width: how often the window is placed down and across.
      side: K, of the window.
      stride: s, of the window.

    Returns:
      [B, s, s, rows, columns, C] with rows = height + taps - 1, columns likewise, and
      taps = ceil(K/s). What no window reaches is cut off; where the last phases end
      one pixel early there is zero.
    """
    taps = tap_count(side, stride)
    image = image[:, : stride * (height - 1) + side, : stride * (width - 1) + side]
    rest = [0, taps * stride - side]
    image = tf.pad(image, [[0, 0], rest, rest, [0, 0]])
    shape = tf.shape(image)
    rows, columns = height + taps - 1, width + taps - 1
    phases = tf.reshape(image, [shape[0], rows, stride, columns, stride, shape[3]])
    return tf.transpose(phases, [0, 2, 4, 1, 3, 5])


def split_kernel(kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """[K, K, ...] -> [taps, taps, s, s, ...], zero where a phase has no tap."""
    side = kernel.shape[0]
    taps = tap_count(side, stride)
    rest = [0, taps * stride - side]
    others = tf.shape(kernel)[2:]
    kernel = tf.pad(kernel, [rest, rest] + [[0, 0]] * (kernel.shape.rank - 2))
    kernel = tf.reshape(kernel, tf.concat([[taps, stride, taps, stride], others], 0))
    order = [0, 2, 1, 3, *range(4, kernel.shape.rank)]
    return tf.transpose(kernel, order)


def join_kernel(phases: tf.Tensor, side: int) -> tf.Tensor:
    """The inverse of `split_kernel`; what lies past the K taps is dropped."""
    taps, stride = phases.shape[0], phases.shape[2]
    order = [0, 2, 1, 3, *range(4, phases.shape.rank)]
    others = tf.shape(phases)[4:]
    kernel = tf.reshape(
        tf.transpose(phases, order),
        tf.concat([[taps * stride, taps * stride], others], 0),
    )
    return kernel[:side, :side]
