"""Degrades a whole photograph in windows, with the result of a single pass.

Everything random is drawn once for the whole LR image and cut with it. A window of the
LR image is computed from `context` more LR pixels on each side, which are thrown away,
and from the HR pixels below them with the margin of the blur; mirroring happens at the
photograph's own edges alone, and so does the zero padding of convolutions. So windows
leave no trace, and their size is a constant, not a setting: memory does not grow with
the photograph, beyond its 8-bit pixels and what was drawn.

A degradation without `context` is the exception: its only window is the photograph, and
memory grows with it (`mb_per_megapixel`).
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pdm_tf.core.images import to_u8
from pdm_tf.degradations.base import Degradation

# LR pixels. Windows begin at multiples of 16, and JPEG's blocks (8x8, 16x16 with halved
# chroma) fall where they would in the whole image. 64 channels of float32 on a window
# of 384 with the default noise module's context are 59 MB.
TILE = 384
_BLOCK = 16


class Stopped(Exception):  # noqa: N818 - not an error
    """Raised when `should_stop` returns true."""


class DegradedImage(NamedTuple):
    """An LR image and its degradation.

    Attributes:
      lr_u8: [h, w, 3] uint8.
      kernel: [K, K] float32, or None: no kernel, or one for each pixel.
      noise_std_255: standard deviation of all the noise, in levels of 8 bit, or None.
      quality: of JPEG (the last of several), or None.
      target_u8: [H, W, 3] uint8, what an SR network should make of it, or None: the
        photograph itself.
    """

    lr_u8: np.ndarray
    kernel: np.ndarray | None
    noise_std_255: float | None
    quality: float | None
    target_u8: np.ndarray | None = None


class Span(NamedTuple):
    """One window along one axis: it computes [start, stop) and fills [first, last)."""

    start: int
    stop: int
    first: int
    last: int


def degrade_image(
    degradation: Degradation,
    hr_u8: np.ndarray,
    seed: tuple[int, int],
    *,
    tile: int = TILE,
    should_stop: Callable[[], bool] = lambda: False,
) -> DegradedImage:
    """Degrades one photograph.

    Args:
      degradation: what to apply.
      hr_u8: [H, W, 3] uint8, both sides divisible by the scale and at least
        `degradation.least_size`.
      seed: two integers below 2**31; with them and the image's size everything random
        is decided.
      tile: side of the windows in LR pixels, a multiple of 16.
      should_stop: asked before each window.

    Raises:
      Stopped: `should_stop` returned true.
      ValueError: the scale, the tile and the image's size do not fit each other.
    """
    scale = degradation.scale
    height, width = (side // scale for side in hr_u8.shape[:2])
    if hr_u8.shape[:2] != (height * scale, width * scale) or tile % _BLOCK:
        raise ValueError(
            f"`scale` must divide H and W, and {_BLOCK} must divide `tile`. "
            f"Received: scale={scale}, shape={hr_u8.shape}, tile={tile}."
        )
    latents = degradation.draw(1, height, width, tf.constant(seed, tf.int32))
    lr_u8 = np.empty((height, width, 3), np.uint8)
    noise, degraded, target_u8 = _Moments(), None, None
    for rows in _spans(height, tile, degradation.context):
        for columns in _spans(width, tile, degradation.context):
            if should_stop():
                raise Stopped
            degraded = degradation.apply(
                tf.constant(_hr_window(hr_u8, rows, columns, degradation)[None]),
                *(_window(part, rows, columns, (height, width)) for part in latents),
            )
            inner = (
                slice(rows.first - rows.start, rows.last - rows.start),
                slice(columns.first - columns.start, columns.last - columns.start),
            )
            lr = degraded.lr.numpy()[0][inner]
            lr_u8[rows.first : rows.last, columns.first : columns.last] = to_u8(lr)
            target = getattr(degraded, "target", None)
            if target is not None:
                if target_u8 is None:
                    target_u8 = np.empty_like(hr_u8)
                _put_target(target_u8, target, rows, columns, scale)
            if degraded.noise is not None:
                noise.add(degraded.noise.numpy()[0][inner])
    quality = getattr(degraded, "quality", None)
    return DegradedImage(
        lr_u8,
        _kernel_of(degraded.kernel),
        None if degraded.noise is None else 255.0 * noise.std(),
        None if quality is None else float(np.asarray(quality).reshape(-1)[0]),
        target_u8,
    )


def _spans(length: int, tile: int, context: int | None) -> Iterator[Span]:
    if context is None:
        yield Span(0, length, 0, length)
        return
    around = -(-context // _BLOCK) * _BLOCK
    for first in range(0, length, tile):
        last = min(first + tile, length)
        yield Span(max(0, first - around), min(length, last + around), first, last)


def _hr_window(
    hr_u8: np.ndarray, rows: Span, columns: Span, degradation: Degradation
) -> np.ndarray:
    """HR pixels below a window with the margin, [.., .., 3] float64 in [0, 1]."""
    cuts, pads = [], []
    for span, length in zip((rows, columns), hr_u8.shape[:2], strict=True):
        start = span.start * degradation.scale - degradation.margin
        stop = span.stop * degradation.scale + degradation.margin
        cuts.append(slice(max(start, 0), min(stop, length)))
        pads.append((max(-start, 0), max(stop - length, 0)))
    window_u8 = np.pad(hr_u8[tuple(cuts)], [*pads, (0, 0)], mode=degradation.edge)
    return window_u8 / 255.0


def _put_target(
    target_u8: np.ndarray, target: tf.Tensor, rows: Span, columns: Span, scale: int
) -> None:
    """Fills the HR pixels that belong to a window's inner part."""
    to, of = [], []
    for span in (rows, columns):
        to.append(slice(span.first * scale, span.last * scale))
        of.append(slice(*(scale * (i - span.start) for i in (span.first, span.last))))
    target_u8[tuple(to)] = to_u8(target[0][tuple(of)].numpy())


def _window(
    part: tf.Tensor | None, rows: Span, columns: Span, size: tuple[int, int]
) -> tf.Tensor | None:
    """Cuts a window's part out of a tensor drawn for the whole LR image."""
    if part is None or part.shape.rank != 4 or tuple(part.shape[1:3]) != size:
        return part
    return part[:, rows.start : rows.stop, columns.start : columns.stop, :]


def _kernel_of(kernel: tf.Tensor | None) -> np.ndarray | None:
    if kernel is None or tuple(kernel.shape[1:3]) != (1, 1):
        return None
    side = round(kernel.shape[-1] ** 0.5)
    return kernel.numpy().reshape(side, side)


class _Moments:
    """Computes the standard deviation of numbers that come in parts."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, 0.0, 0.0

    def add(self, values: np.ndarray) -> None:
        values = values.astype(np.float64)
        self._count += values.size
        self._sum += float(values.sum())
        self._squares += float(np.square(values).sum())

    def std(self) -> float:
        mean = self._sum / self._count
        return max(self._squares / self._count - mean**2, 0.0) ** 0.5
