"""Checks of a method's settings, with one wording."""

from collections.abc import Sequence
from typing import Any

from pdm_tf.core.errors import UserError


def require_one_of(settings: Any, **choices: Sequence[str]) -> None:
    """Raises UserError for the first of these fields that is none of its choices."""
    for name, words in choices.items():
        value = getattr(settings, name)
        if value not in words:
            raise UserError(
                f"`{name}` of {_name(settings)} must be one of {', '.join(words)}. "
                f"Received: {value!r}."
            )


def require_not_negative(settings: Any, *names: str) -> None:
    """Raises UserError for the first of these fields that is below 0."""
    for name in names:
        value = getattr(settings, name)
        if value < 0:
            raise UserError(
                f"`{name}` of {_name(settings)} must not be negative. "
                f"Received: {value}."
            )


def _name(settings: Any) -> str:
    return type(settings).__name__
