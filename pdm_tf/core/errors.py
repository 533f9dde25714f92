"""Errors that the user can fix: programs print them without a traceback."""

import os


class UserError(ValueError):
    """Input, a flag or a file is not as required; the message says what to change."""


class ImageError(UserError):
    """One image file cannot be used.

    Attributes:
      path: the file, as it was given.
      reason: why, in words that follow the file's name ("is truncated").
    """

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        super().__init__(f"{os.fspath(path)}: {reason}.")
        self.path = os.fspath(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        return ImageError, (self.path, self.reason)
