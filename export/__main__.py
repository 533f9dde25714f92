"""Writes a trained network as SavedModel and ONNX: `python -m export --help`."""

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from export import certificate, publish
from export.certificate import Built, Limits
from export.comparing import Record
from export.parity import DEGRADATION_LATENTS, read_photo
from export.publish import CERTIFICATE, FAILED_CERTIFICATE, MODEL_FP16, SAVED_MODEL
from export.quick import NEEDED, told, write_quickly
from export.serving_files import write_serving_files
from export.signatures import check_name
from export.stages import run_stage
from pdm_tf.cli import program
from pdm_tf.cli.commands import how_to_start
from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import check_flags
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import write_json_atomic

# In addition to the codes of pdm_tf.cli.program: an artefact differs too much.
LIMIT_BROKEN = 4


@dataclass(frozen=True)
class ExportConfig:
    """The request to `export`; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a value is out of range.
    """

    model: str = flag(
        "",
        "A run folder of pdm_tf.train or one bundle (a folder with "
        "bundle.json); several with commas between become one model, each working on "
        "the output of the one before. Required.",
        section="What",
        required=True,
    )
    weights: Literal["ema", "raw"] = flag(
        "ema", "Weights of a run folder: the averaged (ema) or the last (raw)."
    )
    quick: bool = flag(
        False,
        "Write model.onnx alone, compared with Keras on two crops, in seconds: no "
        "float16, SavedModel, degradation, files for servers or certificate.",
    )
    fp16: bool = flag(True, "Write model_fp16.onnx too, half the size, for GPUs.")
    degradation: bool = flag(
        True,
        "Write the learned degradation of a run folder too, if it has kernels.",
    )
    layout: Literal["nhwc", "nchw"] = flag(
        "nhwc",
        "Axes of the ONNX files' input and output; nchw saves two "
        "transpositions and suits TensorRT. pdm_tf.upscale takes either.",
    )
    output: str = flag(
        "",
        "Folder for saved_model/VERSION/, model.onnx, model_fp16.onnx, "
        "degradation/, certificate.json and serving/; made if missing. Required.",
        section="Output",
        required=True,
    )
    version: int = flag(
        0,
        "Number of the SavedModel (servers take the largest); 0 takes the next free "
        "one.",
        at_least=0,
    )
    model_name: str = flag("sr", "Name of the model in the files for servers.")
    tile: int = flag(
        128,
        "Side in LR pixels of the warm-up requests, and of the images that the serving "
        "files advise clients to send.",
        at_least=1,
    )
    photo: str = flag(
        "",
        "Photograph on which the exported models are compared with Keras; empty: one "
        "of pdm_tf/samples.",
        section="Certificate",
    )
    parity: Literal["standard", "full"] = flag(
        "standard",
        "standard leaves out sizes that would take minutes for a large "
        "network and names them in the certificate; full compares on all, up to "
        "512 x 300 pixels.",
    )
    max_abs_diff: float = flag(
        1e-4,
        "Largest difference from Keras of a float32 model, where white is 1.",
        at_least=0,
    )
    max_level_diffs: int = flag(
        0,
        "How many 8-bit values of a float32 model may differ from Keras's, not "
        "counting those where Keras's lies within max_abs_diff of the border between "
        "two levels.",
        at_least=0,
    )
    min_fp16_psnr: float = flag(
        60.0, "Least PSNR of the float16 model against Keras, dB."
    )
    max_degradation_diff: float = flag(
        1e-4,
        "Largest difference from Keras of the exported "
        "degradation; its kernels are a softmax, which amplifies rounding more than a "
        "convolution does.",
        at_least=0,
    )

    def __post_init__(self) -> None:
        check_flags(self, "export")
        if not self.locations:
            raise UserError(
                "--model must name a run folder or a bundle, or several with commas "
                f"between. Received: {self.model!r}."
            )
        check_name(self.model_name)

    @property
    def locations(self) -> tuple[str, ...]:
        """The run folders or bundles named by --model, in order."""
        return tuple(part.strip() for part in self.model.split(",") if part.strip())

    @property
    def limits(self) -> Limits:
        """The limits on differences from Keras."""
        return Limits(
            max_abs_diff=self.max_abs_diff,
            max_level_diffs=self.max_level_diffs,
            min_fp16_psnr_db=self.min_fp16_psnr,
            max_degradation_diff=self.max_degradation_diff,
        )


