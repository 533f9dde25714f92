"""The Apache Beam pipeline of a bulk job, and what came of it.

    match files -> (name of the result, source) -> group -> upscale -> manifest

Grouping by the result's name does two things: it spreads the photographs over the
workers, as a Reshuffle would, and it shows those that would overwrite each other.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import apache_beam as beam
from apache_beam.io import fileio
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners import create_runner
from apache_beam.runners.runner import PipelineState

from export.bulk.flags import LOCAL_RUNNER
from export.bulk.storage import Search
from export.bulk.worker import UpscaleFn, Work
from pdm_tf.core.errors import UserError
from pdm_tf.inference.encoding import FORMATS
from pdm_tf.inference.headers import PICTURE_SUFFIXES

_MANIFEST_SUFFIX = ".jsonl"
_SHOWN = 20  # failures that are printed; the manifest has all


@dataclass
class Outcome:
    """What became of a job.

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
      work: what to do with them.
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

    Left out are hidden files, what has no suffix of a photograph, and the results
    themselves where `output` lies within `root`.
    """
    path = metadata.path
    if not path.startswith(f"{root}/") or path.startswith(f"{output}/"):
        return
    name = PurePosixPath(path[len(root) + 1 :])
    is_hidden = any(part.startswith(".") for part in name.parts)
    if is_hidden or name.suffix.lower() not in PICTURE_SUFFIXES:
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
    return str(
        name if name.suffix.lower() in suffixes else name.with_suffix(suffixes[0])
    )


def read_manifest(manifest: str) -> Outcome:
    """Returns what the rows of a finished job say."""
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
