"""Tables of names: looking one up, and helping with a misspelt one."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from pdm_tf.core.errors import UserError

Value = TypeVar("Value")


def suggest(name: str, options: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" when a name is near, else " Valid: a, b, c."."""
    options = list(options)
    lower = {option.lower(): option for option in options}
    near = difflib.get_close_matches(name.lower(), list(lower), n=1, cutoff=0.6)
    if near:
        return f" Did you mean '{lower[near[0]]}'?"
    return f" Valid: {', '.join(options)}." if options else ""


def lookup(table: Mapping[str, Value], name: str, what: str) -> Value:
    """Returns `table[name]`.

    Args:
      table: name -> entry.
      name: the name asked for.
      what: what the name stands for, as the user would call it ("--sr_net").

    Raises:
      UserError: no such name; the message lists the valid ones and the nearest.
    """
    if name in table:
        return table[name]
    near = suggest(name, table)
    hint = near if "Did you mean" in near else ""
    raise UserError(
        f"`{what}` must be one of {', '.join(table)}. Received: '{name}'.{hint}"
    )
