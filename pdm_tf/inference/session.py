"""An opened ONNX file: its facts, its provider, and a function on batches."""

import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pdm_tf.core.apart import run_apart
from pdm_tf.core.checks import check_sha256
from pdm_tf.core.errors import UserError
from pdm_tf.inference import providers
from pdm_tf.inference.model_file import (
    FLOATS,
    ModelInfo,
    PathLike,
    check_tensors,
    checked_path,
    is_sealed,
    read_info,
)
from pdm_tf.inference.ort import (
    FATAL,
    WARNING,
    captured_native,
    import_onnxruntime,
    native_errors,
    reason_of,
    release_unused,
    session_options,
    usable_cores,
)
from pdm_tf.inference.providers import ProviderReport

__all__ = ["ModelInfo", "ProviderReport", "SrSession", "open_session"]

# Opens an ONNX file and runs it once, as far as that goes; errors are told later, by
# the process that uses it.
_TRIAL = """
import numpy, onnxruntime
print("loaded", flush=True)
onnxruntime.set_default_logger_severity(4)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads, options.log_severity_level = 1, 4
cpu = ["CPUExecutionProvider"]
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=cpu)
image = session.get_inputs()[0]
sides = [side if isinstance(side, int) else 8 for side in image.shape]
if max(sides) <= 64:
    kind = numpy.float16 if image.type == "tensor(float16)" else numpy.float32
    session.run(None, {image.name: numpy.zeros(sides, kind)})
"""


class SrSession:
    """An open model; `run` may be called from several threads.

    Attributes:
      info: the file. provider: where it computes.
    """

    def __init__(
        self,
        session: Any,
        path: Path,
        provider: ProviderReport,
        *,
        bound_to: tuple[str, int] | None = None,
    ) -> None:
        """Reads the file's metadata.

        Args:
          session: an `InferenceSession` that passed `check_tensors`.
          path: its file.
          provider: where it computes.
          bound_to: device and its number where outputs are left until they are whole;
            None on a CPU, where there is nothing to copy.
        """
        self._session, self._bound_to = session, bound_to
        self._input, self._output = session.get_inputs()[0], session.get_outputs()[0]
        self._dtype = FLOATS[self._input.type]
        self._shape: tuple[int, ...] | None = None
        self.provider = provider
        self.info: ModelInfo = read_info(session, path, self._run)

    def run(self, lr: np.ndarray) -> np.ndarray:
        """Upscales [B, h, w, 3] float32 in [0, 1] -> [B, h * s, w * s, 3] float32.

        Raises:
          UserError: it cannot be computed, usually for lack of memory.
        """
        if (habits := self.info.habits) is None:
            return self._run(lr, self.info.layout)
        return habits.apply(lambda image: self._run(image, self.info.layout), lr)

    def _run(self, lr: np.ndarray, layout: str) -> np.ndarray:
        image = lr.transpose(0, 3, 1, 2) if layout == "NCHW" else lr
        image = np.ascontiguousarray(image, self._dtype)
        try:
            sr = self._run_bound(image) if self._bound_to else self._run_plain(image)
        except native_errors() as error:
            raise UserError(
                f"The network could not be run on an image of {lr.shape[2]}x"
                f"{lr.shape[1]} pixels, batch {lr.shape[0]}. Received: "
                f"{reason_of(error)}. If memory is short, use a smaller tile or batch."
            ) from error
        if layout == "NCHW":
            sr = sr.transpose(0, 2, 3, 1)
        return np.asarray(sr, np.float32)

    def _run_plain(self, image: np.ndarray) -> np.ndarray:
        options = None
        if image.shape != self._shape:
            # The memory for the last shape does not help this one.
            options = release_unused(import_onnxruntime())
            self._shape = image.shape
        feed = {self._input.name: image}
        return self._session.run([self._output.name], feed, options)[0]

    def _run_bound(self, image: np.ndarray) -> np.ndarray:
        """Runs with one copy to the device and one back, none in between."""
        binding = self._session.io_binding()
        binding.bind_cpu_input(self._input.name, image)
        binding.bind_output(self._output.name, *self._bound_to)
        self._session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()[0]


