"""Patches out of images, several at once: from memory, or decoded for the occasion.

A tf.data function costs some 30 microseconds each time it is called, more than cutting
a patch, so one call cuts several. What can be computed for all of them together is;
then each patch takes seven small operations.

From cached sources no Python runs. The pixel buffer is neither copied nor made part of
the graph: TensorFlow uses the NumPy memory in place, as a variable. (As a captured
constant it is copied once more when tf.data optimises the graph; measured.)
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pdm_tf.data.on_demand import patch_reader
from pdm_tf.data.sampling import Draw
from pdm_tf.data.sources import ImageSource
from pdm_tf.data.symmetry import Steps, apply_steps, reversals, steps_of

_CHANNELS = 3
_ALIGNMENT = 64  # bytes; where a slice of a buffer begins so that it is not copied

# (draws of n patches, side) -> [n, side, side, 3] uint8
Cut = Callable[[Draw, int], tf.Tensor]


def cutter(source: ImageSource) -> Cut:
    """Returns cut(draws, side), which cuts patches out of `source`.

    Args of what it returns:
      draws: vectors of n, n known statically.
      side: of the patches, in pixels.

    It returns [n, side, side, 3] uint8, each patch under its drawn symmetry.
    """
    regions = _memory_regions(source) if source.cached else _disk_regions(source)

    def cut(draws: Draw, side: int) -> tf.Tensor:
        patches = regions(draws.image, draws.top, draws.left, side)
        views, orders = steps_of(draws.symmetry, side, _CHANNELS)
        turned = [
            apply_steps(patch, Steps(view, order), side)
            for patch, view, order in zip(
                patches, tf.unstack(views), tf.unstack(orders), strict=True
            )
        ]
        stacked = tf.stack(turned)
        return tf.ensure_shape(stacked, [len(turned), side, side, _CHANNELS])

    return cut


def partners_of(draws: Draw, scale: int, grid: str) -> Draw:
    """Returns where the HR patches of LR patches lie in their HR images.

    LR pixels are to lie in the HR patch as on the grid, turned or not. One that lies in
    the middle of its `scale` HR pixels ("half_pixel") does so seen from either end. One
    that lies on the first of them ("pixel0") lies on the last when the axis is
    reversed: there the HR patch is cut scale - 1 pixels earlier.

    Args:
      draws: of the LR patches; with "pixel0", drawn with `one_before`.
      scale: hr size / lr size.
      grid: where LR pixels lie, see `core.geometry.GRIDS`.
    """
    tops, lefts = draws.top * scale, draws.left * scale
    if earlier := reversal_shift(scale, grid):
        moved = earlier * reversals(draws.symmetry)
        tops, lefts = tops - moved[:, 0], lefts - moved[:, 1]
    return draws._replace(top=tops, left=lefts)


def reversal_shift(scale: int, grid: str) -> int:
    """HR pixels that the HR patch of a pair begins earlier on an axis it reverses."""
    return {"pixel0": scale - 1, "half_pixel": 0}[grid]


# (images [n], tops [n], lefts [n], side) -> n tensors of side*side*3 elements
_Regions = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, int], list[tf.Tensor]]


def _memory_regions(source: ImageSource) -> _Regions:
    with tf.device("CPU:0"):
        pixels = tf.experimental.dlpack.from_dlpack(source.pixels.__dlpack__())
        buffer = tf.Variable(pixels, trainable=False, name="pixels")
    total = source.pixels.size
    offsets, widths = source.offsets, np.ascontiguousarray(source.sizes[:, 1])

    def regions(
        images: tf.Tensor, tops: tf.Tensor, lefts: tf.Tensor, side: int
    ) -> list[tf.Tensor]:
        rows = tf.gather(tf.constant(widths), images) * _CHANNELS  # bytes
        starts = tf.gather(tf.constant(offsets), images) + tops * rows
        slabs, columns = _slabs(starts, rows, lefts * _CHANNELS, side, total)
        zeros = tf.zeros_like(columns)
        # One row of parameters for each patch.
        parameters = zip(
            tf.unstack(slabs[:, None]),
            tf.unstack((side * rows)[:, None]),
            tf.unstack(tf.stack([side + zeros, rows], axis=1)),
            tf.unstack(tf.stack([zeros, columns], axis=1)),
            strict=True,
        )
        flat = buffer.value()
        return [
            tf.slice(
                tf.reshape(tf.slice(flat, start, length), shape),
                begin,
                [side, side * _CHANNELS],
            )
            for start, length, shape, begin in parameters
        ]

    return regions


def _slabs(
    starts: tf.Tensor, rows: tf.Tensor, lefts: tf.Tensor, side: int, total: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Where to slice `side` rows out of the buffer, and at which column the patch is.

    A slab is any stretch of side * row bytes that the patch is in when it is read as
    `side` rows. Slices that begin at a multiple of 64 bytes are not copied, so the
    slab begins just before the patch rather than where the image's row does.

    Args:
      starts: [n], where the patches' first rows begin in the buffer.
      rows: [n], bytes of a row.
      lefts: [n], bytes to the left of the patch.
      side: of the patch, in pixels.
      total: size of the buffer.

    Returns:
      (slabs, columns), [n] each, in bytes.
    """
    firsts = starts + lefts
    slabs = tf.minimum(firsts // _ALIGNMENT * _ALIGNMENT, total - side * rows)
    fits = firsts - slabs + side * _CHANNELS <= rows
    slabs = tf.where(fits, slabs, starts)
    return slabs, firsts - slabs


def _disk_regions(source: ImageSource) -> _Regions:
    read = patch_reader(source.image)

    def regions(
        images: tf.Tensor, tops: tf.Tensor, lefts: tf.Tensor, side: int
    ) -> list[tf.Tensor]:
        places = zip(*map(tf.unstack, (images, tops, lefts)), strict=True)
        sides = tf.constant(side, tf.int64)
        return [
            tf.numpy_function(read, [*place, sides], tf.uint8, stateful=False)
            for place in places
        ]

    return regions