SPEC = ProgramSpec(
    module="export",
    config=ExportConfig,
    intro="Writes a trained network as a TensorFlow SavedModel and as ONNX files, with "
    "files for TF Serving and Triton. Each is compared with the Keras network on a "
    "photograph first; certificate.json holds the numbers. If one breaks a limit, "
    f"nothing is published, and the exit code is {LIMIT_BROKEN}. A new version appears "
    "as a whole or not at all.",
    examples=(
        "python -m export --model=runs/bicubic --output=exported",
        "python -m export --model=runs/bicubic --output=exported --quick",
        "python -m export --model=runs/bicubic/bundles/sr --output=exported "
        "--layout=nchw --nofp16",
        "python -m export --model=runs/translate/bundles/clean,runs/bicubic "
        "--output=exported",
    ),
)

_NEEDED = (*NEEDED, "tensorflow_serving")


def main(config: ExportConfig) -> int:
    """Exports; returns the exit code."""
    _check_extras(NEEDED if config.quick else _NEEDED)
    _check_locations(config.locations)
    read_photo(config.photo)  # here too: before TensorFlow takes seconds to load
    output = Path(config.output)
    if config.quick:
        return _export_quickly(config, output)
    with publish.workspace(output) as folder:
        version = publish.choose_version(output, config.version)
        work = _Work(config, folder, version)
        built = work.write()
        records = work.compare(built)
        content = certificate.make_certificate(
            built,
            records,
            limits=config.limits,
            photo=config.photo,
            peaks=work.peaks,
            version=version,
        )
        print()
        print(certificate.table(built, records))
        if not content["passed"]:
            return _failed(content, output)
        written = publish.publish(folder, output, version)
    write_json_atomic(output / CERTIFICATE, content)
    written.append(output / CERTIFICATE)
    if built.networks:
        written += write_serving_files(
            output,
            model_name=config.model_name,
            scale=built.networks["scale"],
            version=version,
            tile=config.tile,
            layout=config.layout.upper(),
            tensorflow=content["versions"]["tensorflow"],
        )
    if built.left_out:
        print(
            f"not compared, to save minutes: {', '.join(built.left_out)} "
            "(batch x height x width); --parity=full does"
        )
    if built.degradation_left_out:
        print(f"not exported: {built.degradation_left_out}")
    print(
        f"largest memory: {built.write_peak_bytes / 2**30:.2f} GiB to write, "
        f"{max(work.peaks.values()) / 2**30:.2f} GiB with the comparison"
    )
    print(f"wrote {', '.join(publish.relative(written, output))} in")
    print(output)
    if built.networks:
        print(_next(output))
    return program.OK


def _export_quickly(config: ExportConfig, output: Path) -> int:
    if (output / CERTIFICATE).exists():
        raise UserError(
            "--quick must not replace part of a whole export, whose certificate would "
            f"no longer be true. Received: {output}. Choose another --output."
        )
    with publish.workspace(output) as folder:
        stage = write_quickly(
            config.locations,
            folder / publish.MODEL,
            limit=config.max_abs_diff,
            weights=config.weights,
            layout=config.layout.upper(),
            photo=config.photo,
        )
        (folder / publish.MODEL).replace(output / publish.MODEL)
    print(f"{told(stage)} (largest of two crops)")
    print(
        "float16, SavedModel, files for servers and the certificate: the same command "
        "without --quick"
    )
    print(f"wrote {publish.MODEL} in")
    print(output)
    print(_next(output))
    return program.OK


