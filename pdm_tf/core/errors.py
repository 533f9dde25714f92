"""Errors that the user can fix: programs print them without a traceback."""

import os
import re


class UserError(ValueError):
    """Input, a flag or a file is not as required; the message says what to change."""


class ImageError(UserError):
    """One image file cannot be used.

    Attributes:
      path: the file, as it was given.
      reason: why, in words that follow the file's name ("is truncated").
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"{_on_one_line(os.fspath(path))}: {reason}.")
        self.path = os.fspath(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        return ImageError, (self.path, self.reason)


def _on_one_line(name: str) -> str:
    """The name with escapes for what would move a terminal's cursor."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda match: repr(match[0])[1:-1], name)
