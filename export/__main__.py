"""Writes a trained network as SavedModel and ONNX: `python -m export --help`."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from export import certificate, publish
from export.cases import read_photo
from export.comparing import Record
from export.flags_export import LIMIT_BROKEN, SPEC, ExportConfig
from export.serving_files import write_serving_files
from export.stages import run_stage
from export.workspace import (
    CERTIFICATE,
    FAILED_CERTIFICATE,
    MODEL_FP16,
    SAVED_MODEL,
    Built,
)
from pdm_tf.cli import program
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import write_json_atomic

_NEEDED = ("tf2onnx", "onnx", "onnxruntime", "tensorflow_serving")


def main(config: ExportConfig) -> int:
    """Exports; returns the exit code."""
    _check_extras()
    _check_locations(config.locations)
    read_photo(config.photo)  # here too: before TensorFlow takes seconds to load
    output = Path(config.output_dir)
    with publish.workspace(output) as folder:
        version = publish.choose_version(output, config.version)
        work = _Work(config, folder, version)
        built = work.write()
        records = work.compare(built)
        content = certificate.make_certificate(
            config, built, records, work.peaks, version
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
    print(
        f"largest memory: {built.write_peak_bytes / 2**30:.2f} GiB to write, "
        f"{max(work.peaks.values()) / 2**30:.2f} GiB with the comparison"
    )
    print(f"wrote {', '.join(publish.relative(written, output))} in")
    print(output)
    return program.OK


class _Work:
    """The steps, each in a process of its own and with a line of its own."""

    def __init__(self, config: ExportConfig, folder: Path, version: int) -> None:
        self._config, self._folder, self._version = config, folder, version
        self.peaks: dict[str, int] = {}

    def write(self) -> Built:
        """SavedModels and ONNX files, and Keras's outputs."""
        built = self._step(
            "write SavedModel and ONNX, run Keras",
            "export.write_models:build",
            *(self._config, self._folder, self._version),
        )
        self.peaks["write alone"] = built.write_peak_bytes
        if built.networks and self._config.fp16:
            self._step(
                f"write {MODEL_FP16}", "export.comparing:write_half", self._folder
            )
        return built

    def compare(self, built: Built) -> list[Record]:
        """Everything written against Keras."""
        config, records = self._config, []
        common = (config.photo, built.cases, config.max_abs_diff)
        layout = config.layout.upper()
        if built.networks:
            records += self._step(
                f"compare {SAVED_MODEL}",
                "export.comparing:compare_saved_model",
                *(self._folder, self._version, *common),
            )
            for precision in ("float32", *(["float16"] if config.fp16 else [])):
                records += self._step(
                    f"compare ONNX, {precision}",
                    "export.comparing:compare_onnx",
                    *(self._folder, precision, layout, *common),
                )
        if built.degradation:
            latents = [z for z in ("z_k", "z_n") if built.degradation[z]]
            names = ("hr", *latents)
            limit = config.max_degradation_diff
            records += self._step(
                "compare degradation, SavedModel",
                "export.comparing:compare_degradation",
                *(self._folder, self._version, names, limit),
            )
            records += self._step(
                "compare degradation, ONNX",
                "export.comparing:compare_degradation_onnx",
                *(self._folder, names, limit),
            )
        return records

    def _step(self, title: str, target: str, *args: object) -> object:
        print(f"{title} ...", end=" ", flush=True)
        try:
            stage = run_stage(target, *args)
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


def _check_extras() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"Exporting needs {', '.join(missing)}, which "
            f"{'is' if len(missing) == 1 else 'are'} not installed. "
            "Run pip install -e '.[export]'."
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
