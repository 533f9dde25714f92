"""Draws patches of images, cuts them out and turns them.

Drawing. Which image, which crop and which symmetry are functions of (seed, stream,
sample index), without state. Global sample index i of a stream gives, wherever and
whenever it is asked for, the same draw; so batches do not depend on threads, a resumed
run goes on exactly, and N workers together draw the same as one. Within an epoch
(`count` consecutive indices) each image comes once. Its place in the epoch is a keyed
permutation computed for the one index, with no list to shuffle.

Cutting. A tf.data function costs some 30 microseconds each time it is called, more than
cutting a patch, so one call cuts several. As much as possible is computed for all of
them together; then each patch takes seven small operations. From cached sources no
Python runs. The pixel buffer is neither copied nor made part of the graph: TensorFlow
uses the NumPy memory in place, as a variable. (As a captured constant it is copied once
more when tf.data optimises the graph; measured.) From other sources Python decodes,
inside tf.data's threads. That has one trap: a stream that is still open when the
interpreter ends would wait for ever for threads that never get the interpreter lock
again. So at exit, while threads still run, reads return at once, and the exit waits
until the stream's buffers are full and no read is waiting.

Turning. TensorFlow reverses the middle one of three axes with a plain copy loop, and
any other combination element by element. All four reversals of a patch are of the fast
kind, on the right view of its P*P pixels of C bytes:

    nothing       [P, 1, P*C]    rows of one element each
    upside down   [1, P, P*C]    whole rows in reverse
    left to right [P, P, C]      pixels of each row in reverse
    both          [1, P*P, C]    all pixels in reverse

So the reversal is always the same operation and the view is data; a transpose, which
costs nothing when its order is the identity, does the rest.
"""

import atexit
import functools
import logging
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.geometry import D4_COUNT, d4_parts, reversal_shift
from pdm_tf.core.seeds import stream_seed
from pdm_tf.data.sources import ImageSource

_CHANNELS = 3
_ALIGNMENT = 64  # bytes; where a slice of a buffer begins so that it is not copied
_QUIET_S = 0.2  # no read for so long: the buffers are full
_PATIENCE_S = 10.0


class Draw(NamedTuple):
    """A sample, or (as vectors) several; int64.

    Attributes:
      image: index of the image, 0..count-1.
      top, left: first row and column of the crop.
      symmetry: 0..7, see `core.geometry`.
    """

    image: tf.Tensor
    top: tf.Tensor
    left: tf.Tensor
    symmetry: tf.Tensor


def draw_samples(
    indices: tf.Tensor,
    sizes: np.ndarray,
    *,
    patch: int,
    seed: int,
    stream: str,
    one_before: bool = False,
) -> Draw:
    """Draws the samples `indices`; uniform over crops and symmetries.

    Args:
      indices: [n] int64, global sample indices, >= 0; n known statically.
      sizes: [count, 2] int64 (height, width), each at least `patch`.
      patch: side of the crop in pixels.
      seed: the run's seed.
      stream: name of the stream; streams are independent of one another.
      one_before: whether a crop needs a pixel before it on each axis that its symmetry
        reverses; where an image is as short as the crop, the axis is not reversed.

    Returns:
      Vectors of n.
    """
    images = _pick_images(indices, len(sizes), _key(seed, f"data/{stream}/image"))
    room = tf.gather(tf.constant(sizes), images) - patch + 1
    # 32 bits modulo a few thousand: uniform to about one in a million.
    bits = _bits(_key(seed, f"data/{stream}/crop"), indices, 3)
    symmetries = bits[:, 2] % D4_COUNT
    places = bits[:, :2] % room
    if one_before:
        symmetries = without_reversals(symmetries, room > 1)
        first = reversals(symmetries)
        places = first + bits[:, :2] % (room - first)
    return Draw(images, places[:, 0], places[:, 1], symmetries)


def _pick_images(indices: tf.Tensor, count: int, key: int) -> tf.Tensor:
    epochs, places = indices // count, indices % count
    # tf.random.experimental.index_shuffle, which pads seeds so but fails for vectors of
    # seeds (TF 2.21).
    seeds = tf.pad(_seeds(key, epochs), [[0, 0], [1, 0]], constant_values=498247692)
    images = tf.raw_ops.RandomIndexShuffle(
        index=places, seed=seeds, max_index=tf.constant(count - 1, tf.int64), rounds=4
    )
    # For a few hundred images the cipher behind index_shuffle knows but 256 orders;
    # a drawn rotation makes them 256 * count and each image equally likely anywhere.
    return (images + _bits(key, epochs, 1)[:, 0]) % count


def _bits(key: int, numbers: tf.Tensor, count: int) -> tf.Tensor:
    """[n, count] int64 of 32 random bits; row i is a function of (key, numbers[i])."""
    rows = [
        tf.random.stateless_uniform(
            [count], seed=seed, minval=None, maxval=None, dtype=tf.uint32
        )
        for seed in tf.unstack(_seeds(key, numbers))
    ]
    return tf.cast(tf.stack(rows), tf.int64)


