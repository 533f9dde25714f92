"""The frame of every program: flags in, exit code out.

    SPEC = ProgramSpec(module="pdm_tf.train", config=TrainConfig, ...)

    def main(config: TrainConfig) -> int | None: ...

    if __name__ == "__main__":
        program.run(SPEC, main)

Bad flags, bad data, and disks that are full or may not be written end in one line
`error: ...` and code 2; only a defect of ours prints a traceback. Output lines are
flushed as they come, so that a log file or a pipe shows them in time.

The exit codes are constants of this module: what a script that starts a program can
rely on.
"""

import gc
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from pdm_tf.cli.commands import how_to_start
from pdm_tf.cli.flag_set import HelpRequested, ProgramSpec, parse
from pdm_tf.core.errors import UserError
from pdm_tf.core.refusals import refused

OK = 0
UNEXPECTED = 1  # a defect of ours; the traceback is printed
SOME_LEFT_OUT = 1  # everything was done but for some files, which are named
BAD_INPUT = 2  # flags or data that cannot be used; the message says which
NON_FINITE_LOSS = 3  # training diverged; the last good checkpoint is intact
INTERRUPTED = 75  # stopped by a signal after saving; start again to go on (EX_TEMPFAIL)
ABORTED = 130  # Ctrl-C with nothing saved (128 + SIGINT, as shells report it)


def run(
    spec: ProgramSpec,
    main: Callable[[Any], int | None],
    argv: Sequence[str] | None = None,
) -> NoReturn:
    """Parses the flags, calls `main` with the config, and exits with its code.

    Args:
      spec: the program's flags and help.
      main: gets the `spec.config`; returns an exit code, None meaning 0.
      argv: the arguments without the program's name; `sys.argv[1:]` if None.

    Raises:
      SystemExit: always, with one of the exit codes above.
    """
    code = call(spec, main, sys.argv[1:] if argv is None else argv)
    # Python's last collection would look at all of TensorFlow for most of a second.
    gc.freeze()
    sys.exit(code)


def call(
    spec: ProgramSpec, main: Callable[[Any], int | None], argv: Sequence[str]
) -> int:
    """Does as `run`, but returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # Names of files may be no UTF-8, and are shown with escapes.
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        return _call(spec, main, argv)
    except UserError as error:
        # The rules know the module alone, not how the program was started.
        help_of = f"python -m {spec.module} --help"
        started = f"{how_to_start(spec.module)} --help"
        print(f"error: {str(error).replace(help_of, started)}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted.", file=sys.stderr)
        return ABORTED
    except BrokenPipeError:  # the reader of our output left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNEXPECTED
    except Exception as error:  # noqa: BLE001 - the one place: it reports and fails
        if _is_interrupt(error):
            print("interrupted.", file=sys.stderr)
            return ABORTED
        if line := refused(error):
            print(
                f"error: {line}. What was finished is kept: mend this, and start the "
                "same command again.",
                file=sys.stderr,
            )
            return BAD_INPUT
        traceback.print_exc()
        return UNEXPECTED


def _is_interrupt(error: BaseException) -> bool:
    """Whether Ctrl-C came while Python's own `threading` gave a lock back.

    It then ends in an error about that lock (seen in Python 3.11).
    """
    frames = traceback.extract_tb(error.__traceback__)
    return (
        isinstance(error.__context__, KeyboardInterrupt)
        and frames[-1].filename == threading.__file__
    )


def _call(
    spec: ProgramSpec, main: Callable[[Any], int | None], argv: Sequence[str]
) -> int:
    try:
        config = parse(spec, argv)
    except HelpRequested as request:
        print(request)
        return OK
    code = main(config)
    return OK if code is None else code
