"""Reading what we wrote: JSON of a known form, and arrays.

Such files come back from disks and people: what is in them is not trusted, nothing in
them is executed, and an error says what to do.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from pdm_tf.core.errors import UserError
from pdm_tf.core.files import PathLike

_JSON_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def parse_json(text: str | bytes) -> Any:
    """Returns what JSON says; raises ValueError for any other text, however deep."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_json(
    path: PathLike,
    form: Any = dict,
    make: Callable[[Any], Any] = lambda content: content,
    *,
    remedy: str = "Restore it from a copy, or have it written again.",
) -> Any:
    """Returns the content of a JSON file, whose parts have the types that they must.

    Args:
      path: the file.
      form: what it must hold, see `why_not`.
      make: what is made of the content; its errors are the file's.
      remedy: what to do about a damaged file, a whole sentence.

    Raises:
      UserError: no such file, or it is not JSON of this form.
    """
    path = Path(path)
    try:
        content = parse_json(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"{path} must be JSON. Received: {error}. {remedy}") from error
    if reason := why_not(content, form):
        raise UserError(f"{path} is damaged, or another file: {reason}. {remedy}")
    try:
        return make(content)
    except UserError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged, or another file: {type(error).__name__} ({error}). "
            f"{remedy}"
        ) from error


class FileName(str):
    """In a form of `why_not`: the name of a file in the folder of the JSON file."""


def why_not(content: Any, form: Any, place: str = "it") -> str:
    """Why content of JSON does not have a form, as part of a sentence; "" if it has.

    Args:
      content: of JSON.
      form: a type (int is also a float, and a boolean is neither); None for null; a
        tuple of forms, any of them; [form] of each entry of a list; {key: form}, where
        a key that ends in "?" may be missing; {str: form} of each value.
      place: what `content` is called.
    """
    if isinstance(form, tuple):
        reasons = [why_not(content, one, place) for one in form]
        return "" if "" in reasons else reasons[0]
    if form is FileName:
        is_name = type(content) is str and Path(content).name == content
        if is_name and content and "\0" not in content:
            return ""
        return f"{place} must be the name of a file beside it, and is {content!r:.40}"
    kind = form if isinstance(form, type) else type(form)
    kinds = (int, float) if kind is float else (kind,)
    if type(content) not in kinds:
        return f"{place} must be {_JSON_NAMES[kind]}, and is {str(content)[:40]!r}"
    if isinstance(form, list):
        parts = [(part, form[0], f"{place}[{at}]") for at, part in enumerate(content)]
    elif isinstance(form, dict) and str in form:
        parts = [(part, form[str], f"{place}.{key}") for key, part in content.items()]
    elif isinstance(form, dict):
        wanted = {key.rstrip("?"): one for key, one in form.items()}
        missing = [key for key in wanted if key not in content and key in form]
        if missing:
            return f"{place} lacks {', '.join(missing)}"
        parts = [
            (content[key], one, f"{place}.{key}")
            for key, one in wanted.items()
            if key in content
        ]
    else:
        return ""
    return next(filter(None, (why_not(*part) for part in parts)), "")


def read_arrays(path: PathLike | IO[bytes]) -> dict[str, Any]:
    """Returns the arrays of a .npz file by name; that of a .npy file as "".

    Nothing in it is executed: objects (pickles) are refused.

    Raises:
      UserError: no such file, or it is none of these.
    """
    import numpy as np

    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return dict(loaded)
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except Exception as error:  # noqa: BLE001 - of a damaged file, nearly anything
        told = str(error) or type(error).__name__
        if "pickle" in told:  # NumPy's words advise to read it unsafely
            told = "it is another kind of file, or holds objects"
        raise UserError(
            "Arrays of numbers as NumPy writes them (.npy, .npz) are required. "
            f"Received: {path} ({told})."
        ) from error
