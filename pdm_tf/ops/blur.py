"""Blurs with a (per-image or per-pixel) kernel and keeps every `scale`-th pixel.

The first line of Eq. 2 of Luo et al. 2022 (arXiv:2203.04962):
y_clean = (x conv k) downsampled by s, with x = hr, k = kernel, s = scale.

Conventions:
- Correlation, not convolution: taps are not flipped (as in the authors' code).
- One kernel serves R, G and B.
- *Grid.* "pixel0": LR pixel i is centred on HR pixel s*i (the paper's code).
  "half_pixel": on s*i + (s-1)/2, the convention of antialiased resizing. For even s
  that centre falls between pixels, so the window sits half a pixel early and the
  kernel's own centre of mass has to account for the rest: `grid_geometry` returns both
  parts.
- *Border.* "reflect" mirrors HR at its edges (paper). "valid" expects an HR crop with
  a real margin of K//2 pixels on each side and invents nothing; in unpaired training
  mirrored content at its border would give a fake crop away.
"""

import math

import numpy as np
import tensorflow as tf

from pdm_tf.core.geometry import GRIDS
from pdm_tf.ops.correlation import (
    correlate_by_products,
    correlate_per_pixel,
    depthwise,
)

BORDERS = ("reflect", "valid")


def grid_geometry(scale: int, grid: str) -> tuple[int, float]:
    """Where LR pixel 0 lies on the HR grid, as a window offset and a kernel offset.

    Args:
      scale: downsampling factor, >= 1.
      grid: "pixel0" or "half_pixel".

    Returns:
      (window, centroid): the kernel window of LR pixel i is centred on HR pixel
      scale * i + window; a kernel whose centre of mass lies `centroid` HR pixels right
      of and below the window's middle puts LR pixel i exactly on the grid.

    Raises:
      ValueError: unknown grid.
    """
    if grid not in GRIDS:
        raise ValueError(f"`grid` must be one of {GRIDS}. Received: grid={grid!r}.")
    if grid == "pixel0":
        return 0, 0.0
    window = (scale - 1) // 2
    return window, (scale - 1) / 2 - window


def kernel_side(taps: int | None) -> int:
    """K for a kernel of K*K taps.

    Raises:
      ValueError: `taps` is not the square of an odd number.
    """
    side = math.isqrt(taps) if taps else 0
    if side * side != taps or side % 2 == 0:
        raise ValueError(
            "The last axis of a kernel must hold K*K taps with K odd. "
            f"Received: {taps} taps."
        )
    return side


def blur_downsample(
    hr: tf.Tensor,
    kernel: tf.Tensor,
    scale: int,
    *,
    grid: str = "pixel0",
    border: str = "reflect",
) -> tf.Tensor:
    """Blurs with one kernel per image or per LR pixel and keeps every scale-th pixel.

    Luo et al. 2022 (arXiv:2203.04962), first line of Eq. 2. Paper symbols: x = hr,
    k = kernel, s = scale.

    Args:
      hr: [B, H, W, C] float. With border="valid" H and W include a margin of K//2
        pixels on each side.
      kernel: [B, 1, 1, K*K] (one kernel per image; the middle axes must be statically
        1) or [B, h, w, K*K] (one per LR pixel), summing to 1 over the last axis.
        Row-major taps, K odd.
      scale: downsampling factor, >= 1; divides H and W (without the margin).
      grid: sampling grid, see the head of this file.
      border: "reflect" or "valid".

    Returns:
      [B, h, w, C] in `hr`'s range, because each output is a convex combination. Half
      precision is computed, and returned, in float32: sums of K*K terms need it.

    Raises:
      ValueError: the taps are no odd square, a static size is not divisible by
        `scale` or smaller than the window, or an option is unknown.
    """
    hr, kernel = _full_precision(hr), _full_precision(kernel)
    side = kernel_side(kernel.shape[-1])
    hr, lr_shape = _with_borders(hr, side, scale, grid, border)
    if kernel.shape[1] == 1 and kernel.shape[2] == 1:
        kernels = tf.reshape(kernel, [-1, side, side])
        lr = _blur_invariant(hr, kernels, scale)
    else:
        lr = correlate_per_pixel(hr, kernel, scale)
    return tf.ensure_shape(lr, lr_shape)


def blur_mixture(
    hr: tf.Tensor,
    weights: tf.Tensor,
    basis: tf.Tensor,
    scale: int,
    *,
    grid: str = "pixel0",
    border: str = "reflect",
) -> tf.Tensor:
    """`blur_downsample` with kernels that are mixtures, without making them.

    Args:
      hr: [B, H, W, C] float, as there.
      weights: [B, h, w, N] or [B, 1, 1, N], summing to 1 over the last axis.
      basis: [N, K*K], each summing to 1.
      scale, grid, border: as there.

    Returns:
      [B, h, w, C]: equal, but for rounding, to blurring with the kernels
      weights @ basis [B, h, w, K*K].

    Raises:
      ValueError: as there.
    """
    hr, weights, basis = map(_full_precision, (hr, weights, basis))
    side = kernel_side(basis.shape[-1])
    hr, lr_shape = _with_borders(hr, side, scale, grid, border)
    # Every colour is an image of one channel, every kernel of the basis a filter.
    size = tf.shape(hr)
    planes = tf.reshape(tf.transpose(hr, [0, 3, 1, 2]), [-1, size[1], size[2], 1])
    filters = tf.reshape(tf.transpose(basis), [side, side, 1, -1])
    blurred = tf.nn.conv2d(planes, filters, scale, "VALID")
    height, width = tf.unstack(tf.shape(blurred)[1:3])
    blurred = tf.reshape(blurred, [size[0], size[3], height, width, basis.shape[0]])
    weights = tf.broadcast_to(weights, [size[0], height, width, basis.shape[0]])
    lr = tf.einsum("bchwn,bhwn->bhwc", blurred, weights)
    return tf.ensure_shape(lr, lr_shape)


