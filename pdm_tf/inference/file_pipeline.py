"""Upscales many image files with one engine; reading, inference and writing overlap.

    reader thread --(picture, sink)--> engine, caller's thread --> writer thread
     next files                         rows into a store           encodes, renames

The queues between them hold one item each, so at most a few images are in work at once,
and all their pixels share one memory budget (`stores.py`). Each file fails on its own:
it is named in the results, and the others go on. An exception that belongs to no file
(Ctrl-C, a defect) cancels everything in progress, leaves nothing half-written, and
reaches the caller.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.inference.files import FileOptions, FileResult, FileTask
from pdm_tf.inference.outputs import PictureSink
from pdm_tf.inference.pictures import Picture, read_picture
from pdm_tf.inference.result_files import cannot_write
from pdm_tf.inference.stores import MemoryBudget
from pdm_tf.inference.threads import Threads, Worker


class FileUpscaler(Protocol):
    """The part of `engine.Engine` that this pipeline needs."""

    scale: int

    def upscale(
        self,
        jobs: Iterable[tuple[Any, Any]],
        on_done: Callable[[int, Exception | None], None],
    ) -> None:
        """Runs (LrSource, SrSink) jobs; calls `on_done(index, error)` for each."""


def upscale_file(
    engine: FileUpscaler,
    source: Path,
    target: Path,
    options: FileOptions | None = None,
) -> FileResult:
    """Upscales one file as `upscale_files` does."""
    task = FileTask(Path(source), Path(target))
    return upscale_files(engine, [task], options)[0]


def upscale_files(
    engine: FileUpscaler,
    tasks: Iterable[FileTask],
    options: FileOptions | None = None,
    on_done: Callable[[FileResult], None] | None = None,
    on_pixels: Callable[[int], None] | None = None,
) -> list[FileResult]:
    """Upscales image files, each in full or not at all.

    Args:
      engine: of `engine.py`.
      tasks: sources and targets.
      options: settings of the results.
      on_done: called with each result as it comes, from any thread, one at a time.
      on_pixels: called with a number of LR pixels that are done, likewise.

    Returns:
      The results, in the order of `tasks`. A file that fails is a result, not an
      exception.
    """
    work = _FilesInWork(
        engine,
        list(tasks),
        options or FileOptions(),
        on_done or (lambda result: None),
        on_pixels or (lambda count: None),
    )
    work.threads.start()
    try:
        engine.upscale(work.jobs(), work.on_engine_done)
        work.threads.put(work.saving, None)
        work.threads.finish()
    except BaseException:
        work.give_up()
        raise
    return [work.results[index] for index in sorted(work.results)]


class _FilesInWork:
    """The shared state of the threads of one `upscale_files`.

    Attributes:
      threads: one reads, one saves.
      saving: files to be saved; None: no more will come.
      results: index of a task -> its result.
    """

    def __init__(
        self,
        engine: FileUpscaler,
        tasks: list[FileTask],
        options: FileOptions,
        on_done: Callable[[FileResult], None],
        on_pixels: Callable[[int], None],
    ) -> None:
        self._engine, self._tasks, self._options = engine, tasks, options
        self._on_done, self._on_pixels = on_done, on_pixels
        self._budget = MemoryBudget(options.memory_mb * 10**6)
        self._ready: queue.Queue[_FileInWork | None] = queue.Queue(1)
        self.saving: queue.Queue[_FileInWork | None] = queue.Queue(1)
        self._given: list[_FileInWork | None] = []  # to the engine, in its order
        self._active: set[_FileInWork] = set()  # the same until results are known
        self.results: dict[int, FileResult] = {}
        self._lock = threading.Lock()
        self.threads = Threads(
            {
                "upscale-read": Worker(self._read_all),
                "upscale-save": Worker(self._save_all),
            }
        )

    def jobs(self) -> Iterator[tuple[Picture, PictureSink]]:
        """Yields the engine's jobs, as files are read."""
        while (work := self.threads.get(self._ready)) is not None:
            self._given.append(work)
            self._active.add(work)
            yield work.sink.picture, work.sink

    def on_engine_done(self, index: int, error: Exception | None) -> None:
        """Reports files that failed in the engine; others are reported once saved."""
        work = self._given[index]
        self._given[index] = None  # its pictures may be many
        if error is not None:
            work.sink.abort()
            self._report(work, work.failed(error))

    def _read_all(self) -> None:
        for index, task in enumerate(self._tasks):
            if self.threads.stopped:
                return
            work = _FileInWork(index, task)
            try:
                if self._is_finished(task):
                    self._report(work, work.result("skipped"))
                    continue
                work.sink = self._open(work)
            except (UserError, OSError, MemoryError) as error:
                self._report(work, work.failed(error))
                continue
            if not self.threads.put(self._ready, work):
                work.sink.abort()
        self.threads.put(self._ready, None)

    def _is_finished(self, task: FileTask) -> bool:
        """Raises ImageError: something exists that must not be replaced."""
        if self._options.overwrite or not task.target.exists():
            return False
        record = self._options.record
        state = record.state(task) if record else "foreign"
        if state == "foreign":
            raise ImageError(
                task.target,
                "exists and was not made by this program from this file; --overwrite "
                "replaces it",
            )
        return state == "finished"

    def _open(self, work: "_FileInWork") -> PictureSink:
        task = work.task
        folder = next(path for path in task.target.parents if path.exists())
        picture = read_picture(task.source, scratch=folder, budget=self._budget)
        try:
            return PictureSink(
                picture,
                task.target,
                scale=self._engine.scale,
                outscale=self._options.outscale or self._engine.scale,
                quality=self._options.quality,
                budget=self._budget,
                on_pixels=self._count,
                on_finish=lambda sink: self._hand_over(work),
            )
        except BaseException:
            picture.close()
            raise

    def _hand_over(self, work: "_FileInWork") -> None:
        if not self.threads.put(self.saving, work):
            work.sink.close()  # no saver is left to do it

    def _save_all(self) -> None:
        while (work := self.threads.get(self.saving)) is not None:
            try:
                self._save(work)
                result = work.result("done")
            except (UserError, OSError, MemoryError) as error:
                result = work.failed(error)
            finally:
                work.sink.close()
            if not self.threads.stopped or result.status == "done":
                self._report(work, result)

    def _save(self, work: "_FileInWork") -> None:
        task, record = work.task, self._options.record
        if record is None:
            work.sink.save(None)
            return
        work.sink.save(lambda facts: record.begin(task, facts.st_size))
        record.add(task)

    def _report(self, work: "_FileInWork", result: FileResult) -> None:
        self._active.discard(work)
        with self._lock:
            self.results[work.index] = result
            self._on_done(result)

    def _count(self, pixels: int) -> None:
        with self._lock:
            self._on_pixels(pixels)

    def give_up(self) -> None:
        """Ends the threads; no unfinished file remains."""
        self.threads.stop()
        for work in list(self._active):
            work.sink.abort()
        self.threads.leave()
        for where in (self._ready, self.saving):
            while not where.empty():
                work = where.get_nowait()
                if work is not None:
                    work.sink.abort()
                    work.sink.close()


class _FileInWork:
    """One task on its way."""

    def __init__(self, index: int, task: FileTask) -> None:
        self.index, self.task = index, task
        self.sink: PictureSink | None = None
        self._start = time.monotonic()

    def result(self, status: str) -> FileResult:
        result = FileResult(
            self.task.source,
            self.task.target,
            status,
            seconds=time.monotonic() - self._start,
        )
        if self.sink is not None:
            picture = self.sink.picture
            result = replace(
                result,
                lr_size=(picture.height, picture.width),
                sr_size=self.sink.size,
                notes=tuple(self.sink.notes),
            )
        return result

    def failed(self, error: Exception) -> FileResult:
        return replace(self.result("failed"), reason=self._reason(error))

    def _reason(self, error: Exception) -> str:
        if isinstance(error, ImageError):
            of_source = error.path == str(self.task.source)
            return error.reason if of_source else str(error).removesuffix(".")
        if isinstance(error, UserError):
            return str(error).removesuffix(".")
        if isinstance(error, OSError):
            return f"{self.task.target}: {cannot_write(error)}"
        return f"{type(error).__name__}: {error}"
