"""Many images of any size through one session, tile by tile.

    reader thread --tiles--> caller's thread --batches--> assembler thread
     source.read               session.run                  sink.write_rows, finish

The queues between them are short, so what is held is a few tiles, one row of tiles per
image that is being put together, and never an image. Tiles of different images share a
batch when their shapes agree. A source or a sink that raises fails its own image only.

A float16 network can overflow (65504 is its largest number) and then gives inf or nan.
That is looked for in every tile, and such an image is redone from its first row with
the float32 network.
"""

import queue
import threading
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import to_float, to_u8
from pdm_tf.inference.ensemble import self_ensemble
from pdm_tf.inference.session import SrSession
from pdm_tf.inference.settings import Cutting, choose_cutting
from pdm_tf.inference.tiles import Plan
from pdm_tf.inference.work import Batcher, Job, LrSource, SrSink, Tile

_POLL = 0.1  # s between two looks at whether the run is being given up
_LINGER = 0.02  # s that a batch waits for more tiles of its shape
# When the run is given up, s that threads are waited for. The reader may sit in the
# iterator of the jobs, which may learn of it only when `upscale` has raised.
_PATIENCE = {"tiles in": 0.5, "rows out": 5.0}

Fallback = SrSession | Callable[[], SrSession] | None


class Engine:
    """Upscales images with one network; made once, used for many.

    Attributes:
      session: the network. scale: its factor.
      cutting: tile, overlap, blend, batch size, and whether they are exact.
      ensemble: whether each tile is computed in 8 orientations.
    """

    def __init__(
        self,
        session: SrSession,
        *,
        tile: int = 0,
        overlap: int | None = None,
        blend: int | None = None,
        batch_size: int = 0,
        ensemble: bool = False,
        fallback: Fallback = None,
    ) -> None:
        """Chooses what is left open; see `settings.choose_cutting`.

        Args:
          session: of `open_session`.
          tile, overlap, blend, batch_size: in LR pixels, and tiles.
          ensemble: mean of 8 orientations, at 8 times the work.
          fallback: float32 network for images on which a float16 one overflows, or a
            function that opens it when it is needed.

        Raises:
          UserError: tile, overlap and blend that do not go together, or a fallback of
            another scale.
        """
        info = session.info
        self.session, self.scale, self.ensemble = session, info.scale, ensemble
        self.cutting: Cutting = choose_cutting(
            tile=tile,
            overlap=overlap,
            blend=blend,
            batch_size=info.batch or batch_size,
            radius=info.receptive_radius,
            architecture=info.architecture,
            on_gpu=session.provider.on_gpu,
        )
        self._fallback = fallback

    def upscale(
        self,
        jobs: Iterable[tuple[LrSource, SrSink]],
        on_done: Callable[[int, Exception | None], None] | None = None,
    ) -> None:
        """Upscales images; returns when all are done.

        Args:
          jobs: what to read and where to write; asked for the next one by a thread,
            when the ones before have been read.
          on_done: called in this thread with the index of a job when it is done, and
            what failed. A failed sink has been told `abort`.

        Raises:
          Whatever `jobs` or `on_done` raises, and KeyboardInterrupt; all sinks in work
          are aborted then.
        """
        _Run(self, jobs, on_done or (lambda index, error: None)).run()

    def upscale_array(self, lr_u8: np.ndarray) -> np.ndarray:
        """Upscales one image in memory.

        Args:
          lr_u8: [H, W, 3] uint8 RGB.

        Returns:
          [H * scale, W * scale, 3] uint8, clipped and rounded half up.

        Raises:
          ValueError: another shape or type.
          UserError: the network could not be run on it.
        """
        if lr_u8.dtype != np.uint8 or lr_u8.ndim != 3 or lr_u8.shape[2] != 3:
            raise ValueError(
                "`lr_u8` must be [H, W, 3] uint8. "
                f"Received: {lr_u8.shape} {lr_u8.dtype}."
            )
        sink = _ArraySink(lr_u8.shape, self.scale)
        errors: list[Exception | None] = []
        self.upscale(
            [(_ArraySource(lr_u8), sink)], lambda index, error: errors.append(error)
        )
        if errors[0] is not None:
            raise errors[0]
        return sink.sr_u8

    def describe(self) -> dict[str, Any]:
        """JSON-ready particulars for reports."""
        info, provider, cutting = self.session.info, self.session.provider, self.cutting
        return {
            "model": info.path.name,
            "model_sha256": info.sha256,
            "architecture": info.architecture,
            "precision": info.precision,
            "scale": info.scale,
            "provider": provider.active,
            "provider_requested": provider.requested,
            "provider_reason": provider.reason,
            "tile": cutting.tile,
            "overlap": cutting.overlap,
            "blend": cutting.blend,
            "batch_size": cutting.batch_size,
            "receptive_radius": info.receptive_radius,
            "exact": cutting.exact,
            "ensemble": self.ensemble,
        }

    def plan(self, source: LrSource) -> Plan:
        """How an image is cut."""
        if source.height < 1 or source.width < 1:
            raise UserError(
                "An image must have at least one pixel. Received: "
                f"{source.width}x{source.height}."
            )
        return self.cutting.plan(source.height, source.width, self.scale, source.layers)

    def forward(self, lr: np.ndarray, session: SrSession | None = None) -> np.ndarray:
        """Runs the network, or the ensemble, on one batch [B, h, w, 3] of tiles."""
        session = session or self.session

        def run(batch: np.ndarray) -> np.ndarray:
            missing = self._batch_for(session) - len(batch)
            if missing <= 0:
                return session.run(batch)
            padding = np.zeros((missing, *batch.shape[1:]), batch.dtype)
            return session.run(np.concatenate([batch, padding]))[: len(batch)]

        return self_ensemble(run, lr) if self.ensemble else run(lr)

    def float32_session(self) -> SrSession | None:
        """The network to redo an image with, opened at the first call."""
        if self.session.info.precision != "float16":
            return None
        if callable(self._fallback):
            self._fallback = self._fallback()
        if self._fallback is not None and self._fallback.info.scale != self.scale:
            raise UserError(
                "The float32 network must have the scale of the float16 one, "
                f"x{self.scale}. Received: x{self._fallback.info.scale}."
            )
        return self._fallback

    def _batch_for(self, session: SrSession) -> int:
        """Batches have one size where the graph or the GPU wants it."""
        if session.info.batch:
            return session.info.batch
        return self.cutting.batch_size if session.provider.on_gpu else 0