def _with_borders(
    hr: tf.Tensor, side: int, scale: int, grid: str, border: str
) -> tuple[tf.Tensor, list[int | None]]:
    """Returns HR from the first pixel's window on, and the static shape of LR."""
    if border not in BORDERS:
        raise ValueError(f"`border` must be one of {BORDERS}. Received: {border!r}.")
    radius = side // 2
    margin = radius if border == "valid" else 0
    lr_shape = [hr.shape[0], None, None, hr.shape[3]]
    for axis in (1, 2):
        size = hr.shape[axis]
        if size is None:
            continue
        lr_shape[axis] = (size - 2 * margin) // scale
        if (size - 2 * margin) % scale or size <= 2 * margin:
            raise ValueError(
                "`scale` must divide H and W (without the margin of K//2 per side when "
                f"border='valid'). Received: scale={scale}, shape={tuple(hr.shape)}, "
                f"K={side}, border={border!r}."
            )
        if border == "reflect" and size <= radius:
            raise ValueError(
                "H and W must be greater than K//2 to be mirrored. "
                f"Received: shape={tuple(hr.shape)}, K={side}."
            )
    if border == "reflect":
        pad = [radius, radius]
        hr = tf.pad(hr, [[0, 0], pad, pad, [0, 0]], mode="REFLECT")
    window, _ = grid_geometry(scale, grid)
    return hr[:, window:, window:, :], lr_shape


def _full_precision(tensor: tf.Tensor) -> tf.Tensor:
    tensor = tf.convert_to_tensor(tensor)
    half = tensor.dtype in (tf.float16, tf.bfloat16)
    return tf.cast(tensor, tf.float32) if half else tensor


def _blur_invariant(hr: tf.Tensor, kernels: tf.Tensor, scale: int) -> tf.Tensor:
    """[B, H, W, C] and [B, K, K] -> [B, h, w, C]."""
    if _prefers_products():
        return correlate_by_products(hr, kernels, scale)
    # Each colour of each image is a channel that meets its image's kernel, so no
    # K*K-fold copy of the pixels is made (extracting patches takes 10 times as long on
    # CPU) and the channels fill the processor's registers.
    batch, height, width, colours = tf.unstack(tf.shape(hr))
    channels = tf.reshape(tf.transpose(hr, [1, 2, 0, 3]), [height, width, -1])
    filters = tf.repeat(tf.transpose(kernels, [1, 2, 0]), colours, axis=2)
    blurred = depthwise(channels, filters, scale)
    size = tf.shape(blurred)
    blurred = tf.reshape(blurred, [size[0], size[1], batch, colours])
    return tf.transpose(blurred, [2, 0, 1, 3])


def _prefers_products() -> bool:
    """Whether to compute the blur as matrix products, which differ by rounding only.

    GPUs and XLA are good at them: under XLA on CPU they take a half to a fifth of the
    convolution's time (not measured on a GPU). Without XLA, on CPU, the convolution is
    the fastest.
    """
    return bool(tf.config.get_visible_devices("GPU"))


def hr_footprint(hr: tf.Tensor, scale: int, grid: str, margin: int) -> tf.Tensor:
    """Rearranges HR pixels into blocks of scale x scale around each LR pixel.

    A network on the LR grid sees an HR image this way: every HR pixel exactly once,
    where it belongs. An antialiased reduction would take away the detail that a kernel
    could depend on; picking every `scale`-th pixel would alias it.

    The block of LR pixel i starts (scale - 1) // 2 HR pixels before the middle of its
    blur window: it is centred on that window, up to half a pixel for an even scale.

    Args:
      hr: [B, H, W, C], H and W without `margin` on both sides divisible by `scale`.
      scale: HR pixels per LR pixel.
      grid: sampling grid, see the head of this file.
      margin: HR pixels on each side that belong to no LR pixel, at least
        (scale - 1) // 2; with 0 the missing pixels are mirrored, as the blur does.

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


def kernel_centroid(kernel: tf.Tensor) -> tf.Tensor:
    """Centre of mass relative to the middle tap.

    Args:
      kernel: [..., K*K] summing to 1 over the last axis.

    Returns:
      [..., 2]: (down, right) in HR pixels.
    """
    coordinates = _tap_coordinates(kernel_side(kernel.shape[-1]))
    return tf.tensordot(kernel, tf.constant(coordinates, kernel.dtype), axes=1)


def kernel_spread(kernel: tf.Tensor) -> tf.Tensor:
    """Root of the mean squared distance of the mass from its centre, in HR pixels.

    Args:
      kernel: [..., K*K] summing to 1 over the last axis.

    Returns:
      [...]: 0 for a delta, sqrt(2) * sigma for an isotropic Gaussian.
    """
    coordinates = _tap_coordinates(kernel_side(kernel.shape[-1]))
    squares = np.sum(coordinates**2, axis=-1)
    second = tf.tensordot(kernel, tf.constant(squares, kernel.dtype), axes=1)
    centre = tf.reduce_sum(tf.square(kernel_centroid(kernel)), axis=-1)
    return tf.sqrt(tf.maximum(second - centre, 0.0))


def _tap_coordinates(side: int) -> np.ndarray:
    """[K*K, 2] offsets (down, right) of the row-major taps from the middle one."""
    offsets = np.arange(side) - side // 2
    rows, columns = np.meshgrid(offsets, offsets, indexing="ij")
    return np.stack([rows.ravel(), columns.ravel()], axis=-1).astype(np.float64)
