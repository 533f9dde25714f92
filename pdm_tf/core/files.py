"""Whole-file reads and writes; a written file is there in full or not at all.

The content goes to a hidden file in the same folder, is flushed to the disk, and takes
the final name by a rename, so that a killed program leaves no half-written file under a
name that anyone reads. Hidden leftovers are never read, and overwritten next time.
"""

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pdm_tf.core.errors import UserError

PathLike = str | os.PathLike[str]


def file_status(path: PathLike) -> os.stat_result:
    """Returns size and time of a file, or of a link that leads nowhere.

    Planning code then needs no rule for such links: reading one fails with the reason.
    """
    return os.stat(path) if os.path.exists(path) else os.lstat(path)


def why_missing(path: PathLike) -> str:
    """Describes a file that was not found."""
    lost = os.path.islink(path)
    return "is a link that leads nowhere" if lost else "does not exist"


@contextlib.contextmanager
def atomic_file(path: PathLike) -> Iterator[Path]:
    """Yields the hidden name to write a file under, which becomes `path` at the end.

    The folders above it are made. After an error nothing is left of the new file, and
    `path` is as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes_atomic(path: PathLike, data: bytes) -> None:
    """Writes `data` under `path`, making the folders above it."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def write_text_atomic(path: PathLike, text: str) -> None:
    """Writes `text` as UTF-8 under `path`.

    Names of files that are not UTF-8 are written with escapes, which JSON reads back.
    """
    write_bytes_atomic(path, text.encode("utf-8", "backslashreplace"))


def write_json_atomic(path: PathLike, obj: Any) -> None:
    """Writes `obj` as indented JSON; NaN and infinity are refused (not JSON)."""
    text = json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False)
    write_text_atomic(path, text + "\n")


def is_disk_full(error: Exception) -> bool:
    """Whether something failed since a disk, or one's share of it, is full."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    # TensorFlow and libvips say it in words.
    return os.strerror(errno.ENOSPC) in str(error)


def read_json(path: PathLike) -> Any:
    """Returns the content of a JSON file.

    Raises:
      UserError: no such file, or it is not JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.") from error
    except (IsADirectoryError, PermissionError) as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} must be JSON. Received: {error}.") from error