class _Run:
    """One call of `Engine.upscale`: its threads, queues and jobs in work."""

    def __init__(
        self,
        engine: Engine,
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
        self._open: dict[int, Job] = {}
        self._stop = threading.Event()
        self._defect: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for work, name in ((self._read, "tiles in"), (self._assemble, "rows out"))
        ]

    def run(self) -> None:
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
        except UserError as error:
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

    def _redo(self, job: Job) -> None:
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
                job = Job(
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

    def _add(self, job: Job, sr: np.ndarray) -> None:
        job.assembler.add(sr)
        if job.assembler.complete:
            job.sink.finish()
            self._close(job, None)

    def _on_sink(self, job: Job, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - the sink's, of any kind
            self._abort(job, error)

    def _abort(self, job: Job, error: Exception) -> None:
        if not job.closed:
            _aborted(job.sink, error)
            self._close(job, error)

    def _close(self, job: Job, error: Exception | None) -> None:
        job.closed = True
        self._open.pop(job.index, None)
        self._outcomes.put((job.index, error))

    # In any thread.

    def _fail(self, job: Job, error: Exception) -> None:
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


class _ArraySource:
    """An 8-bit image in memory."""

    layers = 1

    def __init__(self, lr_u8: np.ndarray) -> None:
        self._lr_u8 = lr_u8
        self.height, self.width = lr_u8.shape[:2]

    def read(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        return to_float(self._lr_u8[None, top:bottom, left:right])


class _ArraySink:
    """An 8-bit image that is being filled."""

    def __init__(self, lr_shape: tuple[int, ...], scale: int) -> None:
        height, width, colours = lr_shape
        self.sr_u8 = np.empty((height * scale, width * scale, colours), np.uint8)
        self._filled = 0

    def write_rows(self, rows: np.ndarray) -> None:
        count = rows.shape[1]
        self.sr_u8[self._filled : self._filled + count] = to_u8(rows[0])
        self._filled += count

    def finish(self) -> None:
        pass

    def restart(self) -> None:
        self._filled = 0

    def abort(self) -> None:
        pass
