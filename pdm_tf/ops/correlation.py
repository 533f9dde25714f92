"""Strided correlations without padding, with gradients that are fast: for `ops.blur`.

- `depthwise`: one filter per channel, as a convolution; the fastest on CPU.
- `correlate_by_products`: one kernel per image, as matrix products; for GPUs and XLA.
- `correlate_per_pixel`: a kernel of its own at every output pixel, image by image.

*Phases.* With stride s, pixel s*i + u of an axis is pixel i of phase u, and tap s*a + u
of a kernel is tap a of phase u. A correlation with stride s is then the sum, over the
s*s phases, of correlations without stride and with ceil(K/s) * ceil(K/s) taps.

*`depthwise`.* TensorFlow's own gradient of a strided depthwise convolution by its
filter takes five to ten times as long as the convolution itself (CPU, filters of
21 x 21). The same sum can be read as another depthwise convolution: with filter taps
s*a + u and phases x_u[i] = x[s*i + u] of the images (per axis),

    d_filter[s*a + u] = sum over i of x_u[i + a] * d_out[i],

so the s*s phases are a batch, the gradient that comes in is the filter, and what comes
out are the ceil(K/s) * ceil(K/s) taps of each phase. Only the images are copied, once,
into their phases.

*`correlate_by_products`.* On the phases of image and kernel every tap (a, b) of all s*s
phases meets every pixel in a matrix product [taps*taps, s*s] x [s*s, pixels]; part
(a, b) of the product counts for the output pixel that lies a rows and b columns before:

    y[i, j] = sum over a, b of product[a, b, i + a, j + b].

The gradients are matrix products too. The sum's own is the spreading of y's gradient to
all the places it came from; TensorFlow would add up taps*taps zero-padded images for
it, so each of the two is declared to be the other's gradient.

*`correlate_per_pixel`.* Copying the K*K pixels under each window of a whole batch takes
K*K*C numbers per output pixel, three times what the kernels themselves take, and
automatic differentiation keeps that copy (and transposes it) for the backward pass.
Here one image's copy exists at a time, in the forward pass and again in the backward
pass; only the operands are kept.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

# Of an operator of one and of two operands, from the gradient by its output.
Gradient = Callable[[tf.Tensor], tf.Tensor]
Gradients = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


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
    return _depthwise_with(stride)(images, filters)


@functools.cache
def _depthwise_with(stride: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    strides = [1, stride, stride, 1]

    @tf.custom_gradient
    def operator(images: tf.Tensor, filters: tf.Tensor) -> tuple[tf.Tensor, Gradients]:
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
    """Sums the parts, taking part (a, b) from row a and column b on.

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
    return _per_pixel_with(side, stride)(hr, kernel)


@functools.cache
def _per_pixel_with(
    side: int, stride: int
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
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
    def operator(hr: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Gradients]:
        def by_image(operands: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            # A transposed convolution with one-hot filters puts each tap's share in its
            # place: slow, but training never needs it and graphs drop it.
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
    """Maps images one by one, so that their intermediate results never coexist."""
    return tf.map_fn(
        function,
        operands,
        parallel_iterations=1,
        fn_output_signature=operands[0].dtype,
    )


def tap_count(side: int, stride: int) -> int:
    """Taps of each phase along one axis: ceil(K/s)."""
    return -(-side // stride)


def split_image(
    image: tf.Tensor, height: tf.Tensor, width: tf.Tensor, side: int, stride: int
) -> tf.Tensor:
    """Splits the part of an image that the windows see into its phases.

    Args:
      image: [B, H, W, C].
      height, width: how often the window is placed down and across.
      side: K, of the window.
      stride: s, of the window.

    Returns:
      [B, s, s, rows, columns, C] with rows = height + taps - 1, columns likewise, and
      taps = ceil(K/s). Pixels that no window reaches are cut off; where the last phases
      end one pixel early they are zero.
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
    """Inverts `split_kernel`; anything past the K taps is dropped."""
    taps, stride = phases.shape[0], phases.shape[2]
    order = [0, 2, 1, 3, *range(4, phases.shape.rank)]
    others = tf.shape(phases)[4:]
    kernel = tf.reshape(
        tf.transpose(phases, order),
        tf.concat([[taps * stride, taps * stride], others], 0),
    )
    return kernel[:side, :side]
