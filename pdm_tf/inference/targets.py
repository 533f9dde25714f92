"""A result file that appears in full or not at all, with one writer at a time.

The content goes into `.NAME.part` beside the final name, is flushed to the disk and
renamed. The hidden file is locked while it is written, so two programs that work on the
same folder do not mix their bytes; what a killed program left is locked by nobody, and
is overwritten.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from pdm_tf.core.errors import ImageError


class TargetFile:
    """One file being written.

        with TargetFile(path) as target:
            write_to(target.descriptor)
            target.commit()

    Left without `commit`, it leaves nothing behind.
    """

    def __init__(self, path: Path) -> None:
        """Raises ImageError: another program is writing it, or it cannot be written."""
        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        self._descriptor: int | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = _locked(self._part)
        except BlockingIOError as error:
            raise ImageError(path, "is being written by another program") from error
        except OSError as error:
            raise ImageError(path, cannot_write(error)) from error

    @property
    def descriptor(self) -> int:
        """The open file, for reading and writing."""
        return self._descriptor

    def commit(self, before: Callable[[os.stat_result], None] | None = None) -> None:
        """Gives the file its name.

        Args:
          before: called when the content is safe on the disk and the name is not yet
            there, with the facts of the file.
        """
        os.fsync(self._descriptor)
        if before is not None:
            before(os.fstat(self._descriptor))
        os.replace(self._part, self._path)
        self._close()

    def discard(self) -> None:
        """Removes what was written, if it was not committed."""
        if self._descriptor is not None:
            self._part.unlink(missing_ok=True)
            self._close()

    def __enter__(self) -> "TargetFile":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.discard()

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = None


def cannot_write(error: OSError) -> str:
    """Returns the reason that follows a file's name."""
    return f"cannot be written ({error.strerror or error})"


def _locked(path: Path) -> int:
    """Opens and locks the file `path`, empty; BlockingIOError when someone else has."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:  # some network disks know no locks: go on without
                if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                    raise
            # Between the two calls the owner may have renamed it: then it is the result
            # of someone else that is locked here, and must not be touched.
            if _is_named(descriptor, path):
                os.ftruncate(descriptor, 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_named(descriptor: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    return False
