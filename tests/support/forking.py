"""Starts of programs without the seconds that loading TensorFlow takes (Linux).

A server, one of each process of pytest, loads the libraries once and divides itself
(fork) for every start. The new process becomes a child of the one that asked, so that
it is waited for, signalled and watched like any other: `Popen` is `subprocess.Popen`
but for that. What runs in it is the program as `python -m` runs it, with its own
arguments, folder, environment, streams, session and exit.

Nothing of TensorFlow may run before the division: the server has one thread only. Where
a division would not be the same as a start, `Popen` starts as usual: other commands
than `python -m MODULE`; variables that libraries read while they are loaded; a folder
with a package of ours in it; systems that cannot. What cannot be seen in a divided
process is what comes before `main`: imports that a module lacks, closed streams, notes
of loading, the seed of hashes, which all divided processes share. Each program is
started once as users do, by `run_apart`.
"""

import contextlib
import ctypes
import gc
import importlib
import inspect
import json
import multiprocessing
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # of prctl(2)
# Variables that are read when they are needed, and not by a library that is loaded.
_READ_LATE = {"PYTEST_CURRENT_TEST", "TF_CONFIG", "TF_NUM_INTRAOP_THREADS", "KILL"}
# Variables that libraries set while they are loaded, in whatever process.
_SET_BY_LIBRARIES = {
    "ENABLE_RUNTIME_UPTIME_TELEMETRY",
    "HDF5_PLUGIN_PATH",
    "ORT_DISABLE_TELEMETRY",
    "TF2_BEHAVIOR",
    "TPU_ML_PLATFORM",
    "TPU_ML_PLATFORM_VERSION",
}
_LOADED_LAST = ("kserve", "bulk", "client", "torch_")


