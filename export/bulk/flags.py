"""The flags of `python -m export.bulk`, and its own exit code."""

from dataclasses import dataclass
from typing import Literal

from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import require_at_least, require_given
from pdm_tf.core.errors import UserError

# Besides those of `program`: everything was done but for the files that were named.
SOME_FAILED = 1
LOCAL_RUNNER = "DirectRunner"


@dataclass(frozen=True)
class BulkConfig:
    """What `bulk` is asked to do; the fields are the flags.

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
    )
    output: str = flag(
        "",
        "Folder for the results, in which the tree of the input is built "
        "again. Local or remote. Required.",
    )
    model: str = flag(
        "",
        "An ONNX file of a super-resolution network, as python -m export "
        "writes it. Workers on other machines must be able to read it. Required.",
    )
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
        "Of the results. `same`: as the source (PNG for BMP and GIF).",
        section="Result",
    )
    quality: int = flag(95, "1 to 100, of JPEG and WebP.")
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
        "finished results are kept, those of another source or other settings made "
        "again, and files that this program did not make never replaced.",
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
        "really works, else on the CPU; each row of the manifest says which it was.",
    )
    strict: bool = flag(
        False,
        "Fail when the provider asked for cannot be had, instead of going on "
        "elsewhere.",
    )
    threads: int = flag(
        0,
        "Threads of the network on the CPU, of each worker process; 0 takes "
        "one per core.",
    )
    tile: int = flag(
        0,
        "Side of the LR tiles that the network sees, in pixels; memory grows "
        "with its square. 0 takes what suits the network.",
    )
    memory_mb: int = flag(
        256,
        "MB of pixels that may wait in a worker's memory; the rest waits "
        "in scratch files.",
    )

    def __post_init__(self) -> None:
        require_given(self, "export.bulk", "input", "output", "model")
        require_at_least(self, tile=0, threads=0, memory_mb=0)
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
    'on where it was. Needs pip install -e ".[bulk]". Exit code: 0 when all were done, '
    "1 when some failed, 2 when the job cannot be started.",
    examples=(
        "python -m export.bulk --input=photos --output=photos_x4 "
        "--model=exported/model.onnx",
        "python -m export.bulk --input=gs://b/photos/**.jpg --output=gs://b/x4 "
        "--model=gs://b/model.onnx --runner=DataflowRunner -- --project=p "
        "--region=europe-west4 --temp_location=gs://b/tmp --sdk_container_image=...",
    ),
)
