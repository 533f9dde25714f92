"""One filter per channel, with stride: a convolution whose filter gradient is fast.

TensorFlow's own gradient of a strided depthwise convolution by its filter takes five
to ten times as long as the convolution itself (CPU, filters of 21 x 21). The same sum
can be read as another depthwise convolution. With stride s, filter taps s*a + u and
phases x_u[i] = x[s*i + u] of the images (see `polyphase`; per axis),

    d_filter[s*a + u] = sum over i of x_u[i + a] * d_out[i],

so the s*s phases are a batch, the gradient that comes in is the filter, and what comes
out are the ceil(K/s) * ceil(K/s) taps of each phase. Nothing is copied but the images,
once, into their phases.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

from pdm_tf.ops.polyphase import join_kernel, split_image, tap_count

Gradient = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def depthwise(images: tf.Tensor, filters: tf.Tensor, stride: int) -> tf.Tensor:
    """Correlates each channel with its own filter, without padding.

    Linear in both arguments. Derivatives of any order are right; the first ones are
    fast.

    Args:
      images: [H, W, N] float32 or float64.
      filters: [K, K, N] of the same type, K known statically, at most H and W.
      stride: >= 1, of both axes.

    Returns:
      [h, w, N] with h = (H - K) // stride + 1, likewise w.
    """
    return _with_stride(stride)(images, filters)


@functools.cache
def _with_stride(stride: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    strides = [1, stride, stride, 1]

    @tf.custom_gradient
    def operator(images: tf.Tensor, filters: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        output = tf.nn.depthwise_conv2d(
            images[None], filters[..., None], strides=strides, padding="VALID"
        )[0]

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            by_images = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                input_sizes=tf.concat([[1], tf.shape(images)], axis=0),
                filter=filters[..., None],
                out_backprop=upstream[None],
                strides=strides,
                padding="VALID",
            )[0]
            side = filters.shape[0]
            return by_images, filter_gradient(images, upstream, side, stride)

        return output, gradient

    return operator


def filter_gradient(
    images: tf.Tensor, upstream: tf.Tensor, side: int, stride: int
) -> tf.Tensor:
    """The gradient of `depthwise` by its filters.

    Args:
      images: [H, W, N], as given to `depthwise`.
      upstream: [h, w, N], the gradient by what it returned.
      side: K.
      stride: as given to `depthwise`.

    Returns:
      [K, K, N].
    """
    height, width, channels = tf.unstack(tf.shape(upstream))
    phases = split_image(images[None], height, width, side, stride)
    phases = tf.reshape(phases, tf.concat([[-1], tf.shape(phases)[3:]], axis=0))
    found = tf.nn.depthwise_conv2d(
        phases, upstream[..., None], strides=[1, 1, 1, 1], padding="VALID"
    )
    taps = tap_count(side, stride)
    found = tf.reshape(found, [stride, stride, taps, taps, channels])
    found = join_kernel(tf.transpose(found, [2, 3, 0, 1, 4]), side)
    return tf.ensure_shape(found, [side, side, images.shape[2]])
