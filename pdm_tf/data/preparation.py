"""Shared parts of `prepare` and `degrade`: results, folder rules, recorded settings.

Every task can be stopped and started again: finished files are kept, and the folder
remembers the settings it was made with, so that two settings never mix in it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pdm_tf.core.errors import UserError
from pdm_tf.core.files import write_json_atomic
from pdm_tf.core.refusals import refusal
from pdm_tf.core.stored import read_json

SETTINGS_NAME = "prepare.json"

Value = TypeVar("Value")


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task.

    Attributes:
      written: images made now.
      kept: images that an earlier start had made.
      problems: (path, reason) of the images left out, earlier starts included.
    """

    written: int
    kept: int
    problems: tuple[tuple[str, str], ...]


def open_output(
    input_dir: str | Path,
    output_dir: str | Path,
    settings: dict[str, Any],
    record_name: str = SETTINGS_NAME,
    input_flag: str = "--input",
) -> Path:
    """Makes the output folder and records `settings` in it, as `record_name`.

    `input_flag` is what the program calls `input_dir`, for messages.

    Raises:
      UserError: the output would be among the inputs, cannot be written, or was made
        with other settings.
    """
    check_outside(input_dir, output_dir, input_flag)
    folder = Path(output_dir)
    record = folder / record_name
    before = read_json(record) if record.exists() else settings
    if before != settings:
        raise UserError(
            f"{output_dir} was made with {_listed(before)}. Received: "
            f"{_listed(settings)}. Choose another --output, or remove this one."
        )
    written(record, lambda: write_json_atomic(record, settings))
    return folder


def check_outside(
    input_dir: str | Path, output_dir: str | Path, input_flag: str = "--input"
) -> None:
    """Raises UserError where the output would be among the inputs."""
    inside = Path(os.path.realpath(output_dir))
    if inside.is_relative_to(os.path.realpath(input_dir)):
        raise UserError(
            f"--output must lie outside {input_flag}, or its files would be inputs "
            f"next time. Received: {output_dir} and {input_dir}."
        )


def _listed(settings: dict[str, Any]) -> str:
    return " ".join(f"--{name}={value}" for name, value in settings.items())


def written(path: Path, write: Callable[[], Value]) -> Value:
    """Returns write(), what the disk refuses (`core.refusals`) being the user's.

    Raises:
      UserError: the file cannot be written.
    """
    try:
        return write()
    except Exception as error:
        reason = refusal(error)
        if not reason:
            raise
        raise UserError(f"{path} cannot be written: {reason}.") from error


def require_some(outcome: Outcome, input_dir: str | Path) -> Outcome:
    """Returns `outcome` if it has any image.

    Raises:
      UserError: every image was left out.
    """
    if outcome.written + outcome.kept:
        return outcome
    path, reason = outcome.problems[0]
    raise UserError(
        f"{input_dir} must hold images that can be used. Received: "
        f"{len(outcome.problems)} files, none usable; {path} {reason}."
    )
