"""Resizes one image to any size by the operators that degradation chains draw from.

Each is a weighted sum along one axis and then along the other. Output pixel i of n,
made of m input pixels, lies at (i + 1/2) m/n - 1/2, both counted from pixel centres.

- `nearest`: the input pixel at floor(i m/n), as in OpenCV and PyTorch.
- `bilinear`: the two nearest pixels; shrinking does not widen the reach. OpenCV's
  INTER_LINEAR, PyTorch's "bilinear".
- `bicubic`: four pixels by Keys' cubic with a = -0.75, likewise. OpenCV's INTER_CUBIC,
  PyTorch's "bicubic".
- `area`: the mean over the interval that the output pixel covers, input pixels counted
  by the part of them inside. OpenCV's INTER_AREA.
- `area_bins`: the mean over the whole input pixels that the interval touches. PyTorch's
  "area", which is adaptive average pooling.
- `matlab_bicubic`: MATLAB's imresize, see `core.imresize`.

All but the last repeat the edge pixel where they reach beyond it; the last mirrors.

Sizes may be tensors, and differ from image to image; weights are made from them. A
matrix [n, m] would be zero nearly everywhere, so outputs are made in blocks of 64, each
by a product with the input pixels that the block can see.
"""

import tensorflow as tf

KINDS = ("nearest", "bilinear", "bicubic", "area", "area_bins", "matlab_bicubic")

_MATLAB = KINDS.index("matlab_bicubic")
# Outputs that are made by one matrix product.
_BLOCK = 64


def resample(
    image: tf.Tensor,
    height: int | tf.Tensor,
    width: int | tf.Tensor,
    kind: str | tf.Tensor,
) -> tf.Tensor:
    """Resizes one image.

    Args:
      image: [H, W, C] float32, any range.
      height, width: of the result, >= 1.
      kind: one of KINDS, or a scalar integer tensor: its index there.

    Returns:
      [height, width, C]. In the range of `image`, except the bicubic ones, which ring.

    Raises:
      ValueError: an unknown name.
    """
    if isinstance(kind, str):
        if kind not in KINDS:
            raise ValueError(f"`kind` must be one of {KINDS}. Received: {kind!r}.")
        kind = KINDS.index(kind)
    kind = tf.convert_to_tensor(kind, tf.int32)
    height, width = tf.cast(height, tf.int32), tf.cast(width, tf.int32)
    size, channels = tf.shape(image), image.shape[2]

    def resized() -> tf.Tensor:
        # With the rows last to be summed the inner axis is long in both products.
        columns = tf.transpose(_along_first(image, height, kind), [1, 0, 2])
        return tf.transpose(_along_first(columns, width, kind), [1, 0, 2])

    same = (height == size[0]) & (width == size[1])
    result = tf.cond(same, lambda: tf.identity(image), resized)
    return tf.ensure_shape(result, [None, None, channels])


def _along_first(image: tf.Tensor, length: tf.Tensor, kind: tf.Tensor) -> tf.Tensor:
    """[m, N, C] -> [length, N, C]."""
    size = tf.shape(image)
    taps, weights = resample_weights(size[0], length, kind)
    rows = tf.gather(tf.reshape(image, [size[0], -1]), taps)
    blocks = tf.matmul(tf.cast(weights, image.dtype), rows)
    flat = tf.reshape(blocks, [-1, size[1] * size[2]])[:length]
    return tf.reshape(flat, [length, size[1], size[2]])


def resample_weights(
    old: tf.Tensor, new: tf.Tensor, kind: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """What each output pixel of one axis takes from which input pixels.

    Args:
      old, new: pixels before and after, scalars >= 1.
      kind: index into KINDS, scalar.

    Returns:
      taps [blocks, T] int32 in [0, old), the input pixels that a block may use; and
      weights [blocks, O, T] float64 of each of its O outputs, which sum to 1. Of the
      outputs blocks * O in all, those from `new` on are to be dropped.
    """
    block = tf.minimum(new, _BLOCK)
    outputs = tf.range(-(-new // block) * block)
    outputs = tf.cast(tf.reshape(outputs, [-1, block, 1]), tf.float64)
    old64, new64 = tf.cast(old, tf.float64), tf.cast(new, tf.float64)
    ratio = old64 / new64
    reach = tf.math.ceil(2.0 * tf.maximum(ratio, 1.0)) + 1.0
    first = tf.floor((outputs[:, :1] + 0.5) * ratio - 0.5) - reach
    count = tf.math.ceil(tf.cast(block - 1, tf.float64) * ratio) + 2.0 * reach + 2.0
    taps = first + tf.range(count, dtype=tf.float64)
    # Where the pixel lies from the output's place, in input pixels.
    offsets = taps - ((outputs + 0.5) * ratio - 0.5)

    def nearest() -> tf.Tensor:
        return tf.cast(taps == tf.floor(outputs * old64 / new64), tf.float64)

    def area() -> tf.Tensor:
        half = ratio / 2.0
        stop = tf.minimum(offsets + 0.5, half)
        return tf.maximum(stop - tf.maximum(offsets - 0.5, -half), 0.0)

    def area_bins() -> tf.Tensor:
        # Whole quotients come out whole: products of sizes are exact in float64.
        start = tf.floor(outputs * old64 / new64)
        stop = tf.math.ceil((outputs + 1.0) * old64 / new64)
        return tf.cast((taps >= start) & (taps < stop), tf.float64)

    weights = tf.switch_case(
        kind,
        [
            nearest,
            lambda: tf.maximum(1.0 - tf.abs(offsets), 0.0),
            lambda: _cubic(offsets, -0.75),
            area,
            area_bins,
            lambda: _cubic(offsets / tf.maximum(ratio, 1.0), -0.5),
        ],
    )
    weights /= tf.reduce_sum(weights, axis=-1, keepdims=True)
    inside = tf.cast(taps[:, 0], tf.int32)
    clamped = tf.clip_by_value(inside, 0, old - 1)
    mirrored = tf.math.floormod(inside, 2 * old)
    mirrored = tf.minimum(mirrored, 2 * old - 1 - mirrored)
    return tf.where(kind == _MATLAB, mirrored, clamped), weights


def _cubic(x: tf.Tensor, a: float) -> tf.Tensor:
    """Keys 1981, the cubic with its slope at 1 as the parameter; zero from 2 on."""
    x = tf.minimum(tf.abs(x), 2.0)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    return tf.where(x <= 1.0, near, far)
