"""Runs the commands of a page one after the other, in one process.

    python -m tests.support.commands COMMANDS.json RESULTS.json

COMMANDS.json holds a list of lines `python -m MODULE ...`; RESULTS.json gets a list of
[exit code, what was printed]. Importing TensorFlow takes seconds, so they share it, and
export does its steps here instead of in processes of their own.
"""

import contextlib
import io
import json
import runpy
import shlex
import sys
import traceback
import warnings
from pathlib import Path

from tests.support.exporting import stages_here


def run(command: str) -> tuple[int, str]:
    """Returns the exit code and what was printed; 1 and the traceback of an error."""
    python, dash_m, module, *arguments = shlex.split(command)
    assert (python, dash_m) == ("python", "-m"), command
    printed, argv = io.StringIO(), sys.argv
    sys.argv = [module, *arguments]
    code: object = 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            with warnings.catch_warnings():
                # What was imported by one command is run by the next; it may.
                warnings.filterwarnings(
                    "ignore", ".*found in sys.modules", RuntimeWarning
                )
                runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code or 0
        except BaseException:  # noqa: BLE001 - reported
            code = 1
            traceback.print_exc()
        finally:
            sys.argv = argv
    return int(code), printed.getvalue()


def main(commands: str, results: str) -> None:
    """Runs them all, whether or not those before have failed."""
    lines = json.loads(Path(commands).read_text(encoding="utf-8"))
    with stages_here():
        done = [run(line) for line in lines]
    Path(results).write_text(json.dumps(done), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
