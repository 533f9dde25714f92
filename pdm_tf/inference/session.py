"""One ONNX file, opened: what it is, where it computes, and a function on batches.

Session options, chosen by measurement (EDSR-baseline x4, one tile, CPU, onnxruntime
1.26; peak resident memory of the process, of which 72 MB before the first run):

| allocator | memory pattern | tile 128 | 192 | 256 | time |
|---|---|---|---|---|---|
| arena as it comes (doubling) | on (default) | 506 MB | | | 1.00 |
| arena as it comes | off | 339 MB | | 1132 MB | 1.01 |
| arena, same as requested | off | 254 MB | 484 MB | 800 MB | 1.00 |
| no arena | on | 314 MB | | | 1.12 |
| no arena | off | 378 MB | | | 1.13 |

So the CPU gets an arena that grows by what is asked for, and no memory pattern (which
plans one block for all of a run's tensors, as if none of them ended). An arena keeps
what it has once needed; when the shape changes it is told to give back what is free.
"""

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.inference import providers
from pdm_tf.inference.cores import usable_cores
from pdm_tf.inference.ort import (
    captured_native,
    import_onnxruntime,
    native_errors,
    reason_of,
)
from pdm_tf.inference.providers import ProviderReport

PathLike = str | os.PathLike[str]

_WARNING, _FATAL = 2, 4  # log severities of onnxruntime
_PROBE = 8  # side of the image that a file without metadata is tried with
_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True)
class ModelInfo:
    """What an ONNX file says, or shows, of itself.

    Attributes:
      path: the file.
      scale: SR size / LR size.
      architecture: "EDSR", ...; "" in files that are not ours.
      layout: "NHWC" or "NCHW", of input and output.
      precision: "float32" or "float16", of what is computed between them.
      receptive_radius: how far an output pixel sees, in LR pixels; None: unknown.
      metadata: all that the file's metadata hold.
      sha256: of the file.
      batch: the one batch size that the graph takes; None: any.
    """

    path: Path
    scale: int
    architecture: str
    layout: str
    precision: str
    receptive_radius: int | None
    metadata: Mapping[str, str]
    sha256: str
    batch: int | None = None


class SrSession:
    """An open model; `run` may be called from several threads.

    Attributes:
      info: the file. provider: where it computes.
    """

    def __init__(self, session: Any, path: Path, provider: ProviderReport) -> None:
        self._session = session
        self._input, self._output = session.get_inputs()[0], session.get_outputs()[0]
        self._dtype = _FLOATS[self._input.type]
        self._shape: tuple[int, ...] | None = None
        self._device_id = 0
        self.provider = provider
        self.info = _info(self, path)

    @property
    def native(self) -> Any:
        """The `onnxruntime.InferenceSession`."""
        return self._session

    def run(self, lr: np.ndarray) -> np.ndarray:
        """Upscales [B, h, w, 3] float32 in [0, 1] -> [B, h * s, w * s, 3] float32.

        Raises:
          UserError: it cannot be computed, usually for want of memory.
        """
        return self._run(lr, self.info.layout)

    def _run(self, lr: np.ndarray, layout: str) -> np.ndarray:
        image = lr.transpose(0, 3, 1, 2) if layout == "NCHW" else lr
        image = np.ascontiguousarray(image, self._dtype)
        try:
            if self.provider.on_gpu:
                sr = self._run_bound(image)
            else:
                sr = self._run_cpu(image)
        except native_errors() as error:
            raise UserError(
                f"The network could not be run on an image of {lr.shape[2]}x"
                f"{lr.shape[1]} pixels, batch {lr.shape[0]}. Received: "
                f"{reason_of(error)}. If memory is short, use a smaller tile or batch."
            ) from error
        if layout == "NCHW":
            sr = sr.transpose(0, 2, 3, 1)
        return np.asarray(sr, np.float32)

    def _run_cpu(self, image: np.ndarray) -> np.ndarray:
        options = None
        if image.shape != self._shape:
            # What the last shape needed is of no use to this one.
            options = import_onnxruntime().RunOptions()
            options.add_run_config_entry(
                "memory.enable_memory_arena_shrinkage", "cpu:0"
            )
            self._shape = image.shape
        return self._session.run(
            [self._output.name], {self._input.name: image}, options
        )[0]

    def _run_bound(self, image: np.ndarray) -> np.ndarray:
        """With the output left on the device until it is whole, one copy each way."""
        binding = self._session.io_binding()
        binding.bind_cpu_input(self._input.name, image)
        binding.bind_output(self._output.name, "cuda", self._device_id)
        self._session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()[0]


