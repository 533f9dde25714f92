"""For the tests of `python -m export`: the program, and what lies in a folder."""

import contextlib
import importlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from export.__main__ import SPEC, main
from export.stages import Stage
from pdm_tf.cli import program
from pdm_tf.core.memory import peak_bytes
from tests.support import forking

REPOSITORY = Path(__file__).resolve().parents[2]


def start(*flags):
    """Starts the program in a session of its own, so that signals reach it alone."""
    return forking.Popen(
        [sys.executable, "-m", "export", *flags],
        # A shell's background jobs, and what they start, ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def call(*flags):
    """Runs the program and its steps in this process; returns the exit code.

    Where only the result counts: a step's own process loads TensorFlow again.
    """
    with stages_here():
        return program.call(SPEC, main, flags)


@contextlib.contextmanager
def stages_here():
    """Within it the export's steps run in this process, each where it is started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("export.__main__.run_stage", _run_here)
        patch.setattr("export.stages.run_stage", _run_here)  # if it is run as a module
        yield


def _run_here(target, *args, **given):
    module, _, name = target.partition(":")
    start = time.monotonic()
    result = getattr(importlib.import_module(module), name)(*args, **given)
    return Stage(result, time.monotonic() - start, peak_bytes())


def tree(folder):
    """Relative name -> bytes of every file, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def hidden(folder):
    """The part of `tree` that is below hidden names."""
    return {name: data for name, data in tree(folder).items() if _is_hidden(name)}


def visible(folder):
    """The other part."""
    return {name: data for name, data in tree(folder).items() if not _is_hidden(name)}


def _is_hidden(name):
    return any(part.startswith(".") for part in name.split("/"))
