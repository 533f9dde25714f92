"""The blur as one matrix product per image and a sum of shifted parts of the result.

On the phases of image and kernel (see `polyphase`) every tap (a, b) of all s*s phases
meets every pixel in a matrix product [taps*taps, s*s] x [s*s, pixels]; part (a, b) of
what it gives counts for the output pixel that lies a rows and b columns before:

    y[i, j] = sum over a, b of product[a, b, i + a, j + b].

The gradients are matrix products too. The sum's own is the spreading of y's gradient
to all the places it came from; TensorFlow would add up taps*taps zero-padded images
for it, so each of the two is declared to be the other's gradient.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

from pdm_tf.ops.polyphase import split_image, split_kernel, tap_count

Gradient = Callable[[tf.Tensor], tf.Tensor]


def correlate_by_products(hr: tf.Tensor, kernels: tf.Tensor, stride: int) -> tf.Tensor:
    """Correlates each image with its own kernel, without padding.

    Linear in both arguments; derivatives of any order are right.

    Args:
      hr: [B, H, W, C] float32 or float64.
      kernels: [B, K, K] of the same type, K known statically, at most H and W.
      stride: >= 1, of both axes.

    Returns:
      [B, h, w, C] with h = (H - K) // stride + 1, likewise w.
    """
    side = kernels.shape[1]
    taps = tap_count(side, stride)
    batch, height, width, channels = tf.unstack(tf.shape(hr))
    height, width = (height - side) // stride + 1, (width - side) // stride + 1
    pixels = split_image(hr, height, width, side, stride)
    pixels = tf.reshape(pixels, [batch, stride * stride, -1])
    weights = split_kernel(tf.transpose(kernels, [1, 2, 0]), stride)
    weights = tf.reshape(weights, [taps * taps, stride * stride, batch])
    products = tf.matmul(tf.transpose(weights, [2, 0, 1]), pixels)
    products = tf.reshape(
        products,
        [batch, taps, taps, height + taps - 1, width + taps - 1, channels],
    )
    return sum_shifted(products)


def sum_shifted(parts: tf.Tensor) -> tf.Tensor:
    """The sum of the parts, of part (a, b) what lies from row a and column b on.

    [B, n, n, h+n-1, w+n-1, C] -> [B, h, w, C].
    """
    return _shifts(parts.shape[1])[0](parts)


def spread_shifted(image: tf.Tensor, taps: int) -> tf.Tensor:
    """Parts of zeros, part (a, b) with the image at row a and column b.

    [B, h, w, C] -> [B, n, n, h+n-1, w+n-1, C] for n = `taps`.
    """
    return _shifts(taps)[1](image)


@functools.cache
def _shifts(taps: int) -> tuple[Gradient, Gradient]:
    """(sum_shifted, spread_shifted) for `taps` shifts along each axis."""
    rest = taps - 1

    @tf.custom_gradient
    def add(parts: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        height, width = tf.shape(parts)[3] - rest, tf.shape(parts)[4] - rest
        rows = tf.add_n([parts[:, a, :, a : a + height] for a in range(taps)])
        image = tf.add_n([rows[:, b, :, b : b + width] for b in range(taps)])
        return image, lambda upstream: spread_shifted(upstream, taps)

    @tf.custom_gradient
    def spread(image: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        height, width = tf.shape(image)[1] + rest, tf.shape(image)[2] + rest
        image = tf.pad(image, [[0, 0], [rest, rest], [rest, rest], [0, 0]])
        rows = [image[:, rest - a : rest - a + height] for a in range(taps)]
        rows = tf.stack(rows, axis=1)
        parts = [rows[:, :, :, rest - b : rest - b + width] for b in range(taps)]
        return tf.stack(parts, axis=2), sum_shifted

    return add, spread
