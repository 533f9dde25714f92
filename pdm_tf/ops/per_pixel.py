"""Correlation with a kernel of its own at every output pixel, image by image.

Copying the K*K pixels under each window of a whole batch takes K*K*C numbers per output
pixel, three times what the kernels themselves take, and automatic differentiation keeps
that copy (and transposes it) for the backward pass. Here one image's copy exists at a
time, in the forward pass and again in the backward pass; only the operands are kept.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

Gradient = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def correlate_per_pixel(hr: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """Weighs the pixels under each placement of the window with its own kernel.

    Args:
      hr: [B, H, W, C] float32 or float64.
      kernel: [B, h, w, K*K] of the same type, K*K static and row-major, with
        h = (H - K) // stride + 1, likewise w.
      stride: >= 1, of both axes.

    Returns:
      [B, h, w, C].
    """
    side = round(kernel.shape[-1] ** 0.5)
    return _operator(side, stride)(hr, kernel)


@functools.cache
def _operator(side: int, stride: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    def patches(image: tf.Tensor) -> tf.Tensor:
        """[H, W, C] -> [h, w, K*K, C]."""
        found = tf.image.extract_patches(
            image[None],
            sizes=[1, side, side, 1],
            strides=[1, stride, stride, 1],
            rates=[1, 1, 1, 1],
            padding="VALID",
        )[0]
        size = tf.shape(found)
        return tf.reshape(found, [size[0], size[1], side**2, image.shape[-1]])

    def blurred(operands: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, kernel = operands
        return tf.einsum("hwkc,hwk->hwc", patches(image), kernel)

    def by_kernel(operands: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, upstream = operands
        return tf.einsum("hwkc,hwc->hwk", patches(image), upstream)

    @tf.custom_gradient
    def operator(hr: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        def by_image(operands: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            # Where each tap's share lands is a transposed convolution with one-hot
            # filters: slow, but in training nothing asks for it and graphs drop it.
            weights, upstream = operands
            parts = tf.transpose(upstream)[..., None] * tf.transpose(
                weights[..., None, :], [2, 1, 0, 3]
            )  # [C, w, h, K*K]
            one_hot = tf.reshape(
                tf.eye(side**2, dtype=weights.dtype), [side, side, 1, side**2]
            )
            size = tf.shape(hr)
            image = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.stack([size[3], size[1], size[2], 1]),
                filter=one_hot,
                out_backprop=tf.transpose(parts, [0, 2, 1, 3]),
                strides=[1, stride, stride, 1],
                padding="VALID",
            )
            return tf.transpose(image[..., 0], [1, 2, 0])

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            images = _each(by_image, (kernel, upstream))
            images = tf.ensure_shape(images, hr.shape)
            return images, _each(by_kernel, (hr, upstream))

        return _each(blurred, (hr, kernel)), gradient

    return operator


def _each(
    function: Callable[[tuple[tf.Tensor, ...]], tf.Tensor],
    operands: tuple[tf.Tensor, ...],
) -> tf.Tensor:
    """One image after the other, so that their intermediate results never coexist."""
    return tf.map_fn(
        function,
        operands,
        parallel_iterations=1,
        fn_output_signature=operands[0].dtype,
    )