def _next(output: Path) -> str:
    upscale = how_to_start("pdm_tf.upscale")
    return f"next: {upscale} --model={output} --input=PHOTOS --output=UPSCALED"


class _Work:
    """Runs the steps, each in a process of its own and with a line of its own."""

    def __init__(self, config: ExportConfig, folder: Path, version: int) -> None:
        self._config, self._folder, self._version = config, folder, version
        self.peaks: dict[str, int] = {}

    def write(self) -> Built:
        """Writes SavedModels and ONNX files, and Keras's outputs."""
        config = self._config
        built = self._step(
            "write SavedModel and ONNX, run Keras",
            "export.write_models:write_models",
            self._folder,
            self._version,
            locations=config.locations,
            weights=config.weights,
            degradation=config.degradation,
            layout=config.layout.upper(),
            model_name=config.model_name,
            tile=config.tile,
            photo=config.photo,
            parity=config.parity,
        )
        self.peaks["write alone"] = built.write_peak_bytes
        if built.networks and config.fp16:
            self._step(
                f"write {MODEL_FP16}", "export.comparing:write_half", self._folder
            )
        return built

    def compare(self, built: Built) -> list[Record]:
        """Compares everything written with Keras."""
        records = self._compare_networks(built) if built.networks else []
        if built.degradation:
            records += self._compare_degradation(built)
        return records

    def _compare_networks(self, built: Built) -> list[Record]:
        config = self._config
        given = {
            "photo": config.photo,
            "cases": built.cases,
            "tolerance": config.max_abs_diff,
        }
        records = self._step(
            f"compare {SAVED_MODEL}",
            "export.comparing:compare_saved_model",
            self._folder,
            self._version,
            **given,
        )
        for precision in ("float32", "float16") if config.fp16 else ("float32",):
            records += self._step(
                f"compare ONNX, {precision}",
                "export.comparing:compare_onnx",
                self._folder,
                precision,
                config.layout.upper(),
                **given,
            )
        return records

    def _compare_degradation(self, built: Built) -> list[Record]:
        latents = [x for x in DEGRADATION_LATENTS if built.degradation[x]]
        given = {
            "inputs": ("hr", *latents),
            "tolerance": self._config.max_degradation_diff,
        }
        return [
            *self._step(
                "compare degradation, SavedModel",
                "export.comparing:compare_degradation",
                self._folder,
                self._version,
                **given,
            ),
            *self._step(
                "compare degradation, ONNX",
                "export.comparing:compare_degradation_onnx",
                self._folder,
                **given,
            ),
        ]

    def _step(self, title: str, target: str, *args: object, **given: object) -> Any:
        print(f"{title} ...", end=" ", flush=True)
        try:
            stage = run_stage(target, *args, **given)
        except BaseException:
            print()  # the reason gets a line of its own
            raise
        self.peaks[title] = stage.peak_bytes
        print(f"{stage.seconds:.1f} s, {stage.peak_bytes / 2**30:.2f} GiB")
        return stage.result


def _failed(content: dict[str, object], output: Path) -> int:
    path = output / FAILED_CERTIFICATE
    write_json_atomic(path, content)
    for line in content["broken"]:
        print(f"error: {line}.", file=sys.stderr)
    half = all(line.startswith(MODEL_FP16) for line in content["broken"])
    hint = " --nofp16 exports without that file." if half else ""
    print(
        f"error: nothing was published. All numbers: {path}.{hint}",
        file=sys.stderr,
    )
    return LIMIT_BROKEN


def _check_extras(needed: Sequence[str]) -> None:
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"Exporting needs {', '.join(missing)}, which "
            f"{'is' if len(missing) == 1 else 'are'} not installed. "
            "Run pip install 'pdm_tf[export]'."
        )


def _check_locations(locations: Sequence[str]) -> None:
    for location in locations:
        if not Path(location).is_dir():
            raise UserError(
                "--model must be a run folder or a bundle, or several with commas "
                f"between. Received: {location}, which is no folder."
            )


if __name__ == "__main__":
    program.run(SPEC, main)
