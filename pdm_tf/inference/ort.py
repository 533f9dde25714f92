"""onnxruntime, imported in one place: no telemetry, no clash of wheels, no chatter.

- The Linux wheels of 1.29 and later send telemetry to Microsoft unless
  `ORT_DISABLE_TELEMETRY` is set before the import, and write a device id into the home
  folder. It is set here, unless the user has set it himself, and everything in the
  project that needs onnxruntime gets it from here.
- `onnxruntime` and `onnxruntime-gpu` install into the same folder. Both together give
  whichever was installed last, uninstalling one breaks the other, and pip sees nothing
  wrong. That is refused.
- The native part writes to file descriptor 2: what it could not load, which devices it
  did not find. What matters of it is found out and told properly (`providers.py`); the
  rest is kept from the user (`captured_native`).
"""

import contextlib
import importlib.metadata
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from types import ModuleType

from pdm_tf.core.errors import UserError

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
_descriptor_lock = threading.Lock()


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

            # What the native part cannot do is asked and told in `providers.py`.
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
    """What onnxruntime raises; its classes have no common base of their own."""
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


class NativeLog:
    """What was written to file descriptor 2 within `captured_native`."""

    text = ""


@contextlib.contextmanager
def captured_native() -> Iterator[NativeLog]:
    """Within it, what is written to file descriptor 2 goes into the log, not further.

    One thread at a time: the descriptor belongs to the process. The log is filled when
    it ends, also after an exception.
    """
    log = NativeLog()
    with _descriptor_lock, tempfile.TemporaryFile() as captured:
        sys.stderr.flush()
        saved = os.dup(2)
        os.dup2(captured.fileno(), 2)
        try:
            yield log
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            captured.seek(0)
            log.text = captured.read().decode("utf-8", errors="replace")
