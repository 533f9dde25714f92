"""The tasks of `python -m pdm_tf.benchmark`: name -> flags and help of each.

To add one: a `ProgramSpec` in a file of its own, a line here, and its `main` in the
table of `pdm_tf/benchmark.py`.
"""

import textwrap
from collections.abc import Mapping, Sequence

from pdm_tf.cli.flag_set import ProgramSpec
from pdm_tf.cli.flags_benchmark_data import SPEC as DATA_SPEC
from pdm_tf.cli.flags_benchmark_degrade import SPEC as DEGRADE_SPEC
from pdm_tf.cli.flags_benchmark_inference import SPEC as INFERENCE_SPEC
from pdm_tf.cli.flags_benchmark_read import SPEC as READ_SPEC
from pdm_tf.cli.flags_benchmark_train import SPEC as TRAIN_SPEC
from pdm_tf.core.checks import lookup

TASKS: Mapping[str, ProgramSpec] = {
    "data": DATA_SPEC,
    "degrade": DEGRADE_SPEC,
    "inference": INFERENCE_SPEC,
    "read": READ_SPEC,
    "train": TRAIN_SPEC,
}
DEFAULT = "data"  # what a command without a task has always meant
_HELP = ("--help", "-help", "-h", "--helpfull", "--helpshort")


def split(argv: Sequence[str]) -> tuple[str, list[str]]:
    """Takes the task off the arguments.

    Returns:
      The task and its own arguments. Without a task it is `DEFAULT`; for a lone request
      for help it is "", for nothing in particular.

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
    for name, spec in TASKS.items():
        lines += ["", f"  {name}"]
        lines += textwrap.wrap(
            spec.intro, 84, initial_indent=" " * 6, subsequent_indent=" " * 6
        )
    return "\n".join(lines)