def open_session(
    path: PathLike,
    *,
    provider: str = "auto",
    strict: bool = False,
    device_id: int = 0,
    threads: int = 0,
    gpu_memory_mb: int = 0,
    algo_search: str = "HEURISTIC",
    tf32: bool = True,
    spinning: bool = True,
) -> SrSession:
    """Opens an SR network for inference.

    Args:
      path: an ONNX file of `python -m export`, or of someone else: then with one image
        input of rank 4, free height and width, and values in [0, 1].
      provider: "auto" takes CUDA where it works, else the CPU; "cpu", "cuda" or
        "tensorrt".
      strict: fail instead of computing somewhere else than `provider` says.
      device_id: which GPU.
      threads: of the CPU; 0 takes the physical cores that this process may use.
      gpu_memory_mb: limit of onnxruntime's memory pool on the GPU; 0: none.
      algo_search: how cuDNN's algorithms are chosen; EXHAUSTIVE may pay for itself
        where all tiles have one size.
      tf32: whether float32 convolutions on the GPU may round to TF32.
      spinning: whether idle threads keep a core busy to answer faster; off where many
        processes share one machine.

    Raises:
      UserError: no such file, not an ONNX file, not an SR network, or (strict) the
        provider is not to be had.
    """
    ort = import_onnxruntime()
    path = _checked_path(path)
    reasons = []
    options = {
        "cuda": lambda: providers.cuda_options(
            device_id, gpu_memory_mb, algo_search, tf32=tf32
        ),
        "tensorrt": lambda: providers.tensorrt_options(device_id, _trt_cache()),
    }
    wanted = []
    for name in providers.wanted_providers(provider):
        reason = providers.missing_for(ort, name, device_id)
        if reason:
            reasons.append(f"{name}: {reason}")
        else:
            wanted.append((providers.NATIVE[name], dict(options[name]())))
    threads = threads or (2 if wanted else usable_cores())
    made, log = _make(ort, path, wanted, _options(ort, threads, spinning, bool(wanted)))
    if wanted and made.get_providers()[0] == providers.NATIVE["cpu"]:
        reasons.append(providers.reason_in_log(log))
        # Its options were those of a GPU session.
        cpu = _options(ort, usable_cores(), spinning, gpu=False)
        made, _ = _make(ort, path, [], cpu)
    reason = "; ".join(reason for reason in reasons if reason)
    report = providers.report_on(made, provider, reason)
    if strict:
        providers.check_strict(report, path)
    _check_tensors(made, path)
    return SrSession(made, path, report)


def _checked_path(path: PathLike) -> Path:
    path = Path(path)
    if not path.exists():
        raise UserError(f"There is no model file {path}.")
    if path.is_dir():
        found = sorted(path.glob("*.onnx"))
        hint = f" Did you mean {found[0]}?" if found else ""
        raise UserError(f"An ONNX file is required. Received the folder {path}.{hint}")
    return path


def _options(ort: ModuleType, threads: int, spinning: bool, gpu: bool) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.enable_mem_pattern = False
    options.log_severity_level = _WARNING if gpu else _FATAL
    entries = {
        "session.record_ep_graph_assignment_info": "1",
        "session.intra_op.allow_spinning": str(int(spinning)),
        "session.use_env_allocators": "1",
    }
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    _register_arena(ort)
    return options


_arena_made = False


def _register_arena(ort: ModuleType) -> None:
    """Makes the CPU arena that sessions with `use_env_allocators` share."""
    global _arena_made
    if _arena_made:
        return
    settings = ort.OrtArenaCfg(
        {
            "arena_extend_strategy": 1,  # kSameAsRequested
            "initial_chunk_size_bytes": 1 << 20,
            "max_dead_bytes_per_chunk": 1 << 20,
        }
    )
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    # Somebody else in this process may have registered one: then that is used.
    with contextlib.suppress(*native_errors()):
        ort.create_and_register_allocator(memory, settings)
    _arena_made = True


