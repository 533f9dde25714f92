"""What goes through the engine: images in work, their tiles, and batches of tiles."""

import threading
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from pdm_tf.inference.tiles import Assembler, TilePlan

_PORTION = 16 * 2**20  # bytes of rows that a sink gets at once


class LrSource(Protocol):
    """An image to upscale. Only one thread at a time calls it.

    Attributes:
      height, width: in pixels.
      layers: 2 when it has transparency (colour multiplied by alpha, and alpha in three
        equal channels), else 1.
    """

    height: int
    width: int
    layers: int

    def read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """Returns a part as [layers, h, w, 3] float32 in [0, 1]."""


class SrSink(Protocol):
    """Where an upscaled image goes. Only one thread at a time calls it."""

    def write_rows(self, rows: np.ndarray) -> None:
        """Takes the next rows [layers, n, W * scale, 3] float32, not clipped.

        The array is used again after the call: what is kept must be copied.
        """

    def finish(self) -> None:
        """All rows have come."""

    def restart(self) -> None:
        """All rows so far are void; the first one comes next."""

    def abort(self) -> None:
        """No more rows will come, and those that came are of no use."""


class ImageJob:
    """One image in work.

    Attributes:
      index: its place in the order of the jobs.
      attempt: 0, or 1 when it is being redone in float32.
      closed: nothing more is to be done for it.
    """

    def __init__(
        self, index: int, source: LrSource, sink: SrSink, plan: TilePlan, scale: int
    ) -> None:
        self.index, self.source, self.sink = index, source, sink
        self.attempt, self.closed = 0, False
        self._plan, self._scale = plan, scale
        self._reading = threading.Lock()
        self._layers = source.layers
        self.assembler = self._new_assembler()

    def tiles(self, attempt: int) -> Iterator["Tile"]:
        """Yields the tiles in the order that the assembler wants.

        Reads one row of tiles at a time, ends when the job is closed or another attempt
        is made, and raises what the source raises.
        """
        width = self._plan.width
        for y in self._plan.rows:
            with self._reading:
                if self.closed or attempt != self.attempt:
                    return
                band = self.source.read(y.start, y.stop, 0, width)
            expected = (self._layers, y.stop - y.start, width, 3)
            if band.shape != expected:
                raise ValueError(
                    f"`source.read` must return {expected}. Received: {band.shape}."
                )
            for x in self._plan.columns:
                for layer in band[:, :, x.start : x.stop]:
                    yield Tile(self, attempt, layer)

    def begin_again(self) -> int:
        """Makes tiles of earlier attempts void; returns the new attempt."""
        with self._reading:  # not while another thread is in the source
            self.attempt += 1
            return self.attempt

    def restart(self) -> None:
        """Forgets all rows; for the thread that assembles."""
        self.assembler = self._new_assembler()
        self.sink.restart()

    def _new_assembler(self) -> Assembler:
        return Assembler(self._plan, self._scale, self._write, layers=self._layers)

    def _write(self, rows: np.ndarray) -> None:
        """In portions, because a sink makes copies of what it gets."""
        count = max(1, _PORTION // max(rows[:, :1].nbytes, 1))
        for top in range(0, rows.shape[1], count):
            self.sink.write_rows(rows[:, top : top + count])


class Tile(NamedTuple):
    """A part of an image: pixels [h, w, 3] float32."""

    job: ImageJob
    attempt: int
    pixels: np.ndarray

    @property
    def wanted(self) -> bool:
        """Whether its result is still of use."""
        return not self.job.closed and self.attempt == self.job.attempt


class Batcher:
    """Tiles that wait for others of their shape.

    Tiles of different images go together. Those of one image all have one shape, so
    they keep their order.
    """

    def __init__(self, size: int) -> None:
        """`size`: tiles that make a batch."""
        self._size = size
        self._groups: dict[tuple[int, ...], list[Tile]] = {}

    def __len__(self) -> int:
        return sum(len(group) for group in self._groups.values())

    def add(self, tile: Tile) -> None:
        """Takes one tile in."""
        self._groups.setdefault(tile.pixels.shape, []).append(tile)

    def full(self) -> list[Tile] | None:
        """A batch that is worth running; None when it is better to wait."""
        for shape, group in self._groups.items():
            if len(group) >= self._size:
                return self._take(shape)
        # Odd shapes must not pile up: two batches of waiting tiles are enough.
        return self.oldest() if len(self) > 2 * self._size else None

    def oldest(self) -> list[Tile]:
        """What has waited longest, up to a batch of it."""
        return self._take(next(iter(self._groups)))

    def _take(self, shape: tuple[int, ...]) -> list[Tile]:
        group = self._groups.pop(shape)
        if len(group) > self._size:
            self._groups[shape] = group[self._size :]
        return group[: self._size]
