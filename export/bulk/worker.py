"""What a worker of a bulk job does with one photograph.

The network is opened once in a worker process, whatever number of threads the runner
starts in it, and never travels: the function that is sent to workers holds paths and
numbers only.
"""

import logging
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import BeamIOError
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared

from export.bulk import storage
from export.bulk.records import ResultRecord
from export.bulk.storage import Facts
from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.inference.engine import Engine
from pdm_tf.inference.file_pipeline import upscale_file
from pdm_tf.inference.files import FileOptions, FileResult
from pdm_tf.inference.session import SrSession, open_session

NAMESPACE = "pdm_tf.bulk"  # of the counters


@dataclass(frozen=True)
class Work:
    """All that workers are told.

    Attributes:
      output: folder of the results.
      model, fallback_model: ONNX files; the second may be "".
      settings: digest of what decides how results look.
      outscale: size of a result / size of its source; None: the network's scale.
      quality, ensemble, overwrite: as the flags.
      provider, strict, threads, tile, memory_mb: as the flags.
    """

    output: str
    model: str
    fallback_model: str
    settings: str
    outscale: float | None
    quality: int
    ensemble: bool
    overwrite: bool
    provider: str
    strict: bool
    threads: int
    tile: int
    memory_mb: int


def open_model(path: str, work: Work) -> SrSession:
    """Opens an ONNX file, wherever it is.

    Raises:
      UserError: it cannot be read, or is no SR network.
    """

    def opened(local: Path | str) -> SrSession:
        return open_session(
            local, provider=work.provider, strict=work.strict, threads=work.threads
        )

    if storage.is_local(path):
        return opened(path)
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / PurePosixPath(path).name
        try:
            storage.copy_in(path, local)
        except (OSError, BeamIOError) as error:
            raise UserError(f"The model cannot be read. Received: {error}.") from error
        return opened(local)


class UpscaleFn(beam.DoFn):
    """(name of the result, its sources) -> one row of the manifest for each source."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._shared = Shared()
        self._engine: Engine | None = None
        self._counters = {
            status: Metrics.counter(NAMESPACE, status)
            for status in ("done", "skipped", "failed")
        }
        self._seconds = Metrics.distribution(NAMESPACE, "milliseconds")

    def setup(self) -> None:
        """Opens the network, or finds it open already in this process."""
        # What libvips warns of on the way is in the reason, if the file fails.
        logging.getLogger("pyvips").setLevel(logging.ERROR)
        work = self._work
        session = self._shared.acquire(lambda: open_model(work.model, work))
        fallback = None
        if work.fallback_model:
            fallback = lambda: open_model(work.fallback_model, work)  # noqa: E731
        # An engine is light; one for each thread keeps their work apart.
        self._engine = Engine(
            session, tile=work.tile, ensemble=work.ensemble, fallback=fallback
        )

    def process(
        self, element: tuple[str, Iterable[tuple[str, int, float]]]
    ) -> Iterator[dict[str, Any]]:
        """Upscales one photograph, or refuses several that go to the same result."""
        name, entries = element
        sources = [Facts(*entry) for entry in sorted(entries)]
        target = storage.join(self._work.output, name)
        for source in sources:
            begin = time.monotonic()
            if len(sources) > 1:
                others = ", ".join(s.path for s in sources if s != source)
                row = {
                    "status": "failed",
                    "reason": f"would be written to the same file as {others}; use "
                    "--format=same, or rename one",
                }
            else:
                row = self._upscaled(name, source, target)
            seconds = time.monotonic() - begin
            self._counters[row["status"]].inc()
            self._seconds.update(int(1000 * seconds))
            yield {
                "source": source.path,
                "target": target,
                **row,
                "seconds": round(seconds, 3),
                "provider": self._engine.session.provider.active,
            }

    def _upscaled(self, name: str, source: Facts, target: str) -> dict[str, Any]:
        record = ResultRecord(self._work.output, name, source, self._work.settings)
        try:
            existing = storage.facts(target)
            if existing is not None and not self._work.overwrite:
                state = record.of(existing)
                if state == "finished":
                    return {"status": "skipped", "reason": ""}
                if state == "foreign":
                    return _failed(
                        "the result exists and was not made by this program from this "
                        "file; --overwrite replaces it"
                    )
            with tempfile.TemporaryDirectory() as scratch:
                return self._made(record, source, target, Path(scratch))
        except (ImageError, OSError, BeamIOError) as error:
            return _failed(str(error).removesuffix("."))

    def _made(
        self, record: ResultRecord, source: Facts, target: str, scratch: Path
    ) -> dict[str, Any]:
        work = self._work
        local_source, local_target = Path(source.path), Path(target)
        if not storage.is_local(source.path):
            local_source = scratch / "source" / PurePosixPath(source.path).name
            local_source.parent.mkdir()
            storage.copy_in(source.path, local_source)
        if not storage.is_local(target):
            local_target = scratch / "result" / PurePosixPath(target).name
        options = FileOptions(
            outscale=work.outscale,
            quality=work.quality,
            overwrite=True,  # what may not be replaced has been seen to
            record=record,
            memory_mb=work.memory_mb,
        )
        result = upscale_file(self._engine, local_source, local_target, options)
        if result.status == "done" and not storage.is_local(target):
            storage.copy_out(local_target, target)
        return _row(result)


def _row(result: FileResult) -> dict[str, Any]:
    row: dict[str, Any] = {"status": result.status, "reason": result.reason}
    if result.status == "done":
        row["lr_size"] = list(result.lr_size)
        row["sr_size"] = list(result.sr_size)
        row["notes"] = list(result.notes)
    return row


def _failed(reason: str) -> dict[str, Any]:
    return {"status": "failed", "reason": reason}
