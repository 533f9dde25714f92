"""What every program does around its work: flags in, exit code out.

    SPEC = ProgramSpec(module="pdm_tf.train", config=TrainConfig, ...)

    def main(config: TrainConfig) -> int | None: ...

    if __name__ == "__main__":
        program.run(SPEC, main)

Bad flags and bad data end in one line `error: ...` and code 2; only a defect of ours
prints a traceback. Output lines are flushed as they come, so that a log file or a pipe
shows them in time. Codes: `exit_codes.py`.
"""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from pdm_tf.config import exit_codes
from pdm_tf.config.flag_set import HelpRequested, ProgramSpec, parse
from pdm_tf.core.errors import UserError


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
      SystemExit: always, with one of `exit_codes`.
    """
    sys.exit(call(spec, main, sys.argv[1:] if argv is None else argv))


def call(
    spec: ProgramSpec, main: Callable[[Any], int | None], argv: Sequence[str]
) -> int:
    """As `run`, but returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    try:
        return _call(spec, main, argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return exit_codes.BAD_INPUT
    except KeyboardInterrupt:
        print("interrupted.", file=sys.stderr)
        return exit_codes.ABORTED
    except BrokenPipeError:  # the reader of our output left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.UNEXPECTED
    except Exception:  # noqa: BLE001 - the one place that may: it reports and fails
        traceback.print_exc()
        return exit_codes.UNEXPECTED


def _call(
    spec: ProgramSpec, main: Callable[[Any], int | None], argv: Sequence[str]
) -> int:
    try:
        config = parse(spec, argv)
    except HelpRequested as request:
        print(request)
        return exit_codes.OK
    code = main(config)
    return exit_codes.OK if code is None else code
