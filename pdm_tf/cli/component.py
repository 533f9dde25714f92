"""Settings of one component: `key=value` texts and JSON <-> a frozen dataclass.

A component (a network, a kernel module, a method) keeps its settings in a frozen
dataclass next to its code. Flags reach them as `--sr_arg=num_blocks=8`; the run folder
and the bundles keep them as JSON. Both ways a key that does not exist, or a value of
the wrong type, is an error that names the right ones: a setting that is silently
ignored is the most expensive kind of typo.

Types understood: `int`, `float`, `bool`, `str`, `Literal[...]`, `tuple[int, ...]` (also
of float or str), and any of them `| None` (written `none`).
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, Union

from pdm_tf.core.checks import suggest
from pdm_tf.core.errors import UserError

ConfigT = TypeVar("ConfigT")

_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")


def parse_args(
    config_cls: type[ConfigT], args: Sequence[str], base: ConfigT | None = None
) -> ConfigT:
    """Makes a `config_cls` from texts like `["num_blocks=8", "strides=1,2,2"]`.

    Args:
      config_cls: a frozen dataclass.
      args: `key=value` texts. When a key comes twice the later one counts, so that a
        flag on the command line overrides the flag file before it.
      base: source of keys that are not named; the class's defaults if None.

    Returns:
      A new `config_cls`.

    Raises:
      UserError: a text without `=`, an unknown key (the nearest valid one and the list
        are named), a value of the wrong type, or a value the dataclass refuses.
    """
    hints = typing.get_type_hints(config_cls)
    keys = [field.name for field in dataclasses.fields(config_cls) if field.init]
    values: dict[str, Any] = {}
    for arg in args:
        key, separator, text = arg.partition("=")
        key = key.strip()
        if not separator:
            raise UserError(
                f"settings of {config_cls.__name__} are written key=value. "
                f"Received: {arg!r}."
            )
        _check_key(config_cls, key, keys)
        values[key] = value_from_text(
            text.strip(), hints[key], f"{config_cls.__name__}.{key}"
        )
    if base is None:
        return _construct(config_cls, values)
    return _construct(lambda **kwargs: dataclasses.replace(base, **kwargs), values)


def value_from_text(text: str, annotation: Any, name: str) -> Any:
    """Reads `text` as a value of type `annotation`; `name` is for the error message.

    Raises:
      UserError: `text` is not such a value.
    """
    inner, optional = _strip_optional(annotation)
    if optional and text.lower() in ("none", ""):
        return None
    if dataclasses.is_dataclass(inner):
        raise UserError(
            f"{name} comes with a bundle or from a measurement; no flag sets it. "
            f"Received: {text!r}."
        )
    try:
        return _parse(text, inner)
    except ValueError as error:
        raise UserError(
            f"{name} must be {describe_type(annotation)}. Received: {text!r}."
        ) from error


def describe_type(annotation: Any) -> str:
    """Returns the type in words, e.g. "a comma-separated list of integers"."""
    inner, optional = _strip_optional(annotation)
    if typing.get_origin(inner) is tuple:
        element = typing.get_args(inner)[0]
        plural = {int: "integers", float: "numbers", str: "texts"}[element]
        words = f"a comma-separated list of {plural}"
    elif typing.get_origin(inner) is Literal:
        words = "one of " + ", ".join(str(v) for v in typing.get_args(inner))
    else:
        words = {
            int: "an integer",
            float: "a finite number",
            bool: "true or false",
            str: "a text",
        }[inner]
    return words + (" or none" if optional else "")


def to_json_dict(config: Any) -> dict[str, Any]:
    """Returns the dataclass `config` as a dict for `json` (tuples become lists)."""
    return {
        field.name: _to_json(getattr(config, field.name))
        for field in dataclasses.fields(config)
        if field.init
    }


def from_json_dict(config_cls: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """Inverts `to_json_dict`; absent keys take the dataclass's defaults.

    Raises:
      UserError: an unknown key, a value of the wrong type, or one the dataclass
      refuses.
    """
    hints = typing.get_type_hints(config_cls)
    keys = [field.name for field in dataclasses.fields(config_cls) if field.init]
    result: dict[str, Any] = {}
    for key, value in values.items():
        _check_key(config_cls, key, keys)
        name = f"{config_cls.__name__}.{key}"
        result[key] = _from_json(value, hints[key], name)
    return _construct(config_cls, result)


def _check_key(config_cls: type, key: str, keys: Sequence[str]) -> None:
    if key in keys:
        return
    hint = suggest(key, keys)
    if "Valid:" not in hint:
        hint += f" Valid: {', '.join(keys)}."
    raise UserError(f"{config_cls.__name__} has no setting {key!r}.{hint}")


def _construct(make: Any, values: Mapping[str, Any]) -> Any:
    try:
        return make(**values)
    except UserError:
        raise
    except (ValueError, TypeError) as error:  # __post_init__, or a missing field
        raise UserError(str(error)) from error


def _strip_optional(annotation: Any) -> tuple[Any, bool]:
    if typing.get_origin(annotation) in (Union, types.UnionType):
        members = typing.get_args(annotation)
        rest = [member for member in members if member is not type(None)]
        if len(rest) == 1 and len(rest) < len(members):
            return rest[0], True
        raise TypeError(f"Only `X | None` unions are settings. Received: {annotation}.")
    return annotation, False


def _parse(text: str, annotation: Any) -> Any:
    origin = typing.get_origin(annotation)
    if origin is tuple:
        element = typing.get_args(annotation)[0]
        parts = [part.strip() for part in text.strip("()[] ").split(",")]
        if parts[-1] == "":  # "" and the trailing comma of "1,"
            parts.pop()
        return tuple(_parse(part, element) for part in parts)
    if origin is Literal:
        for value in typing.get_args(annotation):
            if text == str(value):
                return value
        raise ValueError(text)
    if annotation is bool:
        if text.lower() in _TRUE:
            return True
        if text.lower() in _FALSE:
            return False
        raise ValueError(text)
    if annotation is float:
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(text)
        return number
    if annotation in (int, str):
        return annotation(text)
    raise TypeError(f"No setting can have the type {annotation}.")


def _to_json(value: Any) -> Any:
    return [_to_json(item) for item in value] if isinstance(value, tuple) else value


def _from_json(value: Any, annotation: Any, name: str) -> Any:
    try:
        return _convert(value, annotation)
    except ValueError as error:
        raise UserError(
            f"{name} must be {describe_type(annotation)}. Received: {value!r}."
        ) from error


def _convert(value: Any, annotation: Any) -> Any:
    inner, optional = _strip_optional(annotation)
    if optional and value is None:
        return None
    origin = typing.get_origin(inner)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(item, typing.get_args(inner)[0]) for item in value)
    if origin is Literal and value in typing.get_args(inner):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if inner is float and is_number and math.isfinite(value):
        return float(value)
    if inner is int and is_number and isinstance(value, int):
        return value
    if inner in (bool, str) and isinstance(value, inner):
        return value
    raise ValueError(value)
