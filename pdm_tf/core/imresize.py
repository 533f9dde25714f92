"""Bicubic resizing by the definition of MATLAB's imresize, in float64.

The field measures against this operator ("bicubic"): Keys' cubic with a = -0.5, output
pixel i centred on input coordinate (i + 0.5) / scale - 0.5 (counting from 0), when
shrinking the cubic stretched by 1 / scale (antialiasing), the image mirrored at its
borders with the edge pixel repeated, and the weights of each output pixel divided by
their sum. Neither `tf.image.resize` nor Pillow nor torch compute this.

Values are not clipped: the cubic overshoots, so round and clip with `images.to_u8`.
MATLAB given 8-bit pixels may round them again between the two axes; this equals its
result on doubles (`im2double`), which the caller rounds once.
"""

import math

import numpy as np


def imresize(
    image: np.ndarray,
    scale: float | None = None,
    output_shape: tuple[int, int] | None = None,
    moved_px: float = 0.0,
) -> np.ndarray:
    """Resizes with antialiased bicubic interpolation.

    Args:
      image: [H, W] or [H, W, C], any range; integers are taken as they are.
      scale: output size / input size; 1/4 shrinks four times. The size is rounded up.
      output_shape: (h, w), instead of `scale` or in addition to it; alone, the scale of
        each axis is its size ratio.
      moved_px: input pixels by which output pixels lie beyond MATLAB's places.

    Returns:
      [h, w] or [h, w, C] float64 in the range of the input, with overshoot.

    Raises:
      ValueError: neither `scale` nor `output_shape`, a value not positive, or not an
        image.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"`image` must be [H, W(, C)]. Received: {image.shape}.")
    if scale is None and output_shape is None:
        raise ValueError("`scale` or `output_shape` must be given. Received: neither.")
    if scale is not None and not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"`scale` must be positive. Received: {scale}.")
    lengths = image.shape[:2]
    if output_shape is None:
        # MATLAB's ceil(scale * length); the small term absorbs 1/3 * 9 = 3.0000000004.
        output_shape = tuple(math.ceil(scale * length - 1e-9) for length in lengths)
    if min(output_shape) < 1:
        raise ValueError(f"`output_shape` must be positive. Received: {output_shape}.")
    scales = [
        scale or out / length for out, length in zip(output_shape, lengths, strict=True)
    ]
    result = image.astype(np.float64)
    # The axis that shrinks most goes first (as MATLAB does): less work for the other.
    for axis in sorted((0, 1), key=lambda axis: scales[axis]):
        weights, indices = resize_weights(
            lengths[axis], output_shape[axis], scales[axis], moved_px
        )
        result = _resize_axis(result, weights, indices, axis)
    return result


def resize_weights(
    in_length: int, out_length: int, scale: float, moved_px: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weights and input pixels of each output pixel of one axis.

    Args:
      in_length: input pixels, >= 1.
      out_length: output pixels, >= 1.
      scale: output size / input size; below 1 the kernel is stretched by 1 / scale.
      moved_px: input pixels by which output pixels lie beyond MATLAB's places.

    Returns:
      weights [out_length, taps] float64, each row summing to 1; and
      indices [out_length, taps] int64 in [0, in_length).
    """
    stretch = max(1.0, 1.0 / scale)
    radius = 2.0 * stretch
    centres = (np.arange(out_length) + 0.5) / scale - 0.5 + moved_px
    first = np.floor(centres - radius).astype(np.int64)
    taps = first[:, None] + np.arange(math.ceil(2 * radius) + 2)
    weights = cubic((centres[:, None] - taps) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    used = np.any(weights != 0, axis=0)
    return weights[:, used], _mirror(taps[:, used], in_length)


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys 1981, cubic convolution with a = -0.5; zero from 2 on."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _mirror(indices: np.ndarray, length: int) -> np.ndarray:
    """Half-sample symmetric border: ... 1 0 | 0 1 2 ... n-1 | n-1 n-2 ..."""
    indices = np.mod(indices, 2 * length)
    return np.where(indices < length, indices, 2 * length - 1 - indices)


def _resize_axis(
    image: np.ndarray, weights: np.ndarray, indices: np.ndarray, axis: int
) -> np.ndarray:
    """Weighted sums along `axis`, one tap at a time to keep memory at one image."""
    shape = [1] * image.ndim
    shape[axis] = -1
    result = 0.0
    for tap in range(weights.shape[1]):
        weight = weights[:, tap].reshape(shape)
        result = result + weight * np.take(image, indices[:, tap], axis=axis)
    return result
