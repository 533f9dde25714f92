"""Writes the network's rows to a file: alpha, rounding, resizing, encoding.

The engine hands over rows from top to bottom (`PictureSink.write_rows`). They become
samples of the source's depth at once and wait in a store, in memory or in a scratch
file, because an encoder can only begin when the whole image is there. Then `save` runs
once over the store, with a few rows in memory at a time.

Alpha. The network saw colours multiplied by alpha, and alpha as an image of its own;
here the colours are divided again. Near the image's border, and by a little everywhere,
a trained network does not return the constants 0 and 1 exactly. So alpha is taken from
the source where it is settled: opaque (or clear) in all pixels around. The colours
there are those that the network would have made without alpha. Pixels that are clear
in the result are black.

Another size than the network's (`outscale`): the result of the network, kept to 16 bits
whatever the source has, is resized by libvips (lanczos3 to make it smaller, bicubic to
make it larger, colours multiplied by alpha), and rounded once, at the end.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pdm_tf.core.errors import ImageError
from pdm_tf.inference.pictures import Picture
from pdm_tf.inference.result_files import (
    FORMATS,
    TargetFile,
    check_holds,
    encode,
    format_of,
)
from pdm_tf.inference.stores import MemoryBudget, PixelStore, open_store

# LR pixels around one that all have to be opaque for its SR pixels to be. Two is the
# reach of bicubic; beyond it a result of a linear upscaler cannot depend on alpha.
_SETTLED_RADIUS = 2
# Samples that are converted at a time: a few MB, whatever the width of the image.
_CHUNK = 2**20


class PictureSink:
    """Takes the SR rows of one picture and saves them; an `SrSink` for the engine.

    Attributes:
      picture: the source.
      target: the file to be written.
      size: (height, width) of the result.
      notes: losses and changes in the result, worded to follow the source's name.
    """

    def __init__(
        self,
        picture: Picture,
        target: Path,
        *,
        scale: int,
        outscale: float,
        quality: int,
        budget: MemoryBudget,
        on_pixels: Callable[[int], None] = lambda count: None,
        on_finish: Callable[["PictureSink"], None],
    ) -> None:
        """Makes a store for the rows.

        Args:
          picture: read; closed by `close`.
          target: its suffix gives the format.
          scale: of the network.
          outscale: size of the result / size of the picture.
          quality: 1..100, of JPEG and WebP.
          budget: memory for pixels, shared by all images in work.
          on_pixels: gets the number of LR pixels that are done, as rows arrive.
          on_finish: called after the last row; must arrange for `save` and `close`.

        Raises:
          ImageError: the format cannot hold the result, or the disk has no space.
        """
        self.picture, self.target = picture, target
        self.size = result_size(picture.height, picture.width, outscale)
        self.notes = [*picture.notes, *check_holds(picture, target, *self.size)]
        self._scale, self._quality = scale, quality
        self._resized = outscale != scale
        self._bits = _bits(picture, target)
        self._on_pixels, self._on_finish = on_pixels, on_finish
        self._rows_done, self._is_finished = 0, False
        self._stop, self._encoded = threading.Event(), None
        self._output = TargetFile(target)
        try:
            self._store = self._open_store(budget)
        except BaseException:
            self._output.discard()
            raise

    def write_rows(self, rows: np.ndarray) -> None:
        """Takes [layers, n, W*scale, 3] float32, not clipped, below the rows so far."""
        step = max(1, _CHUNK // rows[0, 0].size)
        for top in range(0, rows.shape[1], step):
            part = rows[:, top : top + step]
            first, count = self._rows_done, part.shape[1]
            self._store.append(self._samples(part, first))
            self._rows_done += count
            done = self._rows_done // self._scale - first // self._scale
            self._on_pixels(done * self.picture.width)

    def restart(self) -> None:
        """Discards the rows so far; the first one comes next."""
        self._on_pixels(-(self._rows_done // self._scale) * self.picture.width)
        self._rows_done = 0
        self._store.clear()

    def finish(self) -> None:
        """Notes that all rows have come."""
        self._is_finished = True
        self._on_finish(self)

    def abort(self) -> None:
        """Gives up; nothing of the result remains.

        After `finish` it stops `save`, wherever it is; the saver calls `close`.
        """
        self._stop.set()
        if not self._is_finished:
            self.close()
        elif (encoded := self._encoded) is not None:
            encoded.set_kill(True)

    def save(self, before: Callable[[Any], None] | None = None) -> None:
        """Encodes the file and gives it its name.

        Args:
          before: as in `TargetFile.commit`.

        Raises:
          ImageError: of the target: it cannot be written, or `abort` came.
        """

        def on_start(image: Any) -> None:
            self._encoded = image
            if self._stop.is_set():
                image.set_kill(True)

        encode(
            self._image(),
            self._output.descriptor,
            self.target,
            self.picture.metadata,
            self._quality,
            on_start,
        )
        if self._stop.is_set():
            raise ImageError(self.target, "was given up")
        self._output.commit(before)

    def close(self) -> None:
        """Frees memory and disk space, the picture's too; may be called twice."""
        self._output.discard()
        self._store.close()
        self.picture.close()

    def _open_store(self, budget: MemoryBudget) -> PixelStore:
        picture = self.picture
        height, width = picture.height * self._scale, picture.width * self._scale
        bands = picture.colours + (picture.layers == 2)
        bits = 16 if self._resized else self._bits
        # The file is smaller than its pixels, except for noise, which deflate cannot
        # shrink.
        final = np.prod(self.size, dtype=float) * (bands + 1) * self._bits / 8
        return open_store(
            (height, width, bands),
            np.dtype(np.uint16 if bits == 16 else np.uint8),
            folder=self.target.parent,
            budget=budget,
            spare=final,
        )

    def _samples(self, rows: np.ndarray, first: int) -> np.ndarray:
        """[layers, n, W, 3] float32 to [n, W, bands] of the store's type."""
        colour = rows[0]
        if self.picture.colours == 1:  # three results for one channel: the mean
            colour = colour.mean(axis=-1, keepdims=True)
        bands = [colour]
        if self.picture.layers == 2:
            alpha = rows[1].mean(axis=-1)
            opaque, clear = self._settled(first, rows.shape[1])
            alpha = np.where(opaque, 1, np.where(clear, 0, alpha))[..., None]
            alpha = alpha.astype(np.float32)
            # Pixels that round to clear are clear: dividing by almost nothing makes
            # noise.
            seen = alpha >= 0.5 / (2**self._bits - 1)
            colour = np.where(seen, colour / np.where(seen, alpha, 1), 0)
            bands = [colour, alpha]
        return quantised(np.concatenate(bands, axis=-1), self._store.dtype)

    def _settled(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Masks the surely opaque and the surely clear pixels of some SR rows."""
        scale, radius = self._scale, _SETTLED_RADIUS
        top, bottom = first // scale, -(-(first + count) // scale)
        above, below = max(top - radius, 0), min(bottom + radius, self.picture.height)
        alpha = self.picture.alpha_rows(above, below)
        found = []
        for level in (2**self.picture.bits - 1, 0):
            around = _all_around(alpha == level, radius)[top - above :][: bottom - top]
            large = around.repeat(scale, axis=0).repeat(scale, axis=1)
            found.append(large[first - top * scale :][:count])
        return found[0], found[1]

    def _image(self) -> Any:
        """Returns the result as a pyvips image that is computed while it is read."""
        image = self._store.image()
        has_alpha = self.picture.layers == 2
        if self._resized:
            image = _resized(image, self.size, has_alpha, self._bits)
        if self.picture.has_alpha and not has_alpha and self._holds_alpha():
            image = image.bandjoin(2**self._bits - 1)
        return image

    def _holds_alpha(self) -> bool:
        return FORMATS[format_of(self.target)].alpha


def result_size(height: int, width: int, outscale: float) -> tuple[int, int]:
    """Returns the size of a result in pixels, rounded half up, at least 1."""
    return tuple(max(1, int(side * outscale + 0.5)) for side in (height, width))


def quantised(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Converts floats in [0, 1] to uint8 or uint16: clipped, then rounded half up."""
    most = np.float32(np.iinfo(dtype).max)
    return np.floor(np.clip(values, 0, 1) * most + np.float32(0.5)).astype(dtype)


def _bits(picture: Picture, target: Path) -> int:
    return min(picture.bits, FORMATS[format_of(target)].bits)


def _all_around(mask: np.ndarray, radius: int) -> np.ndarray:
    """Marks pixels whose square of 2*radius + 1 is all set; outside is unset."""
    for axis in (0, 1):
        widths = [(radius, radius) if a == axis else (0, 0) for a in (0, 1)]
        padded = np.pad(mask, widths, constant_values=True)
        windows = np.lib.stride_tricks.sliding_window_view(
            padded, 2 * radius + 1, axis=axis
        )
        mask = windows.all(axis=-1)
    return mask


def _resized(image: Any, size: tuple[int, int], has_alpha: bool, bits: int) -> Any:
    """Resizes a ushort image to `size`, rounded to `bits`."""
    height, width = size
    work = image.cast("float")
    if has_alpha:
        work = work.premultiply(max_alpha=65535)
    work = work.resize(
        width / image.width, vscale=height / image.height, kernel="lanczos3"
    )
    if has_alpha:
        work = work.unpremultiply(max_alpha=65535)
    most, kind = (65535, "ushort") if bits == 16 else (255, "uchar")
    # The cast clips and cuts the fraction off.
    return (work * (most / 65535) + 0.5).cast(kind)
