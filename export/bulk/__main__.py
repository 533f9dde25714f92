"""Upscales photographs by the bucket: `python -m export.bulk --help`."""

import contextlib
import dataclasses
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from export.bulk.flags import LOCAL_RUNNER, SOME_FAILED, SPEC, BulkConfig
from pdm_tf.cli import program
from pdm_tf.core.errors import UserError

_SEPARATOR = "--"  # what follows it is for Beam


def main(config: BulkConfig, beam_flags: Sequence[str] = ()) -> int:
    """Runs the job and prints what came of it; returns the exit code."""
    with importing_beam():
        from export.bulk import pipeline, storage
    output = storage.absolute(config.output)
    where = storage.search(storage.absolute(config.input))
    if where.root == output:
        raise UserError(
            f"--output must be another folder than --input. Received: {output}."
        )
    start = datetime.now(UTC)
    manifest = storage.absolute(
        config.manifest or f"{output}/manifest/{start:%Y%m%dT%H%M%SZ}"
    )
    outcome = pipeline.run(
        where,
        _work(config, output),
        file_format=config.format,
        manifest=manifest,
        runner=config.runner,
        beam_flags=beam_flags,
    )
    for row in outcome.failures:
        print(f"failed: {row['source']}: {row['reason']}", file=sys.stderr)
    counts = ", ".join(
        f"{outcome.counts[status]} {status}" for status in ("done", "skipped", "failed")
    )
    print(f"{counts}; manifest: {manifest}-*.jsonl")
    return SOME_FAILED if outcome.counts["failed"] else program.OK


def _work(config: BulkConfig, output: str) -> Any:
    """What workers are told. Opens the model, so that a wrong one is told at once."""
    from export.bulk import records, storage, worker

    given = {
        field.name: getattr(config, field.name) for field in dataclasses.fields(config)
    }
    fields = {field.name for field in dataclasses.fields(worker.Work)}
    work = worker.Work(
        **{
            **{name: value for name, value in given.items() if name in fields},
            "output": output,
            "model": storage.absolute(config.model),
            "fallback_model": config.fallback_model
            and storage.absolute(config.fallback_model),
            "outscale": config.outscale or None,
            "settings": "",
        }
    )
    # Other machines may have a GPU where this one has none.
    here = work
    if config.runner != LOCAL_RUNNER:
        here = dataclasses.replace(work, provider="cpu", strict=False)
    model = worker.open_model(work.model, here)
    print(f"{model.info.architecture or 'network'} x{model.info.scale}: {config.model}")
    settings = {
        "model": model.info.sha256,
        "outscale": work.outscale,
        "quality": work.quality,
        "ensemble": work.ensemble,
    }
    return dataclasses.replace(work, settings=records.digest(settings))


@contextlib.contextmanager
def importing_beam() -> Iterator[None]:
    """Imports of Apache Beam go here: it warns of every cloud library that is missing.

    Raises:
      UserError: it is not installed.
    """
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ModuleNotFoundError as error:
        if error.name != "apache_beam":
            raise
        raise UserError(
            "python -m export.bulk needs Apache Beam, which is not installed. Install "
            'it with pip install -e ".[bulk]".'
        ) from error
    finally:
        logging.disable(logging.NOTSET)


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the flags of this program and, after a lone --, those of Beam."""
    argv = list(argv)
    if _SEPARATOR not in argv:
        return argv, []
    cut = argv.index(_SEPARATOR)
    return argv[:cut], argv[cut + 1 :]


if __name__ == "__main__":
    own, beam_flags = split(sys.argv[1:])
    program.run(SPEC, partial(main, beam_flags=beam_flags), own)
