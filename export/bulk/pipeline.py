"""The Apache Beam pipeline of a bulk job, the work of its workers, and the outcome.

    match files -> (name of the result, source) -> group -> upscale -> manifest

Grouping by the result's name does two things: it spreads the photographs over the
workers, as a Reshuffle would, and it shows those that would overwrite each other.

The network is opened once in a worker process, whatever number of threads the runner
starts in it, and never travels: the function that is sent to workers holds paths and
numbers only.
"""

import json
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import apache_beam as beam
from apache_beam.io import fileio
from apache_beam.io.filesystem import BeamIOError, FileMetadata
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners import create_runner
from apache_beam.runners.runner import PipelineState
from apache_beam.utils.shared import Shared

from export.bulk import LOCAL_RUNNER, storage
from export.bulk.storage import Facts, ResultRecord, Search
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import fitting_name
from pdm_tf.core.images import IMAGE_SUFFIXES
from pdm_tf.inference.engine import Engine
from pdm_tf.inference.file_pipeline import upscale_file
from pdm_tf.inference.files import FileOptions, FileResult
from pdm_tf.inference.result_files import FORMATS
from pdm_tf.inference.session import SrSession, open_session

NAMESPACE = "pdm_tf.bulk"  # of the counters
_MANIFEST_SUFFIX = ".jsonl"
_SHOWN = 20  # failures that are printed; the manifest has all


@dataclass(frozen=True)
class Work:
    """The settings of the workers.

    Attributes:
      output: folder of the results.
      model, fallback_model: ONNX files; the second may be "".
      sha256: hash that the model must have; "": any.
      settings: digest of everything that decides how results look.
      outscale: size of a result / size of its source; None: the network's scale.
      quality, ensemble, overwrite: as the flags.
      provider, strict, threads, tile, memory_mb: as the flags.
    """

    output: str
    model: str
    fallback_model: str
    sha256: str
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


@dataclass
class Outcome:
    """The outcome of a job.

    Attributes:
      counts: "done", "skipped" and "failed" -> photographs.
      failures: some of the failed rows.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)


def run(
    where: Search,
    work: Work,
    *,
    file_format: str,
    manifest: str,
    runner: str,
    beam_flags: Sequence[str],
) -> Outcome:
    """Runs the job to its end.

    Args:
      where: the photographs.
      work: the settings.
      file_format: of `FORMATS`, or "same".
      manifest: path without suffix.
      runner: Beam's name of it.
      beam_flags: its own flags.

    Raises:
      UserError: there is no such runner here, it misses a flag, or no photographs.
    """
    options, chosen = PipelineOptions(list(beam_flags)), _runner(runner)
    try:
        pipeline = beam.Pipeline(runner=chosen, options=options)
    except ValueError as error:  # flags that the runner requires
        raise UserError(
            f"{runner} needs other flags after the --. "
            f"Received: {' '.join(beam_flags) or 'none'}. Beam says: {error}"
        ) from error
    _ = (
        pipeline
        | "find" >> fileio.MatchFiles(where.pattern, fileio.EmptyMatchTreatment.ALLOW)
        | "name" >> beam.FlatMap(partial(named, where.root, work.output, file_format))
        | "group" >> beam.GroupByKey()
        | "upscale" >> beam.ParDo(UpscaleFn(work))
        | "row" >> beam.Map(partial(json.dumps, ensure_ascii=False))
        | "write" >> beam.io.WriteToText(manifest, _MANIFEST_SUFFIX)
    )
    state = pipeline.run().wait_until_finish()
    if state != PipelineState.DONE:  # most runners raise instead
        raise RuntimeError(f"{runner} ended the job with the state {state}.")
    outcome = read_manifest(manifest)
    if not outcome.counts:
        raise UserError(
            f"--input must hold photographs. Received: {where.pattern}, which matches "
            "none."
        )
    return outcome


def named(
    root: str, output: str, file_format: str, metadata: FileMetadata
) -> Iterator[tuple[str, tuple[str, int, float]]]:
    """Yields (name of the result, facts of the source), or nothing.

    Hidden files, files without a photograph's suffix, and the results themselves, if
    `output` lies within `root`, are left out.
    """
    path = metadata.path
    if not path.startswith(f"{root}/") or path.startswith(f"{output}/"):
        return
    name = PurePosixPath(path[len(root) + 1 :])
    is_hidden = any(part.startswith(".") for part in name.parts)
    if is_hidden or name.suffix.lower() not in IMAGE_SUFFIXES:
        return
    facts = (
        path,
        metadata.size_in_bytes,
        float(metadata.last_updated_in_seconds or 0.0),
    )
    yield result_name(name, file_format), facts


def result_name(name: PurePosixPath, file_format: str) -> str:
    """Returns the name of the result; the suffix stays where it says that format."""
    if file_format == "same":
        known = {suffix for entry in FORMATS.values() for suffix in entry.suffixes}
        is_written = name.suffix.lower() in known
        return str(name if is_written else name.with_suffix(".png"))
    suffixes = FORMATS[file_format].suffixes
    if name.suffix.lower() in suffixes:
        return str(name)
    return str(name.with_name(fitting_name(f"{name.stem}{suffixes[0]}")))


def read_manifest(manifest: str) -> Outcome:
    """Summarises the rows of a finished job."""
    outcome = Outcome()
    found = FileSystems.match([f"{manifest}-*{_MANIFEST_SUFFIX}"])[0].metadata_list
    for entry in found:
        with FileSystems.open(entry.path) as file:
            for line in file:
                row = json.loads(line)
                outcome.counts[row["status"]] += 1
                is_failure = row["status"] == "failed"
                if is_failure and len(outcome.failures) < _SHOWN:
                    outcome.failures.append(row)
    return outcome


def _runner(name: str) -> Any:
    # Beam's own DirectRunner first tries to download a server program from GitHub and
    # run that (Prism); asked for by name, PrismRunner still does. The part of it that
    # runs in this process is FnApiRunner.
    try:
        return create_runner("FnApiRunner" if name == LOCAL_RUNNER else name)
    except (ValueError, ImportError, AttributeError) as error:
        raise UserError(
            "--runner must be one that Apache Beam has here. "
            f"Received: {name} ({error})."
        ) from error


def open_model(path: str, work: Work, sha256: str = "") -> SrSession:
    """Opens an ONNX file, wherever it is.

    Args:
      path: the file.
      work: the settings.
      sha256: hash that it must have; "": any.

    Raises:
      UserError: it cannot be read, has another hash, or is no SR network.
    """

    def opened(local: Path | str) -> SrSession:
        return open_session(
            local,
            provider=work.provider,
            strict=work.strict,
            threads=work.threads,
            sha256=sha256,
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
        # libvips' warnings on the way are in the reason, if the file fails.
        logging.getLogger("pyvips").setLevel(logging.ERROR)
        work = self._work
        session = self._shared.acquire(
            lambda: open_model(work.model, work, work.sha256)
        )
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
                state = record.of(existing.size)
                if state == "finished":
                    return {"status": "skipped", "reason": ""}
                if state == "foreign":
                    return _failed(
                        "the result exists and was not made by this program from this "
                        "file; --overwrite replaces it"
                    )
            with tempfile.TemporaryDirectory() as scratch:
                return self._made(record, source, target, Path(scratch))
        except Exception as error:  # noqa: BLE001 - this photograph's, whatever it is
            return _failed(str(error).removesuffix(".") or type(error).__name__)

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
            overwrite=True,  # existing files were already excluded
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