def open_session(
    path: PathLike,
    *,
    provider: str = "auto",
    strict: bool = False,
    device_id: int = 0,
    threads: int = 0,
    tf32: bool = True,
    spinning: bool = True,
    sha256: str = "",
) -> SrSession:
    """Opens an SR network for inference.

    Args:
      path: an ONNX file of `python -m export`, or of someone else: then with one image
        input of rank 4, free height and width, and values in [0, 1].
      provider: "auto" takes CUDA where it works, else the CPU; "cpu", "cuda" or
        "tensorrt".
      strict: fail instead of computing elsewhere than on `provider`.
      device_id: which GPU.
      threads: of the CPU; 0 takes the physical cores that this process may use.
      tf32: whether float32 convolutions on the GPU may round to TF32.
      spinning: whether idle threads keep a core busy to answer faster; off where many
        processes share one machine.
      sha256: hash that the file must have; "": any, and a file that `python -m export`
        did not seal is first tried in a process of its own.

    Raises:
      UserError: no such file, another hash, not an ONNX file, one by which onnxruntime
        ends its process, not an SR network, or (strict) the provider is not available.
    """
    ort = import_onnxruntime()
    path = checked_path(path)
    check_sha256(sha256, path)
    if not sha256 and not is_sealed(path):
        _try_apart(path)
    reasons = []
    gpu_options = {
        "cuda": lambda: providers.cuda_options(device_id, tf32=tf32),
        "tensorrt": lambda: providers.tensorrt_options(device_id, _trt_cache()),
    }
    wanted = []
    for name in providers.wanted_providers(provider):
        reason = providers.missing_for(ort, name, device_id)
        if reason:
            reasons.append(f"{name}: {reason}")
        else:
            wanted.append((providers.NATIVE[name], dict(gpu_options[name]())))
    made, log = _make(
        ort,
        path,
        wanted,
        session_options(
            ort,
            # With a GPU there is little work for the CPU.
            threads=threads or (2 if wanted else usable_cores()),
            spinning=spinning,
            gpu=bool(wanted),
        ),
    )
    if wanted and made.get_providers()[0] == providers.NATIVE["cpu"]:
        reasons.append(providers.reason_in_log(log))
        # Its options were those of a GPU session.
        options = session_options(
            ort, threads=threads or usable_cores(), spinning=spinning, gpu=False
        )
        made, _ = _make(ort, path, [], options)
    reason = "; ".join(reason for reason in reasons if reason)
    try:
        report = providers.report_on(made, provider, reason)
        if strict:
            providers.check_strict(report, path)
        check_tensors(made, path)
        bound_to = ("cuda", device_id) if report.on_gpu else None
        return SrSession(made, path, report, bound_to=bound_to)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} must be an ONNX file whose names and metadata are UTF-8. "
            f"Received: {error}."
        ) from error


def _try_apart(path: Path) -> None:
    """Raises UserError for a file by which onnxruntime ends its process.

    Some damaged ones do that, by an assertion or a segmentation fault.
    """
    ended = run_apart(_TRIAL, path)
    if ended.was_ended:
        raise UserError(
            f"{path} must be an ONNX file that onnxruntime can open. Received: one by "
            f"which a process that tried it {ended.why}."
        )
    if not ended.output:
        raise UserError(
            "An ONNX file of others is first tried in a process of its own, which must "
            f"find onnxruntime. Received: {path}, and a process that {ended.why}. "
            "Files whose --sha256 is given are not tried."
        )


def _make(
    ort: ModuleType, path: Path, wanted: Sequence[Any], options: Any
) -> tuple[Any, str]:
    """Returns the native session and the native part's log."""
    gpu = bool(wanted)
    try:
        with captured_native() as log:
            ort.set_default_logger_severity(WARNING if gpu else FATAL)
            try:
                session = ort.InferenceSession(
                    str(path),
                    options,
                    providers=[*wanted, providers.NATIVE["cpu"]],
                )
            finally:
                ort.set_default_logger_severity(FATAL)
    except native_errors() as error:
        raise UserError(
            f"{path} must be an ONNX file that onnxruntime {ort.__version__} can read. "
            f"Received: {reason_of(error)}."
        ) from error
    return session, log.text


def _trt_cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "pdm_tf" / "tensorrt"