def _seeds(key: int, numbers: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.fill(numbers.shape, tf.constant(key, tf.int64)), numbers], 1)


def _key(seed: int, name: str) -> int:
    first, second = stream_seed(seed, name)
    return (first << 31) | second


# (draws of n patches, side) -> [n, side, side, 3] uint8
Cut = Callable[[Draw, int], tf.Tensor]


def cutter(source: ImageSource) -> Cut:
    """Returns cut(draws, side), which cuts patches out of `source`.

    Args of the returned function:
      draws: vectors of n, n known statically.
      side: of the patches, in pixels.

    It returns [n, side, side, 3] uint8, each patch under its drawn symmetry.
    """
    cut = joint_cutter([source])
    return lambda draws, side: cut([draws], [side])[0]


def joint_cutter(
    sources: Sequence[ImageSource],
) -> Callable[[Sequence[Draw], Sequence[int]], list[tf.Tensor]]:
    """Returns cut(draws, sides): as `cutter`, for images that belong together.

    Images of one index belong together. Where one of them can't be read any more, the
    next ones take their place, in all sources.

    Args:
      sources: as many images in each, larger by the same factors.
    """
    if all(source.cached for source in sources):
        readers = [_memory_regions(source) for source in sources]
    else:
        readers = []
    from_disk = _disk_regions(sources)

    def cut(draws: Sequence[Draw], sides: Sequence[int]) -> list[tf.Tensor]:
        patches = (
            [
                read(draw.image, draw.top, draw.left, side)
                for read, draw, side in zip(readers, draws, sides, strict=True)
            ]
            if readers
            else from_disk(draws, sides)
        )
        return [
            _turned(part, draw.symmetry, side)
            for part, draw, side in zip(patches, draws, sides, strict=True)
        ]

    return cut


def _turned(patches: list[tf.Tensor], symmetry: tf.Tensor, side: int) -> tf.Tensor:
    views, orders = steps_of(symmetry, side, _CHANNELS)
    turned = [
        apply_steps(patch, Steps(view, order), side)
        for patch, view, order in zip(
            patches, tf.unstack(views), tf.unstack(orders), strict=True
        )
    ]
    stacked = tf.stack(turned)
    return tf.ensure_shape(stacked, [len(turned), side, side, _CHANNELS])


def partners_of(draws: Draw, scale: int, grid: str) -> Draw:
    """Returns the draws of the HR patches of LR patches.

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
    """Returns the slices of `side` rows in the buffer, and the patches' columns.

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


def _disk_regions(
    sources: Sequence[ImageSource],
) -> Callable[[Sequence[Draw], Sequence[int]], list[list[tf.Tensor]]]:
    read = _patch_reader(sources)

    def regions(draws: Sequence[Draw], sides: Sequence[int]) -> list[list[tf.Tensor]]:
        # [n, sources, 2]
        places = tf.stack([tf.stack([d.top, d.left], axis=1) for d in draws], axis=1)
        given = zip(tf.unstack(draws[0].image), tf.unstack(places), strict=True)
        wanted = tf.constant(sides, tf.int64)
        patches = [
            tf.numpy_function(
                read, [image, place, wanted], [tf.uint8] * len(sides), stateful=False
            )
            for image, place in given
        ]
        return [list(of_source) for of_source in zip(*patches, strict=True)]

    return regions


class _Exit:
    """Whether the interpreter is about to end, and how many reads there were."""

    def __init__(self) -> None:
        self.begun = False
        self.reads = 0

    def wait(self) -> None:
        """Ends the reads that are under way or queued."""
        self.begun = True
        if not self.reads:
            return
        end = time.monotonic() + _PATIENCE_S
        seen, quiet_since = self.reads, time.monotonic()
        while time.monotonic() < end and time.monotonic() - quiet_since < _QUIET_S:
            time.sleep(0.01)
            if self.reads != seen:
                seen, quiet_since = self.reads, time.monotonic()


_EXIT = _Exit()
atexit.register(_EXIT.wait)


def _patch_reader(
    sources: Sequence[ImageSource],
) -> Callable[[int, np.ndarray, np.ndarray], list[np.ndarray]]:
    """Returns read(image, places, sides) -> [side, side, 3] uint8 of each source.

    Args of the returned function:
      image: index.
      places: [sources, 2], top and left of the patches.
      sides: [sources], of the patches.
    """

    def read(image: int, places: np.ndarray, sides: np.ndarray) -> list[np.ndarray]:
        if _EXIT.begun:
            _EXIT.reads += 1
            return [np.zeros((side, side, 3), np.uint8) for side in sides]
        pictures, places = _pictures(sources, int(image), places, sides)
        _EXIT.reads += 1
        return [
            picture[top : top + side, left : left + side].copy()
            for picture, (top, left), side in zip(pictures, places, sides, strict=True)
        ]

    return read


