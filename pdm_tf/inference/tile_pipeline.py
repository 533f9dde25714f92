"""One call of `Engine.upscale`: its threads, its queues, and the images in work.

    reader thread --tiles--> caller's thread --batches--> assembler thread
     source.read               session.run                  sink.write_rows, finish

The queues between them are short, so what is held is a few tiles, one row of tiles per
image that is being put together, and never an image. A source or a sink that raises
fails its own image only; what belongs to no image (Ctrl-C, a defect) ends the run.
"""

import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.inference.session import SrSession
from pdm_tf.inference.tiles import TilePlan
from pdm_tf.inference.tiling import Cutting
from pdm_tf.inference.work import Batcher, ImageJob, LrSource, SrSink, Tile

_POLL = 0.1  # s between two looks at whether the run is being given up
_LINGER = 0.02  # s that a batch waits for more tiles of its shape
# When the run is given up, s that threads are waited for. The reader may sit in the
# iterator of the jobs, which may learn of it only when `upscale` has raised.
_PATIENCE = {"tiles in": 0.5, "rows out": 5.0}


class Upscaler(Protocol):
    """What a run needs of `engine.Engine`."""

    session: SrSession
    scale: int
    cutting: Cutting

    def plan(self, source: LrSource) -> TilePlan: ...

    def forward(
        self, lr: np.ndarray, session: SrSession | None = None
    ) -> np.ndarray: ...

    def float32_session(self) -> SrSession | None: ...


class TilePipeline:
    """Made for one call; see `Engine.upscale` for jobs and on_done."""

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
        self._stop = threading.Event()
        self._defect: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for work, name in ((self._read, "tiles in"), (self._assemble, "rows out"))
        ]

    def run(self) -> None:
        """Does it, and returns when all threads have ended."""
        for thread in self._threads:
            thread.start()
        try:
            while (batch := self._next_batch()) is not None:
                self._compute(batch)
                self._tell()
            self._put(self._results, None)
            while any(thread.is_alive() for thread in self._threads):
                self._threads[-1].join(_POLL)
                self._tell()
            self._tell()
            self._raise_defect()
        except BaseException as error:
            self._give_up(error)
            raise

    # In the caller's thread.

    def _next_batch(self) -> list[Tile] | None:
        """Waits for tiles; None when the last one has been computed."""
        while (batch := self._batcher.full()) is None:
            self._raise_defect()
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
        # Found by the sum of all values, which is cheap; then looked at closely.
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
            self._put(self._results, lambda: self._place(good))
        for job in broken:
            self._redo(job)

    def _redo(self, job: ImageJob) -> None:
        """Does an image once more in float32, here and now."""
        engine = self._engine
        try:
            session = engine.float32_session() if job.attempt == 0 else None
            if session is None:
                raise UserError(_not_finite(engine.session, job.attempt))
            attempt = job.begin_again()
            self._put(self._results, lambda: self._on_sink(job, job.restart))
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

    def _raise_defect(self) -> None:
        if self._defect is not None:
            raise self._defect

    def _give_up(self, error: BaseException) -> None:
        """Ends the threads; one that is stuck in somebody's code is left behind."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_PATIENCE[thread.name])
        if not self._threads[-1].is_alive():
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
                    if not self._put(self._tiles, tile):
                        return
            except Exception as error:  # noqa: BLE001 - the source's, of any kind
                self._fail(job, error)
        self._put(self._tiles, None)

    # In the assembler's thread.

    def _assemble(self) -> None:
        while (action := self._get(self._results)) is not None:
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
        self._put(self._results, lambda: self._abort(job, error))

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            self._defect = error
            self._stop.set()

    def _put(self, target: queue.Queue, item: Any) -> bool:
        """Waits for a place; False when the run is being given up."""
        while not self._stop.is_set():
            try:
                target.put(item, timeout=_POLL)
                return True
            except queue.Full:
                continue
        return False

    def _get(self, source: queue.Queue) -> Any:
        """Waits for an item; None when the run is being given up."""
        while not self._stop.is_set():
            try:
                return source.get(timeout=_POLL)
            except queue.Empty:
                continue
        return None


def _not_finite(session: SrSession, attempt: int) -> str:
    if session.info.precision == "float16" and attempt == 0:
        return (
            "The network gives values that are not finite (float16 overflows on this "
            "image), and there is no float32 network to redo it with. Use the float32 "
            "model."
        )
    return "The network gives values that are not finite on this image."


def _aborted(sink: SrSink, error: BaseException) -> None:
    """Gives a sink up because of `error`, which stays what is told."""
    try:
        sink.abort()
    except Exception as second:  # noqa: BLE001 - the first error counts
        error.add_note(f"Giving up the result failed too: {second}")
