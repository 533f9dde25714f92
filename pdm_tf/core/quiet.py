"""Filters libraries' start-up notes from file descriptor 2.

TensorFlow 2.21 writes a dozen lines to standard error while it is imported: notes on
oneDNN, CUDA stubs and CPU instructions. Some of them come from static initialisers
before any log level is read, so no environment variable silences them; only redirecting
the file descriptor does. Everything but mere notes (warnings, errors, a traceback) is
passed on. onnxruntime's native part writes there too; `inference/providers.py` passes
the reasons among its lines on.

`import pdm_tf` calls `hide_import_notes`, so that it does not matter which of our
modules imports TensorFlow, or whether the user's own script does. Programs use
`quiet_start` where more follows than the import: a network starts the devices.
"""

import contextlib
import gc
import importlib.util
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import BinaryIO

# glog lines of severity I, their pre-initialisation banner, and the one continuation.
_NOTE = re.compile(
    r"^(I\d{4} |\d{4}-\d\d-\d\d [\d:.]+: I |WARNING: All log messages before absl::"
    r"|To enable the following instructions: )"
)
_descriptor_lock = threading.RLock()


class NativeLog:
    """The text written to file descriptor 2 within `captured_native`."""

    text = ""


def _scratch() -> BinaryIO:
    """A file without a name: in memory, which a full disk does not touch, on Linux."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("captured"), "w+b")
    return tempfile.TemporaryFile()


@contextlib.contextmanager
def captured_native() -> Iterator[NativeLog]:
    """Captures everything written to file descriptor 2 in the log.

    One thread at a time: the descriptor belongs to the process. The log is filled when
    it ends, also after an exception.
    """
    log = NativeLog()
    with _descriptor_lock, _scratch() as captured:
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


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Hides the notes of `import tensorflow` and of initialising devices.

    Everything else written to standard error meanwhile appears when it ends, also after
    an exception. If the level is not set, `TF_CPP_MIN_LOG_LEVEL` becomes 3: only fatal
    errors of the C++ part, which the Python part reports anyway.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    log = NativeLog()
    try:
        with captured_native() as log:
            yield
    finally:
        for line in log.text.splitlines():
            if not _NOTE.match(line):
                print(line, file=sys.stderr)


@contextlib.contextmanager
def as_if_not_installed(name: str) -> Iterator[None]:
    """Has imports meanwhile do without the package `name`, unless it is loaded already.

    For packages that import another one, whose import takes seconds, just because it is
    there.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None
    try:
        yield
    finally:
        sys.modules.pop(name, None)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """What is made meanwhile, hundreds of thousands of objects, is no garbage.

    Python would search all of it again and again, a tenth of the time of the import.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


class _QuietFinder:
    """Finds TensorFlow as usual, and has it imported within `quiet_start`.

    An entry of `sys.meta_path`; everything but `tensorflow` itself is left to the
    entries after it.
    """

    def __init__(self) -> None:
        self._asking = threading.local()

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        """Returns the spec that the other entries find, its loader made quiet."""
        del path, target
        if name != "tensorflow" or getattr(self._asking, "others", False):
            return None
        self._asking.others = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._asking.others = False
        loader = spec.loader if spec is not None else None
        if loader is not None:
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                with quiet_start(), uncollected():
                    execute(module)

            loader.exec_module = exec_module  # of this loader, not of its class
        return spec


def hold_streams() -> None:
    """Gives closed standard streams to the null device; daemons and cron close them.

    Without it, Python's `sys.stderr` is None, and the next file that anything opens
    becomes descriptor 2, to which native libraries write their messages.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            stream = open(os.devnull, "w" if number else "r")  # noqa: SIM115 - stays
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def hide_import_notes() -> None:
    """Hides the notes of `import tensorflow`, whoever imports it, from now on.

    Nothing happens if TensorFlow was imported before; repeated calls count once.
    """
    if "tensorflow" in sys.modules:
        return
    if not any(isinstance(finder, _QuietFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _QuietFinder())