def _pictures(
    sources: Sequence[ImageSource], image: int, places: np.ndarray, sides: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """Reads images `image`, or the next ones that can be read and are large enough.

    Returns:
      (the images, the places in them).
    """
    count, lost = sources[0].count, sources[0].lost
    for at in (np.arange(count) + image) % count:
        name = sources[0].entries[at].name
        if name in lost:
            continue
        try:
            pictures = [source.image(at) for source in sources]
        except ImageError as error:
            lost[name] = error.reason
            _tell(error, len(lost), count)
            continue
        sizes = np.array([picture.shape[:2] for picture in pictures])
        moved = places if at == image else _moved(places, sides, sizes)
        if moved is not None:
            return pictures, moved
    raise UserError("No picture is left that can be read.")


def _moved(
    places: np.ndarray, sides: np.ndarray, sizes: np.ndarray
) -> np.ndarray | None:
    """The places nearest to `places` in images of other sizes; None: there are none.

    All move together, by whole pixels of the smallest images.
    """
    factors = (sides // sides.min())[:, None]
    least = np.max(-(places // factors), axis=0)
    most = np.min((sizes - sides[:, None] - places) // factors, axis=0)
    if (least > most).any():
        return None
    return places + np.clip(0, least, most) * factors


_LOG = logging.getLogger(__name__)
_STOPS: list[UserError] = []


def _tell(error: ImageError, lost: int, count: int) -> None:
    """Names a picture that was lost; refuses to go on without most of them."""
    _LOG.warning(
        "warning: %s The next picture is taken in its place (%d of %d are lost).",
        error,
        lost,
        count,
    )
    if 2 * lost > count:
        _STOPS.append(
            UserError(
                "Photographs must stay as they are while a run reads them. Received: "
                f"{lost} of {count} that cannot be read any more, the last one {error} "
                "Put them back; the same command goes on from the last checkpoint."
            )
        )
        raise _STOPS[-1]


def why_stopped() -> UserError | None:
    """Why a stream gave up, since TensorFlow passes errors on as text; None: it didn't.

    Asked once: the reason is forgotten then.
    """
    return _STOPS.pop() if _STOPS else None


class Steps(NamedTuple):
    """The operations of a symmetry, for one patch or (a row each) for several.

    Attributes:
      view: [3] or [n, 3] int32, the shape whose middle axis is reversed.
      order: [3] or [n, 3] int32, of the axes afterwards.
    """

    view: tf.Tensor
    order: tf.Tensor


def steps_of(symmetry: tf.Tensor, side: int, channels: int) -> Steps:
    """Looks up operations of symmetries 0..7 (scalar or [n], see `core.geometry`)."""
    views, orders = _tables(side, channels)
    return Steps(
        tf.gather(tf.constant(views), symmetry),
        tf.gather(tf.constant(orders), symmetry),
    )


def apply_steps(patch: tf.Tensor, steps: Steps, side: int) -> tf.Tensor:
    """Returns [P, P, C] of a patch of P*P*C elements (any shape) under one symmetry."""
    patch = tf.raw_ops.Reverse(
        tensor=tf.reshape(patch, steps.view), dims=[False, True, False]
    )
    return tf.transpose(tf.reshape(patch, [side, side, -1]), steps.order)


def reversals(symmetry: tf.Tensor) -> tf.Tensor:
    """Finds the axes that symmetries [n] reverse before any transposition.

    Returns:
      [n, 2] int64 of 0 and 1: down, right.
    """
    parts = np.array([d4_parts(index)[:2] for index in range(D4_COUNT)], np.int64)
    return tf.gather(tf.constant(parts), symmetry)


def without_reversals(symmetry: tf.Tensor, kept: tf.Tensor) -> tf.Tensor:
    """Symmetries [n] that reverse only the axes where `kept`, [n, 2] bool, is true."""
    parts = [d4_parts(index) for index in range(D4_COUNT)]
    # [symmetry, kept down, kept right]
    table = np.array(
        [
            [
                [parts.index((down and k, right and m, swap)) for m in (False, True)]
                for k in (False, True)
            ]
            for down, right, swap in parts
        ],
        np.int64,
    )
    index = tf.concat([symmetry[:, None], tf.cast(kept, tf.int64)], axis=1)
    return tf.gather_nd(tf.constant(table), index)


@functools.cache
def _tables(side: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Views and orders by symmetry, [8, 3] each."""
    views = {
        (False, False): (side, 1, side * channels),
        (True, False): (1, side, side * channels),
        (False, True): (side, side, channels),
        (True, True): (1, side * side, channels),
    }
    orders = {False: (0, 1, 2), True: (1, 0, 2)}
    parts = [d4_parts(index) for index in range(D4_COUNT)]
    return (
        np.array([views[down, right] for down, right, _ in parts], np.int32),
        np.array([orders[transposed] for *_, transposed in parts], np.int32),
    )
