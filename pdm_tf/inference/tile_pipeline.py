"""One call of `Engine.upscale`: its threads, its queues, and the images in work.

    reader thread --tiles--> caller's thread --batches--> assembler thread
     source.read               session.run                  sink.write_rows, finish

The queues between them are short, so they hold a few tiles and one row of tiles per
image that is being put together, never an image. A source or a sink that raises fails
its own image only; other exceptions (Ctrl-C, a defect) end the run.
"""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.inference.session import SrSession
from pdm_tf.inference.threads import Threads, Worker
from pdm_tf.inference.tiling import Assembler, Cutting, TilePlan, mirrored

_PORTION = 16 * 2**20  # bytes of rows that a sink gets at once
_POLL = 0.1  # s that the caller's thread waits before it reports finished images
_LINGER = 0.02  # s that a batch waits for more tiles of its shape
# s to wait for the reader when the run is given up: it may sit in the iterator of the
# jobs, which may learn of it only when `upscale` has raised.
_READER_PATIENCE = 0.5


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
    """Takes an upscaled image. Only one thread at a time calls it."""

    def write_rows(self, rows: np.ndarray) -> None:
        """Takes the next rows [layers, n, W * scale, 3] float32, not clipped.

        The array is used again after the call: copy any part to keep.
        """

    def finish(self) -> None:
        """Notes that all rows have come."""

    def restart(self) -> None:
        """Discards all rows so far; the first one comes next."""

    def abort(self) -> None:
        """Gives up: no more rows will come, and those that came are useless."""


class ImageJob:
    """One image in work.

    Attributes:
      index: its place in the order of the jobs.
      attempt: 0, or 1 when it is being redone in float32.
      closed: whether it needs no more work.
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
        is made, and raises the source's exceptions.
        """
        width = self._plan.width
        for y in self._plan.rows:
            with self._reading:
                if self.closed or attempt != self.attempt:
                    return
                bottom = min(y.stop, self._plan.height)
                band = self.source.read(y.start, bottom, 0, width)
            expected = (self._layers, bottom - y.start, width, 3)
            if band.shape != expected:
                raise ValueError(
                    f"`source.read` must return {expected}. Received: {band.shape}."
                )
            # One shape for all tiles, so that they keep their order in batches.
            band = mirrored(band, y.stop - y.start, self._plan.columns[-1].stop)
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
        """Writes in portions, because a sink copies its rows."""
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
        """Whether its result is still needed."""
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
        """Returns a batch that is worth running; None when it is better to wait."""
        for shape, group in self._groups.items():
            if len(group) >= self._size:
                return self._take(shape)
        # Odd shapes must not pile up: two batches of waiting tiles are enough.
        return self.oldest() if len(self) > 2 * self._size else None

    def oldest(self) -> list[Tile]:
        """Returns the tiles that have waited longest, up to a batch."""
        return self._take(next(iter(self._groups)))

    def _take(self, shape: tuple[int, ...]) -> list[Tile]:
        group = self._groups.pop(shape)
        if len(group) > self._size:
            self._groups[shape] = group[self._size :]
        return group[: self._size]


class Upscaler(Protocol):
    """The part of `engine.Engine` that a run needs."""

    session: SrSession
    scale: int
    cutting: Cutting

    def plan(self, source: LrSource) -> TilePlan: ...

    def forward(
        self, lr: np.ndarray, session: SrSession | None = None
    ) -> np.ndarray: ...

    def float32_session(self) -> SrSession | None: ...


