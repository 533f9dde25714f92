"""Running the project's programs: in this process where only the result counts.

Importing TensorFlow takes seconds, so a test that wants a program's result calls
`run_here`; one that needs a process of its own calls `run_divided`; and one test per
program starts it as users do, with `run_apart`.
"""

import contextlib
import io
import os
import runpy
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from tests.support import forking

ROOT = Path(__file__).resolve().parents[2]


def run_here(
    module: str, *arguments: str, cwd: Path | None = None, code: int = 0
) -> str:
    """Runs `python -m module arguments` in this process; returns what it printed.

    Raises:
      AssertionError: the exit code was another one; with all the program printed.
    """
    printed = io.StringIO()
    argv = sys.argv
    sys.argv = [module, *arguments]
    try:
        with (
            contextlib.chdir(cwd or Path.cwd()),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            ended = _exit_code(module)
    finally:
        sys.argv = argv
    assert ended == code, printed.getvalue()
    return printed.getvalue()


def _exit_code(module: str) -> int:
    try:
        with warnings.catch_warnings():
            # Tests import what they then run, which surprises runpy; it may.
            warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def run_apart(
    module: str,
    *arguments: str,
    cwd: Path | None = None,
    code: int = 0,
    timeout: float = 300.0,
    more_environment: Sequence[tuple[str, str]] = (),
) -> subprocess.CompletedProcess:
    """Runs `python -m module arguments` in a process of its own.

    Raises:
      AssertionError: the exit code was another one; with all the program printed.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **dict(more_environment)},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def run_divided(
    module: str,
    *arguments: str,
    cwd: Path | None = None,
    code: int = 0,
    timeout: float = 300.0,
) -> subprocess.CompletedProcess:
    """Does as `run_apart`, in a process that has the libraries already."""
    done = forking.run(
        [sys.executable, "-m", module, *arguments], cwd=cwd, timeout=timeout
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done
