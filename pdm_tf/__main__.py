"""The front door: `pdm_tf COMMAND [--name=value ...]`, or `python -m pdm_tf`.

Finds the program and hands over to it in this process, as `python -m` would start it;
its exit code is the front door's. Help and version load no program at all.
"""

import runpy
import sys
import textwrap
from pathlib import Path
from typing import NoReturn

from pdm_tf import __version__
from pdm_tf.cli.commands import COMMANDS, DOOR, GROUPS, opened
from pdm_tf.core.checks import suggest

_HELP = ("--help", "-help", "-h", "help", "--helpfull", "--helpshort")
_VERSION = ("--version", "-version", "-V", "version")
_BAD_INPUT = 2  # as program.BAD_INPUT, which would load the reader of flags

_INTRO = (
    "Super-resolution for photographs whose degradation nobody knows: learns how your "
    "LR photographs came to be, and trains a network that undoes just that."
)
_EXAMPLES = (
    "pdm_tf demo",
    "pdm_tf train --flagfile=camera --hr_dir=sharp --lr_dir=mine --run_dir=runs/mine",
    "pdm_tf upscale --model=runs/mine --input=mine --output=mine_x4",
)
_IN_PYTHON = (
    "In Python:",
    "  from pdm_tf import api  train, upscale, degrade, evaluate on NumPy arrays",
)


def help_text() -> str:
    """Returns what `pdm_tf --help` prints."""
    lines = [
        f"usage: {DOOR} COMMAND [--name=value ...]",
        "",
        *textwrap.wrap(_INTRO, 88),
    ]
    lines += ["", "Examples:", *(f"  {example}" for example in _EXAMPLES)]
    for title, commands in GROUPS.items():
        lines += ["", f"{title}:"]
        lines += [f"  {name:<15} {one.summary}" for name, one in commands.items()]
    lines += ["", *_IN_PYTHON]
    return "\n".join(
        [*lines, "", f"{DOOR} COMMAND --help explains its flags; {DOOR} --version."]
    )


def main() -> NoReturn:
    """Starts the program that the first argument names.

    Raises:
      SystemExit: always, with the program's exit code; 2 without such a program.
    """
    words = DOOR if Path(sys.argv[0]).name == DOOR else f"python -m {DOOR}"
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in _VERSION:
        print(f"{DOOR} {__version__}")
        sys.exit(0)
    if not name or name in _HELP:
        print(help_text(), file=sys.stdout if name else sys.stderr)
        sys.exit(0 if name else _BAD_INPUT)
    if name not in COMMANDS:
        hint = suggest(name, COMMANDS)
        print(f"error: {DOOR} has no command {name!r}.{hint}", file=sys.stderr)
        sys.exit(_BAD_INPUT)
    del sys.argv[1]
    with opened(words):
        # As `python -m` does it: processes that a program starts find their way back.
        runpy.run_module(COMMANDS[name].module, run_name="__main__", alter_sys=True)
    sys.exit(0)


if __name__ == "__main__":
    main()