class TilePipeline:
    """Prepares one call; see `Engine.upscale` for jobs and on_done."""

    def __init__(
        self,
        engine: Upscaler,
        jobs: Iterable[tuple[LrSource, SrSink]],
        on_done: Callable[[int, Exception | None], None],
    ) -> None:
        self._engine, self._jobs, self._on_done = engine, jobs, on_done
        size = engine.cutting.batch_size
        self._tiles: queue.Queue[Tile | None] = queue.Queue(2 * size)
        self._results: queue.Queue[Callable[[], None] | None] = queue.Queue(1)
        self._outcomes: queue.SimpleQueue[tuple[int, Exception | None]] = (
            queue.SimpleQueue()
        )
        self._batcher = Batcher(size)
        self._open: dict[int, ImageJob] = {}
        self._threads = Threads(
            {
                "tiles in": Worker(self._read, patience=_READER_PATIENCE),
                "rows out": Worker(self._assemble),
            }
        )

    def run(self) -> None:
        """Runs all jobs; returns when all threads have ended."""
        self._threads.start()
        try:
            while (batch := self._next_batch()) is not None:
                self._compute(batch)
                self._tell()
            self._threads.put(self._results, None)
            self._threads.finish(meanwhile=self._tell)
        except BaseException as error:
            self._give_up(error)
            raise

    # In the caller's thread.

    def _next_batch(self) -> list[Tile] | None:
        """Waits for tiles; None when the last one has been computed."""
        while (batch := self._batcher.full()) is None:
            self._threads.raise_defect()
            waiting = len(self._batcher)
            try:
                tile = self._tiles.get(timeout=_LINGER if waiting else _POLL)
            except queue.Empty:
                if waiting:
                    return self._batcher.oldest()
                self._tell()
                continue
            if tile is not None:
                self._batcher.add(tile)
            elif waiting:
                self._tiles.put(None)  # for the next call
                return self._batcher.oldest()
            else:
                return None
        return batch

    def _compute(self, batch: list[Tile], session: SrSession | None = None) -> None:
        batch = [tile for tile in batch if tile.wanted]
        if not batch:
            return
        try:
            sr = self._engine.forward(np.stack([t.pixels for t in batch]), session)
        except (UserError, MemoryError) as error:
            if len(batch) == 1:
                self._fail(batch[0].job, error)
            for tile in batch if len(batch) > 1 else []:
                self._compute([tile], session)  # perhaps only together too large
            return
        # A cheap sum over all values finds it; then each tile is checked.
        broken = set()
        if not np.isfinite(sr.sum()):
            broken = {
                tile.job
                for tile, part in zip(batch, sr, strict=True)
                if not np.isfinite(part).all()
            }
        good = [
            pair for pair in zip(batch, sr, strict=True) if pair[0].job not in broken
        ]
        if good:
            self._threads.put(self._results, lambda: self._place(good))
        for job in broken:
            self._redo(job)

    def _redo(self, job: ImageJob) -> None:
        """Redoes an image in float32 at once."""
        engine = self._engine
        try:
            session = engine.float32_session() if job.attempt == 0 else None
            if session is None:
                raise UserError(_not_finite(engine.session, job.attempt))
            attempt = job.begin_again()
            self._threads.put(self._results, lambda: self._on_sink(job, job.restart))
            batcher = Batcher(engine.cutting.batch_size)
            for tile in job.tiles(attempt):
                batcher.add(tile)
                if (batch := batcher.full()) is not None:
                    self._compute(batch, session)
            if len(batcher):
                self._compute(batcher.oldest(), session)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this image's
            self._fail(job, error)

    def _tell(self) -> None:
        while not self._outcomes.empty():
            self._on_done(*self._outcomes.get())

    def _give_up(self, error: BaseException) -> None:
        """Ends the threads; one that is stuck in other code is left behind."""
        self._threads.stop()
        if self._threads.leave():
            for job in list(self._open.values()):
                job.closed = True
                _aborted(job.sink, error)

    # In the reader's thread.

    def _read(self) -> None:
        for index, (source, sink) in enumerate(self._jobs):
            try:
                job = ImageJob(
                    index, source, sink, self._engine.plan(source), self._engine.scale
                )
            except Exception as error:  # noqa: BLE001 - it is this image's
                _aborted(sink, error)
                self._outcomes.put((index, error))
                continue
            self._open[index] = job
            try:
                for tile in job.tiles(0):
                    if not self._threads.put(self._tiles, tile):
                        return
            except Exception as error:  # noqa: BLE001 - the source's, of any kind
                self._fail(job, error)
        self._threads.put(self._tiles, None)

    # In the assembler's thread.

    def _assemble(self) -> None:
        while (action := self._threads.get(self._results)) is not None:
            action()

    def _place(self, results: list[tuple[Tile, np.ndarray]]) -> None:
        for tile, sr in results:
            if tile.wanted:
                self._on_sink(tile.job, lambda job=tile.job, sr=sr: self._add(job, sr))

    def _add(self, job: ImageJob, sr: np.ndarray) -> None:
        job.assembler.add(sr)
        if job.assembler.complete:
            job.sink.finish()
            self._close(job, None)

    def _on_sink(self, job: ImageJob, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - the sink's, of any kind
            self._abort(job, error)

    def _abort(self, job: ImageJob, error: Exception) -> None:
        if not job.closed:
            _aborted(job.sink, error)
            self._close(job, error)

    def _close(self, job: ImageJob, error: Exception | None) -> None:
        job.closed = True
        self._open.pop(job.index, None)
        self._outcomes.put((job.index, error))

    # In any thread.

    def _fail(self, job: ImageJob, error: Exception) -> None:
        self._threads.put(self._results, lambda: self._abort(job, error))


def _not_finite(session: SrSession, attempt: int) -> str:
    if session.info.precision == "float16" and attempt == 0:
        return (
            "The network gives values that are not finite (float16 overflows on this "
            "image), and there is no float32 network to redo it with. Use the float32 "
            "model."
        )
    return "The network gives values that are not finite on this image."


def _aborted(sink: SrSink, error: BaseException) -> None:
    """Aborts a sink because of `error`, which remains the one reported."""
    try:
        sink.abort()
    except Exception as second:  # noqa: BLE001 - the first error counts
        error.add_note(f"Giving up the result failed too: {second}")
