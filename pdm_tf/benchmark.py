"""Measures speed: `python -m pdm_tf.benchmark TASK`; `--help` lists the tasks.

Only finds the task; each is a file of `pdm_tf/benchmarks/` with flags of its own, which
loads TensorFlow when it runs, so that help is there at once. To add one: such a file,
with a `SPEC` and a `main`, and a line in TASKS.
"""

import sys
import textwrap
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import NoReturn

from pdm_tf.benchmarks import (
    data_task,
    degrade_task,
    inference_task,
    quality_task,
    read_task,
    train_task,
)
from pdm_tf.cli import program
from pdm_tf.core.checks import lookup
from pdm_tf.core.errors import UserError

TASKS: Mapping[str, ModuleType] = {
    "data": data_task,
    "degrade": degrade_task,
    "inference": inference_task,
    "quality": quality_task,
    "read": read_task,
    "train": train_task,
}
DEFAULT = "data"  # the meaning of a command without a task, as always
_HELP = ("--help", "-help", "-h", "--helpfull", "--helpshort")


def split(argv: Sequence[str]) -> tuple[str, list[str]]:
    """Splits the task from its arguments.

    Returns:
      The task and its own arguments. Without a task it is `DEFAULT`; for a lone request
      for help it is "", for no task in particular.

    Raises:
      UserError: there is no such task.
    """
    if argv and not argv[0].startswith("-"):
        lookup(TASKS, argv[0], "the task of pdm_tf.benchmark")
        return argv[0], list(argv[1:])
    if len(argv) == 1 and argv[0] in _HELP:
        return "", []
    return DEFAULT, list(argv)


def help_text() -> str:
    """Returns what `python -m pdm_tf.benchmark --help` prints."""
    lines = [
        "usage: python -m pdm_tf.benchmark TASK [--name=value ...]",
        "",
        "Measures speed as ratios within one run: both sides take turns, so that the",
        "ratio holds on a busy or unknown machine.",
        "",
        "Tasks (python -m pdm_tf.benchmark TASK --help lists the flags of one):",
    ]
    for name, task in TASKS.items():
        lines += ["", f"  {name}"]
        lines += textwrap.wrap(
            task.SPEC.intro, 84, initial_indent=" " * 6, subsequent_indent=" " * 6
        )
    return "\n".join(lines)


def call(argv: Sequence[str]) -> int:
    """Runs the task that the arguments begin with; returns its exit code."""
    try:
        name, rest = split(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return program.BAD_INPUT
    if not name:
        print(help_text())
        return program.OK
    return program.call(TASKS[name].SPEC, TASKS[name].main, rest)


def run(argv: Sequence[str]) -> NoReturn:
    """Runs `call`, and exits with its code."""
    sys.exit(call(argv))


if __name__ == "__main__":
    run(sys.argv[1:])
