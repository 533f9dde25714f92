"""onnxruntime in one place: imported quietly, its options, its memory, its threads.

- The Linux wheels of 1.29 and later send telemetry to Microsoft unless
  `ORT_DISABLE_TELEMETRY` is set before the import, and write a device id into the home
  folder. It is set here, unless the user has set it himself, and everything in the
  project that needs onnxruntime gets it from here.
- `onnxruntime` and `onnxruntime-gpu` install into the same folder. Both together give
  whichever was installed last, uninstalling one breaks the other, and pip sees nothing
  wrong. That is refused.
- The native part writes to file descriptor 2: what it could not load, which devices it
  did not find. `providers.py` reports the parts that matter in plain words; the rest is
  hidden (`core.quiet.captured_native`).
- CPU sessions share one arena, with settings chosen by measurement. EDSR-baseline x4,
  one tile, CPU, onnxruntime 1.26; peak resident memory of the process (72 MB of it
  before the first run):

  | allocator | memory pattern | tile 128 | 192 | 256 | time |
  |---|---|---|---|---|---|
  | default arena (doubling) | on (default) | 506 MB | | | 1.00 |
  | default arena | off | 339 MB | | 1132 MB | 1.01 |
  | arena, same as requested | off | 254 MB | 484 MB | 800 MB | 1.00 |
  | no arena | on | 314 MB | | | 1.12 |
  | no arena | off | 378 MB | | | 1.13 |

  So the CPU gets an arena that grows by the requested amounts, and no memory pattern
  (which plans one block for all of a run's tensors, as if none of them ended). An arena
  keeps memory that it once needed; when the shape changes, its free memory is given
  back.
- A session computes on the physical cores that this process may run on, within a
  container's quota: a second thread on the same core only gets in the way of a
  convolution, and threads beyond the quota are put to sleep in the middle of their
  work. (joblib's `cpu_count(only_physical_cores=True)` counts both threads of a core as
  soon as affinity or a quota limits the process, and does not see the quota of a group
  below the root.)
"""

import contextlib
import importlib.metadata
import math
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from pdm_tf.core.errors import UserError
from pdm_tf.core.memory import allowed_cpus
from pdm_tf.core.quiet import captured_native

# All of them write to site-packages/onnxruntime.
WHEELS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-rocm",
    "onnxruntime-training",
)
WARNING, FATAL = 2, 4  # log severities of onnxruntime
_TOPOLOGY = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
_arena_made = False


def import_onnxruntime() -> ModuleType:
    """Returns the module `onnxruntime`, telemetry off.

    Raises:
      UserError: it is not installed, two wheels of it are, or its files are damaged.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    if "onnxruntime" not in sys.modules:
        check_wheels(installed_wheels())
    try:
        with captured_native():
            import onnxruntime

            # `providers.py` finds and reports the native part's failures.
            onnxruntime.set_default_logger_severity(FATAL)
    except (ImportError, AttributeError) as error:
        raise UserError(
            "Running ONNX files needs onnxruntime, which cannot be imported. Received: "
            f"{error}. Install it with pip install 'pdm_tf[upscale]'; if it is "
            "installed, repair it with pip install --force-reinstall --no-deps "
            "onnxruntime-gpu."
        ) from error
    return onnxruntime


def installed_wheels() -> list[str]:
    """Names of the installed distributions that hold an onnxruntime."""
    found = []
    for name in WHEELS:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            importlib.metadata.distribution(name)
            found.append(name)
    return found


def check_wheels(wheels: list[str]) -> None:
    """Raises UserError when wheels that overwrite each other's files are installed."""
    if len(wheels) > 1:
        keep = "onnxruntime-gpu" if "onnxruntime-gpu" in wheels else wheels[0]
        raise UserError(
            "Only one wheel of onnxruntime may be installed, because all of them write "
            f"to the same folder. Received: {', '.join(wheels)}. "
            f"Run pip uninstall -y {' '.join(wheels)} and then pip install {keep} "
            "(onnxruntime-gpu runs on machines without a GPU too)."
        )


def native_errors() -> tuple[type[Exception], ...]:
    """The classes of onnxruntime's errors, which have no common base of their own."""
    state = import_onnxruntime().capi.onnxruntime_pybind11_state
    found = [
        value
        for value in vars(state).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]
    # RuntimeError and ValueError come from its Python part and from pybind11.
    return (*found, RuntimeError, ValueError)


def reason_of(error: Exception) -> str:
    """Returns the words of an onnxruntime error without its codes, in one line."""
    text = " ".join(str(error).split())
    if text.startswith("[ONNXRuntimeError]"):
        text = text.split(" : ", 3)[-1]
    return text.rstrip(".")


def session_options(ort: ModuleType, *, threads: int, spinning: bool, gpu: bool) -> Any:
    """Returns `SessionOptions`.

    Args:
      ort: onnxruntime.
      threads: of the CPU part.
      spinning: whether idle threads keep their core busy.
      gpu: whether a GPU is to be tried: then messages about it are logged.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.enable_mem_pattern = False
    options.log_severity_level = WARNING if gpu else FATAL
    entries = {
        "session.record_ep_graph_assignment_info": "1",
        "session.intra_op.allow_spinning": str(int(spinning)),
        "session.use_env_allocators": "1",
    }
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    _register_arena(ort)
    return options


def release_unused(ort: ModuleType) -> Any:
    """Returns `RunOptions` that give the arena's free memory back after the run."""
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


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
    # Other code in this process may have registered one, which is then used.
    with contextlib.suppress(*native_errors()):
        ort.create_and_register_allocator(memory, settings)
    _arena_made = True


def usable_cores(root: Path | str = "/") -> int:
    """Returns the number of threads for a computation, 1 or more.

    Args:
      root: where /sys and /proc lie, for tests.
    """
    root = Path(root)
    cores = {
        _text(root, _TOPOLOGY.format(cpu)) or f"cpu{cpu}" for cpu in allowed_cpus()
    }
    quota = _quota(root)
    count = len(cores) if quota is None else min(len(cores), math.ceil(quota))
    return max(count, 1)


def _quota(root: Path) -> float | None:
    """CPUs that the process's control group may use; None: all."""
    folders = ["sys/fs/cgroup", "sys/fs/cgroup/cpu"]
    for line in _text(root, "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            folders.append(f"sys/fs/cgroup{path}")
        elif "cpu" in controllers.split(","):
            folders.append(f"sys/fs/cgroup/cpu{path}")
    found = []
    for folder in folders:
        fields = _text(root, f"{folder}/cpu.max").split()  # version 2
        if not fields:
            fields = [
                _text(root, f"{folder}/cpu.cfs_quota_us"),  # version 1
                _text(root, f"{folder}/cpu.cfs_period_us"),
            ]
        if len(fields) == 2 and all(fields) and fields[0] not in ("max", "-1"):
            found.append(int(fields[0]) / int(fields[1]))
    return min(found, default=None)


def _text(root: Path, name: str) -> str:
    try:
        return (root / name.lstrip("/")).read_text(encoding="utf-8").strip()
    except OSError:  # another system, or a sandbox that hides it
        return ""