def _make(
    ort: ModuleType, path: Path, wanted: Sequence[Any], options: Any
) -> tuple[Any, str]:
    """Returns the native session and what the native part logged."""
    gpu = bool(wanted)
    try:
        with captured_native() as log:
            ort.set_default_logger_severity(_WARNING if gpu else _FATAL)
            try:
                session = ort.InferenceSession(
                    str(path),
                    options,
                    providers=[*wanted, providers.NATIVE["cpu"]],
                )
            finally:
                ort.set_default_logger_severity(_FATAL)
    except native_errors() as error:
        raise UserError(
            f"{path} must be an ONNX file that onnxruntime {ort.__version__} can read. "
            f"Received: {reason_of(error)}."
        ) from error
    return session, log.text


def _check_tensors(session: Any, path: Path) -> None:
    """Raises UserError unless the graph takes an image and gives an image."""
    kind = session.get_modelmeta().custom_metadata_map.get("kind", "sr")
    if kind != "sr":
        raise UserError(
            f"{path} must be a super-resolution network. Received: kind {kind!r}, "
            "which makes LR images out of HR images. Take the model.onnx beside it."
        )
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shapes = [f"{x.name} {x.shape} {x.type}" for x in (*inputs, *outputs)]
    good = (
        len(inputs) == 1
        and len(inputs[0].shape) == 4
        and len(outputs[0].shape) in (0, 4)
        and inputs[0].type in _FLOATS
        and outputs[0].type in _FLOATS
    )
    if not good:
        raise UserError(
            f"{path} must take one image [batch, height, width, 3] or [batch, 3, "
            "height, width] of floats and give one. Received: "
            f"{'; '.join(shapes)}."
        )
    _layout(inputs[0].shape, path)


def _layout(shape: Sequence[Any], path: Path) -> str:
    layout = "NCHW" if shape[1] == 3 and shape[3] != 3 else "NHWC"
    colour, free = (1, (2, 3)) if layout == "NCHW" else (3, (1, 2))
    if isinstance(shape[colour], int) and shape[colour] != 3:
        raise UserError(f"{path} must take 3 colours. Received: the shape {shape}.")
    if any(isinstance(shape[axis], int) for axis in free):
        raise UserError(
            f"{path} must take images of any height and width. Received: the shape "
            f"{shape}. Export it with free axes."
        )
    return layout


def _info(session: SrSession, path: Path) -> ModelInfo:
    metadata = dict(session.native.get_modelmeta().custom_metadata_map)
    shape = session.native.get_inputs()[0].shape
    layout = metadata.get("layout") or _layout(shape, path)
    batch = shape[0] if isinstance(shape[0], int) else None
    if "scale" in metadata:
        scale = int(metadata["scale"])
    else:
        scale = _scale_by_trying(session, layout, batch or 1, path)
    radius = metadata.get("receptive_radius")
    half = session.native.get_inputs()[0].type == "tensor(float16)"
    return ModelInfo(
        path=path,
        scale=scale,
        architecture=metadata.get("architecture", ""),
        layout=layout,
        precision=metadata.get("precision", "float16" if half else "float32"),
        receptive_radius=int(radius) if radius else None,
        metadata=metadata,
        sha256=_sha256(path),
        batch=batch,
    )


def _scale_by_trying(session: SrSession, layout: str, batch: int, path: Path) -> int:
    lr = np.full((batch, _PROBE, _PROBE, 3), 0.5, np.float32)
    sr = session._run(lr, layout)
    scale, rest = divmod(sr.shape[1], _PROBE)
    if sr.shape != (batch, _PROBE * scale, _PROBE * scale, 3) or rest or not scale:
        raise UserError(
            f"{path} must give an image of whole multiples of its input's sides. "
            f"Received: {list(sr.shape)} for {list(lr.shape)}."
        )
    return scale


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _trt_cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "pdm_tf" / "tensorrt"
