"""Filters images with a window: blur by any kernel, sharpening, low and high pass.

Beyond its edges an image is mirrored without repeating the edge pixel, as often as the
window needs, so that windows may be larger than images.
"""

import numpy as np
import tensorflow as tf

# Lengths without prime factors above 5, for which Fourier transforms are fastest.
_QUICK_LENGTHS = sorted(
    2**a * 3**b * 5**c
    for a in range(18)
    for b in range(11)
    for c in range(8)
    if 2**a * 3**b * 5**c <= 2**17
)


def filter_image(image: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Correlates an image with a kernel, mirrored at its edges.

    By Fourier transforms, which on CPU take less than half a convolution's time from
    crops of 192 pixels and 21 x 21 taps on, and a quarter on 12 megapixels.

    Args:
      image: [H, W, C] float32.
      kernel: [K, K], K odd; taps are not flipped. With a single 1 in the middle no bit
        changes.

    Returns:
      [H, W, C], in the range of `image` up to rounding where no tap is negative.
    """
    image, kernel = tf.convert_to_tensor(image), tf.convert_to_tensor(kernel)
    middle = tf.shape(kernel)[0] // 2
    is_delta = (tf.math.count_nonzero(kernel) == 1) & (kernel[middle, middle] == 1.0)
    return tf.cond(
        is_delta, lambda: tf.identity(image), lambda: _correlated(image, kernel)
    )


def _correlated(image: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    radius = tf.shape(kernel)[0] // 2
    height, width, _ = tf.unstack(tf.shape(image))
    padded = tf.gather(image, mirrored_range(height, radius))
    padded = tf.gather(padded, mirrored_range(width, radius), axis=1)
    lengths = tf.searchsorted(
        _QUICK_LENGTHS, tf.stack([height + 2 * radius, width + 2 * radius])
    )
    lengths = tf.gather(_QUICK_LENGTHS, lengths)
    planes = tf.signal.rfft2d(tf.transpose(padded, [2, 0, 1]), lengths)
    # The conjugate makes a correlation of the convolution.
    planes *= tf.math.conj(tf.signal.rfft2d(kernel, lengths))
    planes = tf.signal.irfft2d(planes, lengths)[:, :height, :width]
    return tf.ensure_shape(tf.transpose(planes, [1, 2, 0]), image.shape)


def mirrored_range(length: tf.Tensor, around: tf.Tensor) -> tf.Tensor:
    """Indices of an axis continued by `around` pixels at both ends.

    E.g. 2 1 0 1 2 3 2 1 for length 4 and 2 around; a single pixel is repeated.
    """
    period = tf.maximum(2 * (length - 1), 1)
    indices = tf.math.floormod(tf.range(-around, length + around), period)
    return tf.minimum(indices, period - indices)


def low_pass(images: tf.Tensor, side: int = 5, sigma_px: float = 0.0) -> tf.Tensor:
    """Weighted means over a window, mirrored at the edges.

    Args:
      images: [B, H, W, C] float32, H and W larger than side // 2.
      side: of the window, odd.
      sigma_px: of Gaussian weights; 0: equal weights.

    Returns:
      [B, H, W, C]. What it takes away, images - low_pass(images), is the high pass.
    """
    radius = side // 2
    pad = [radius, radius]
    padded = tf.pad(images, [[0, 0], pad, pad, [0, 0]], mode="REFLECT")
    taps = np.ones(side)
    if sigma_px:
        taps = np.exp(-0.5 * ((np.arange(side) - radius) / sigma_px) ** 2)
    # One axis after the other; shifted sums are quicker on CPUs than depthwise windows.
    for axis in (1, 2):
        shifted = [
            tap * _slice(padded, axis, i, images.shape[axis])
            for i, tap in enumerate((taps / taps.sum()).tolist())
        ]
        padded = tf.add_n(shifted)
    return padded


def _slice(images: tf.Tensor, axis: int, first: int, count: int) -> tf.Tensor:
    rows = slice(first, first + count)
    return images[:, rows] if axis == 1 else images[:, :, rows]


def high_pass(images: tf.Tensor, side: int = 5, sigma_px: float = 0.0) -> tf.Tensor:
    """Returns what `low_pass` takes away: [B, H, W, C], about zero."""
    return images - low_pass(images, side, sigma_px)


def usm_sharpened(
    image: tf.Tensor,
    amount: float = 0.5,
    sigma_px: float = 8.0,
    side: int = 51,
    threshold: float = 10.0 / 255.0,
) -> tf.Tensor:
    """Unsharp masking where the detail is strong, with soft borders between.

    With detail d = image - blurred and the mask M = blurred(|d| > threshold), per
    colour: (1 - M) image + M clip(image + amount d). As for the targets of Real-ESRGAN
    (Wang et al. 2021, arXiv:2107.10833, section 3.4) and in BSRGAN's later form.

    Args:
      image: [H, W, C] float32 in [0, 1].
      amount: of the detail that is added.
      sigma_px, side: of the Gaussian that blurs, and its taps in each direction, odd.
      threshold: of the detail, in units of the image.

    Returns:
      [H, W, C] in [0, 1].
    """
    taps = np.exp(-0.5 * ((np.arange(side) - side // 2) / sigma_px) ** 2)
    taps = np.outer(taps, taps)
    kernel = tf.constant(taps / taps.sum(), tf.float32)
    detail = image - filter_image(image, kernel)
    strong = tf.cast(tf.abs(detail) > threshold, tf.float32)
    # Rounding of the transforms may leave [0, 1].
    mask = tf.clip_by_value(filter_image(strong, kernel), 0.0, 1.0)
    sharp = tf.clip_by_value(image + amount * detail, 0.0, 1.0)
    return mask * sharp + (1.0 - mask) * image
