"""Upscales photographs by the bucket: `python -m export.bulk --help`."""

import contextlib
import dataclasses
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from export.bulk import LOCAL_RUNNER
from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag, sha256_flag
from pdm_tf.core.checks import check_flags
from pdm_tf.core.errors import UserError
from pdm_tf.core.ledger import digest


@dataclass(frozen=True)
class BulkConfig:
    """The request to `bulk`; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a number is out of range.
    """

    input: str = flag(
        "",
        "Photographs: a folder, searched recursively for image suffixes "
        "(hidden files are left out); a pattern, in which * stays within a folder and "
        "** does not; or one file. Local, or any place that Apache Beam can read, such "
        "as gs://bucket/photos. Required.",
        section="What",
        required=True,
    )
    output: str = flag(
        "",
        "Folder for the results, in which the tree of the input is built "
        "again. Local or remote. Required.",
        required=True,
    )
    model: str = flag(
        "",
        "An ONNX file of a super-resolution network, as python -m export "
        "writes it. Workers on other machines must be able to read it. Required.",
        required=True,
    )
    sha256: str = sha256_flag("--model")
    fallback_model: str = flag(
        "",
        "Float32 ONNX file with which images are made again on which "
        "a float16 --model overflows; empty: they fail.",
    )
    manifest: str = flag(
        "",
        "Path, without suffix, of the manifest: JSON lines, one for each "
        "photograph. Empty: OUTPUT/manifest/ and the time of the start.",
    )
    format: Literal["same", "png", "jpeg", "webp", "tiff"] = flag(
        "same",
        "Format of the results. `same`: as the source (PNG for BMP and GIF).",
        section="Result",
    )
    quality: int = flag(95, "Quality of JPEG and WebP, 1 to 100.")
    outscale: float = flag(
        0.0,
        "Size of the result / size of the photograph, such as 2.5. 0 takes "
        "the network's scale.",
    )
    ensemble: bool = flag(
        False,
        "Average the network over the eight flips and quarter turns: eight "
        "times slower.",
    )
    overwrite: bool = flag(
        False,
        "Make everything again and replace files that exist. Without it "
        "finished results are kept, those of another source or other settings are made "
        "again, and files that this program did not make are never replaced.",
    )
    runner: str = flag(
        LOCAL_RUNNER,
        "Apache Beam's runner: DirectRunner (this machine), DataflowRunner, "
        "FlinkRunner, SparkRunner, ... Its own flags follow after a lone --.",
        section="Workers",
    )
    provider: Literal["auto", "cpu", "cuda", "tensorrt"] = flag(
        "auto",
        "Where a worker runs the network. `auto`: on an NVIDIA GPU if that "
        "really works, else on the CPU; each row of the manifest names it.",
    )
    strict: bool = flag(
        False,
        "Fail if the requested provider is not available, instead of going on "
        "elsewhere.",
    )
    threads: int = flag(
        0,
        "Threads of the network on the CPU, of each worker process; 0 takes "
        "one per core.",
        at_least=0,
    )
    tile: int = flag(
        0,
        "Side of the LR tiles that the network sees, in pixels; memory grows "
        "with its square. 0 chooses one that suits the network.",
        at_least=0,
    )
    memory_mb: int = flag(
        256,
        "MB of pixels that may wait in a worker's memory; the rest waits "
        "in scratch files.",
        at_least=0,
    )

    def __post_init__(self) -> None:
        check_flags(self, "export.bulk")
        if not 1 <= self.quality <= 100:
            raise UserError(f"--quality must be 1 to 100. Received: {self.quality}.")
        if not 0 <= self.outscale <= 64:
            raise UserError(
                "--outscale must be above 0 and at most 64, or 0 for the network's "
                f"scale. Received: {self.outscale:g}."
            )


SPEC = ProgramSpec(
    module="export.bulk",
    config=BulkConfig,
    intro="Upscales photographs by the bucket, as an Apache Beam pipeline: on this "
    "machine, or on Dataflow, Flink or Spark. Every photograph becomes a row of the "
    "manifest: done, skipped (finished before) or failed, with the reason; one that "
    "fails does not stop the others. Started again with the same flags, the job goes "
    'on where it was. Needs pip install "pdm_tf[bulk]". Exit code: 0 when all were '
    "done, 1 when some failed, 2 when the job cannot be started.",
    examples=(
        "python -m export.bulk --input=photos --output=photos_x4 "
        "--model=exported/model.onnx",
        "python -m export.bulk --input=gs://b/photos/**.jpg --output=gs://b/x4 "
        "--model=gs://b/model.onnx --runner=DataflowRunner -- --project=p "
        "--region=europe-west4 --temp_location=gs://b/tmp --sdk_container_image=...",
    ),
)

_SEPARATOR = "--"  # what follows it is for Beam


def main(config: BulkConfig, beam_flags: Sequence[str] = ()) -> int:
    """Runs the job and prints its outcome; returns the exit code."""
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
    return program.SOME_LEFT_OUT if outcome.counts["failed"] else program.OK


def _work(config: BulkConfig, output: str) -> Any:
    """Collects the workers' settings; opens the model to report a wrong one now."""
    from export.bulk import pipeline, storage

    fallback = config.fallback_model
    work = pipeline.Work(
        output=output,
        model=storage.absolute(config.model),
        fallback_model=storage.absolute(fallback) if fallback else "",
        sha256=config.sha256,
        settings="",
        outscale=config.outscale or None,
        quality=config.quality,
        ensemble=config.ensemble,
        overwrite=config.overwrite,
        provider=config.provider,
        strict=config.strict,
        threads=config.threads,
        tile=config.tile,
        memory_mb=config.memory_mb,
    )
    # Other machines may have a GPU where this one has none.
    here = work
    if config.runner != LOCAL_RUNNER:
        here = dataclasses.replace(work, provider="cpu", strict=False)
    model = pipeline.open_model(work.model, here, work.sha256)
    print(f"{model.info.architecture or 'network'} x{model.info.scale}: {config.model}")
    if model.info.habits_remark:
        print(model.info.habits_remark)
    if config.ensemble and model.info.grid_remark:
        print(model.info.grid_remark)
    settings = {
        "model": model.info.sha256,
        "outscale": work.outscale,
        "quality": work.quality,
        "ensemble": work.ensemble,
    }
    # Workers take this very file: another one would be of other settings.
    sha256 = model.info.sha256
    return dataclasses.replace(work, sha256=sha256, settings=digest(settings))


@contextlib.contextmanager
def importing_beam() -> Iterator[None]:
    """Imports Apache Beam quietly: it warns of every cloud library that is missing.

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
            'it with pip install "pdm_tf[bulk]".'
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