class Popen(subprocess.Popen):
    """`subprocess.Popen`; a divided process where that is the same."""

    def _execute_child(self, *args: Any, **given: Any) -> None:
        # Python's own step between making pipes and having a child.
        step = inspect.signature(subprocess.Popen._execute_child)
        start = step.bind(self, *args, **given).arguments
        server = _server()
        if server is None or not server.can(start):
            super()._execute_child(*args, **given)
            return
        streams = [start[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        streams = [mine if mine != -1 else n for n, mine in enumerate(streams)]
        try:
            self.pid = server.start(start, streams)
            self._child_created = True
        finally:
            self._close_pipe_fds(
                *(start[name] for name in ("p2cread", "p2cwrite", "c2pread")),
                *(start[name] for name in ("c2pwrite", "errread", "errwrite")),
            )


def run(command: Sequence[str], **given: Any) -> subprocess.CompletedProcess:
    """Does as `subprocess.run` with `capture_output` and `text`, by `Popen`."""
    timeout = given.pop("timeout", 300.0)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with Popen(command, **{**pipes, **given}) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


class _Server:
    """The side that asks."""

    def __init__(self) -> None:
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._socket, theirs = socket.socketpair()
        _prctl(_SET_CHILD_SUBREAPER, 1)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.forking", str(theirs.fileno())],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._owner, self._lock = os.getpid(), threading.Lock()

    def is_mine(self) -> bool:
        """Whether this process has started it, and it runs."""
        return self._owner == os.getpid() and self._process.poll() is None

    def can(self, start: Mapping[str, Any]) -> bool:
        """Whether a division is the same as this start; see above."""
        command, cwd = start["args"], Path(start["cwd"] or ".").resolve()
        words = list(command) if isinstance(command, list | tuple) else []
        # Tests are of this checkout, with or without saying so.
        given = {"PYTHONPATH": str(ROOT), **(start["env"] or os.environ)}
        other = {
            name
            for name, _ in {*given.items()} ^ {*self._environment.items()}
            if name not in _READ_LATE | _SET_BY_LIBRARIES
        }
        ours = cwd == ROOT or not any((cwd / x).exists() for x in ("pdm_tf", "export"))
        plain = not (start["shell"] or start["pass_fds"] or start["executable"])
        return (
            [str(word) for word in words[:2]] == [sys.executable, "-m"]
            and len(words) > 2
            and not other
            and ours
            and plain
        )

    def start(self, start: Mapping[str, Any], streams: Sequence[int]) -> int:
        """Returns the number of the new process, a child of this one."""
        given = os.environ if start["env"] is None else start["env"]
        order = {
            "words": [os.fspath(word) for word in start["args"][2:]],
            "cwd": os.fspath(Path(start["cwd"] or ".").resolve()),
            "environment": {x: given[x] for x in _READ_LATE if x in given},
            "session": bool(start["start_new_session"]),
            "parent": os.getpid(),
        }
        text = json.dumps(order).encode("utf-8", "surrogateescape")
        with self._lock:
            socket.send_fds(self._socket, [len(text).to_bytes(4, "big")], streams)
            self._socket.sendall(text)
            answer = self._socket.recv(8, socket.MSG_WAITALL)
        assert len(answer) == 8, "the server of starts has ended; see what it printed"
        return int.from_bytes(answer, "big")


_servers: list[_Server] = []


def _server() -> _Server | None:
    """This process's, started when it is first needed."""
    if not sys.platform.startswith("linux"):
        return None
    if not (_servers and _servers[-1].is_mine()):
        _servers.append(_Server())
    return _servers[-1]


def load_libraries() -> None:
    """Imports what programs import; checks that there is still one thread only."""
    import export
    import pdm_tf

    for package in (pdm_tf, export):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not any(name in module.name for name in _LOADED_LAST):
                with contextlib.suppress(ImportError):  # of an extra
                    importlib.import_module(module.name)
    for name in ("onnxruntime", "matplotlib.figure", "scipy.stats"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if not os.fork():  # which ends the threads of NumPy's OpenBLAS; they come again
        os._exit(0)
    os.wait()
    check_divisible()
    gc.freeze()  # collections would copy what all divided processes share


def check_divisible() -> None:
    """Asserts that this process has one thread: a division would lose the others."""
    threads = len(os.listdir("/proc/self/task"))
    assert threads == 1, f"{threads} threads: a division would lose some"


def divide_steps_too() -> None:
    """Has steps of an export, which are processes, divided from this one as well.

    Where a thread runs by then, they are started as usual.
    """
    real = multiprocessing.get_context

    def get_context(kind: str | None = None) -> Any:
        alone = len(os.listdir("/proc/self/task")) == 1
        return real("fork" if kind == "spawn" and alone else kind)

    multiprocessing.get_context = get_context


def run_as_main(words: Sequence[str]) -> NoReturn | None:
    """Does what `python -m WORDS` does after Python's own start."""
    module, *arguments = words
    sys.orig_argv = [sys.executable, "-m", *words]
    sys.argv = [module, *arguments]
    with warnings.catch_warnings():
        # It was imported to be divided, which surprises runpy; it may.
        warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def _serve(orders: socket.socket) -> dict[str, Any]:
    """Divides for each order; returns the order, in the new process alone."""
    with orders:
        while True:
            header, streams, _, _ = socket.recv_fds(orders, 4, 3)
            if not header:  # whoever asks has ended
                os._exit(0)
            size = int.from_bytes(header, "big")
            text = orders.recv(size, socket.MSG_WAITALL)
            order = json.loads(text.decode("utf-8", "surrogateescape"))
            between = os.fork()
            if not between:
                if os.fork():
                    os._exit(0)
                _take_place(order, streams, orders)
                return order
            os.waitpid(between, 0)
            for stream in streams:
                os.close(stream)


def _take_place(
    order: Mapping[str, Any], streams: Sequence[int], orders: socket.socket
) -> None:
    """Makes this new process what the order says, a child of the one that asked."""
    while os.getppid() != order["parent"]:
        time.sleep(0.0005)
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)  # none outlives it
    if os.getppid() != order["parent"]:
        os._exit(1)
    if order["session"]:
        os.setsid()
    # A shell's background jobs, and what they start, ignore SIGINT; this does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in streams:
        os.close(stream)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        # The old ones know what the streams were, say a file.
        old = getattr(sys, name)
        stream = open(
            number,
            old.mode,
            1 if number == 2 or os.isatty(number) else -1,
            encoding=old.encoding,
            errors=old.errors,
            closefd=False,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    os.chdir(order["cwd"])
    sys.path[0] = order["cwd"]
    for name in _READ_LATE - order["environment"].keys():
        os.environ.pop(name, None)
    os.environ.update(order["environment"])
    tempfile.tempdir = None
    orders.sendall(os.getpid().to_bytes(8, "big"))


def _prctl(what: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(what, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        load_libraries()
        wanted = _serve(asked)
    divide_steps_too()
    run_as_main(wanted["words"])
