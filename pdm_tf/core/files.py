"""Whole-file writes; a written file is there in full or not at all.

The content goes to a hidden file in the same folder, is flushed to the disk, and takes
the final name by a rename, so that a killed program leaves no half-written file under a
name that anyone reads.

All hidden files and folders in which something is made are named by one rule,
`.NAME.NUMBER.tmp`, and locked while their writer lives. The first write of a process
into a folder removes those that nobody holds any more: what killed programs have left.
The lock, and not the process's number in the name, tells: numbers are given again, and
say nothing on a disk that several machines or containers share.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pdm_tf.core.errors import UserError

PathLike = str | os.PathLike[str]

_LEFTOVER = re.compile(r"^\..+\.[0-9]+\.tmp$", re.DOTALL)
_NAME_BYTES = 255  # of one file, on all usual file systems
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # of some network disks

_swept: set[str] = set()  # folders looked through by this process


def file_status(path: PathLike) -> os.stat_result:
    """Returns size and time of a file, or of a link that leads nowhere.

    Planning code then needs no rule for such links: reading one fails with the reason.
    """
    return os.stat(path) if os.path.exists(path) else os.lstat(path)


def why_missing(path: PathLike) -> str:
    """Describes a file that was not found."""
    lost = os.path.islink(path)
    return "is a link that leads nowhere" if lost else "does not exist"


def fitting_name(name: str, more: str = "") -> str:
    """Returns `name` + `more` as a file name that disks take: 255 bytes at most.

    Of a longer one the start and the suffix stay, with a hash of the whole name between
    them, so that two names never meet. `more` stays as it is, instead of the suffix.
    """
    if len(os.fsencode(name + more)) <= _NAME_BYTES:
        return name + more
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:12]
    suffix = os.path.splitext(name)[1] if not more else ""
    end = f"~{digest}{suffix if len(os.fsencode(suffix)) < 32 else ''}{more}"
    while len(os.fsencode(name + end)) > _NAME_BYTES:
        name = name[:-1]
    return name + end


def hidden_name(path: PathLike, number: int | None = None) -> Path:
    """The name under which `path` is made.

    Args:
      path: of the finished file.
      number: of its maker, this process if None; 0 where one maker at a time is meant.
    """
    path = Path(path)
    ending = f".{os.getpid() if number is None else number}.tmp"
    name, room = os.fsencode(path.name), _NAME_BYTES - 1 - len(ending)
    if room < len(name) <= _NAME_BYTES:  # longer ones are refused as they are
        name = hashlib.sha256(name).hexdigest().encode()
    return path.with_name(f".{os.fsdecode(name)}{ending}")


def is_hidden_name(name: str) -> bool:
    """Whether something is made under this name; see `hidden_name`."""
    return _LEFTOVER.match(name) is not None


def hold(path: PathLike, *, wait: bool = True) -> int:
    """Opens a hidden file, empty, and locks it; returns its descriptor.

    It is made if it is not there. What killed programs have left beside it goes.

    Raises:
      BlockingIOError: somebody holds it, and `wait` is false.
      OSError: it cannot be made.
    """
    remove_leftovers(Path(path).parent)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            _lock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            # Between the two calls its owner may have renamed it: then it is the result
            # of someone else that is locked here, and must not be touched.
            if _is_named(descriptor, path):
                os.ftruncate(descriptor, 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def remove_leftovers(folder: PathLike, *, deep: bool = False) -> None:
    """Removes what killed programs were making in a folder, once in a process.

    Args:
      folder: need not exist; what may not be removed stays.
      deep: whether to look into its sub-folders too, and again.
    """
    place = os.path.abspath(folder)
    if place in _swept and not deep:
        return
    _swept.add(place)
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(place)):
            if is_hidden_name(entry.name):
                _remove_unheld(entry.path)
            elif deep and entry.is_dir(follow_symlinks=False):
                remove_leftovers(entry.path, deep=True)


def _remove_unheld(path: str) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_named(descriptor, path):
                return
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        finally:
            os.close(descriptor)


def _lock(descriptor: int, how: int) -> None:
    try:
        fcntl.flock(descriptor, how)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _is_named(descriptor: int, path: PathLike) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    return False


@contextlib.contextmanager
def atomic_file(path: PathLike) -> Iterator[Path]:
    """Yields the hidden name to write a file under, which becomes `path` at the end.

    The folders above it are made. After an error nothing is left of the new file, and
    `path` is as it was.
    """
    with unfinished_file(path) as temporary:
        yield temporary
        move_whole(temporary, path)


@contextlib.contextmanager
def unfinished_file(path: PathLike) -> Iterator[Path]:
    """Yields the hidden name of `path`, an empty file, removed at the end if there."""
    temporary = hidden_name(path)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    descriptor = hold(temporary)
    try:
        yield temporary
    except OSError as error:
        # A write that failed knows no name. Words without a number stay as they are.
        if error.filename is None and error.errno is not None:
            error.filename = os.fspath(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
        os.close(descriptor)


@contextlib.contextmanager
def working_folder(path: PathLike) -> Iterator[Path]:
    """Yields a new hidden folder beside `path`, which is removed at the end.

    For libraries that choose names themselves; `move_whole` then takes the files out.
    """
    folder = hidden_name(path)
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder.parent)
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        descriptor = os.open(folder, os.O_RDONLY)
        _lock(descriptor, fcntl.LOCK_EX)
        if _is_named(descriptor, folder):  # nobody took it for a leftover meanwhile
            break
        os.close(descriptor)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def move_whole(made: PathLike, path: PathLike) -> None:
    """Gives a file its name when its content is safe on the disk."""
    sync(made)
    os.replace(made, path)


def link_atomic(source: PathLike, path: PathLike) -> bool:
    """Makes `path` a hard link to `source`; returns whether the disk knows links."""
    temporary = hidden_name(path)
    try:
        os.makedirs(temporary.parent, exist_ok=True)
        remove_leftovers(temporary.parent)
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _lock(descriptor, fcntl.LOCK_SH)  # of both names
            temporary.unlink(missing_ok=True)
            os.link(source, temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)  # there still if both were one file
            os.close(descriptor)
    except OSError:
        return False
    return True


def sync(path: PathLike) -> None:
    """Flushes a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def made_folder(folder: PathLike, flag: str = "--output") -> Path:
    """Makes a folder for results, to fail before minutes of work.

    Raises:
      UserError: it cannot be made or written; `flag` is what asked for it.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise UserError(
            f"{flag} must be a folder that can be written. Received: {folder} "
            f"({error.strerror})."
        ) from error
    remove_leftovers(folder)
    return Path(folder)
