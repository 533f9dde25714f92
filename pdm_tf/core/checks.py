"""Checks of settings, with one wording: the rule, then what was received.

The simple rules of a flag (it is required; its least value) stand with the flag itself,
in the metadata that `cli.flag_set.flag` gives it; `check_flags` enforces them. The
config itself checks rules on several fields, in `__post_init__`.
"""

import dataclasses
import difflib
import hashlib
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pdm_tf.core.errors import UserError

Value = TypeVar("Value")
_SUM_TOLERANCE = 1e-3  # thirds may be written 0.333


def check_flags(config: Any, module: str) -> None:
    """Checks every field of a program's config against the rules in its metadata.

    Args:
      config: a dataclass whose fields are flags.
      module: the program's module, to point at its help.

    Raises:
      UserError: the first field that breaks its rule.
    """
    fields = dataclasses.fields(config)
    require_given(config, module, *(f.name for f in fields if "required" in f.metadata))
    least = {f.name: f.metadata["at_least"] for f in fields if "at_least" in f.metadata}
    require_at_least(config, **least)


def require_given(config: Any, module: str, *names: str) -> None:
    """Raises UserError for the first of these fields that is empty.

    Args:
      config: a config whose fields are flags.
      module: the program's module, to point at its help.
      names: of the fields.
    """
    for name in names:
        if not getattr(config, name):
            raise UserError(
                f"--{name} is required. Received nothing. See python -m {module} "
                "--help."
            )


def require_at_least(config: Any, **least: int) -> None:
    """Raises UserError for the first of these fields that is below its least value."""
    for name, minimum in least.items():
        value = getattr(config, name)
        if value < minimum:
            raise UserError(f"--{name} must be {minimum} or more. Received: {value}.")


def check_seed(seed: int) -> None:
    """Raises UserError for a seed that 32-bit random numbers cannot be drawn from."""
    if seed >= 2**31:
        raise UserError(f"--seed must be below 2**31. Received: {seed}.")


def check_pairs(val_hr_dir: str, val_lr_dir: str) -> None:
    """Raises UserError where only one of the folders of paired photographs is given."""
    if bool(val_hr_dir) != bool(val_lr_dir):
        raise UserError(
            "--val_hr_dir and --val_lr_dir go together (paired photographs). "
            f"Received: {val_hr_dir!r}, {val_lr_dir!r}."
        )


def require_one_of(
    settings: Any, error: type[ValueError] = UserError, **choices: Sequence[str]
) -> None:
    """Raises `error` for the first of a component's settings that is no valid choice.

    Args:
      settings: dataclass of a component (a network, a method).
      error: UserError where the settings are the user's own.
      **choices: name of a field -> the words that it may be.
    """
    for name, words in choices.items():
        value = getattr(settings, name)
        if value not in words:
            raise error(
                f"`{name}` of {type(settings).__name__} must be one of "
                f"{', '.join(words)}. Received: {value!r}."
            )


def require_not_below(
    settings: Any, error: type[ValueError] = UserError, **least: float
) -> None:
    """Raises `error` for the first of a component's settings that is too small.

    Args:
      settings: dataclass of a component.
      error: UserError where the settings are the user's own.
      **least: name of a field -> its least value.
    """
    for name, minimum in least.items():
        value = getattr(settings, name)
        if value < minimum:
            rule = f"be at least {minimum}" if minimum else "not be negative"
            raise error(
                f"`{name}` of {type(settings).__name__} must {rule}. Received: {value}."
            )


def require_interval(
    settings: Any, name: str, least: float, most: float | None = None
) -> None:
    """Raises ValueError where a component's setting is no interval.

    Args:
      settings: dataclass of a component.
      name: field with its two ends, which may be equal.
      least, most: what the ends may be; no upper limit without `most`.
    """
    ends = getattr(settings, name)
    limit = f"from {least} on" if most is None else f"within {least}..{most}"
    in_order = len(ends) == 2 and least <= ends[0] <= ends[1]
    if not in_order or (most is not None and ends[1] > most):
        raise ValueError(
            f"`{name}` of {type(settings).__name__} must be two numbers in order, "
            f"{limit}. Received: {ends}."
        )


def require_probability(settings: Any, *names: str) -> None:
    """Raises ValueError for the first of these fields that is not within 0..1."""
    for name in names:
        if not 0 <= getattr(settings, name) <= 1:
            raise ValueError(
                f"`{name}` of {type(settings).__name__} must be within 0..1. "
                f"Received: {getattr(settings, name)}."
            )


def require_probabilities(settings: Any, name: str, count: int) -> None:
    """Raises ValueError where a field is not `count` probabilities that sum to 1."""
    values = getattr(settings, name)
    total = math.fsum(values)
    if len(values) != count or min(values) < 0 or abs(total - 1) > _SUM_TOLERANCE:
        raise ValueError(
            f"`{name}` of {type(settings).__name__} must be {count} probabilities "
            f"that sum to 1. Received: {values}, which sum to {total:g}."
        )


def check_cut_tiles(tile: int, tile_step: int) -> None:
    """Raises UserError where tiles that are cut out of photographs leave gaps."""
    if not 0 <= tile_step <= tile:
        raise UserError(
            "--tile_step must be 0 to --tile, or pixels between tiles would be "
            f"lost. Received: --tile={tile}, --tile_step={tile_step}."
        )


def sha256_of(*paths: str | os.PathLike[str]) -> str:
    """The hash of a file, or of several, one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def check_sha256(wanted: str, *paths: str | os.PathLike[str]) -> None:
    """Raises UserError unless files have the hash that --sha256 gives; "" takes any.

    It is called before a file's format is looked at.
    """
    if not wanted:
        return
    if not re.fullmatch("[0-9a-fA-F]{64}", wanted):
        raise UserError(f"--sha256 is 64 hexadecimal digits. Received: {wanted!r:.80}.")
    if (found := sha256_of(*paths)) != wanted.lower():
        raise UserError(
            f"{' and '.join(map(str, paths))} must have the --sha256 {wanted}. "
            f"Received: {found}, another file or a damaged one; nothing in it was read."
        )


def lookup(table: Mapping[str, Value], name: str, what: str) -> Value:
    """Returns `table[name]`.

    Args:
      table: name -> entry.
      name: the name asked for.
      what: the meaning of the name in the user's words ("--sr_net").

    Raises:
      UserError: no such name; the message lists the valid ones and the nearest.
    """
    if name in table:
        return table[name]
    raise UserError(
        f"`{what}` must be one of {', '.join(table)}. Received: '{name}'."
        f"{nearest(name, table)}"
    )


def suggest(name: str, options: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" when a name is near, else " Valid: a, b, c."."""
    options = list(options)
    all_of_them = f" Valid: {', '.join(options)}." if options else ""
    return nearest(name, options) or all_of_them


def nearest(name: str, options: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" when a name is near, else ""."""
    lower = {option.lower(): option for option in options}
    near = difflib.get_close_matches(name.lower(), list(lower), n=1, cutoff=0.6)
    return f" Did you mean '{lower[near[0]]}'?" if near else ""


def named_paths(texts: Iterable[str], flag: str) -> dict[str, str]:
    """Returns name -> path, in order, of values written NAME=PATH; later ones win.

    Args:
      texts: the values of a flag that may be repeated.
      flag: its name, for the message.

    Raises:
      UserError: a value that is not NAME=PATH.
    """
    found = {}
    for text in texts:
        name, separator, path = text.partition("=")
        if not (separator and name.strip() and path.strip()):
            raise UserError(f"{flag} is written NAME=PATH. Received: {text!r}.")
        found[name.strip()] = path.strip()
    return found
