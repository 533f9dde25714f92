"""What disks refuse: one rule for all programs, and the line that says it.

Full disks, used-up inodes and quotas, folders that may not be written, and disks that
fail are no defects of ours.
"""

import errno
import os
import re

from pdm_tf.core.errors import UserError

# What a disk or its owner refuses; anything else is a defect of ours.
_REFUSALS = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
    + (errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENAMETOOLONG, errno.ELOOP)
    + (errno.ESTALE, errno.ENOTDIR, errno.EISDIR, errno.ETXTBSY, errno.ENXIO)
)
# Those that libraries say in words only: TensorFlow, libvips, HDF5.
_SAID = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)


def refusal(error: BaseException) -> str:
    """Why the disk or its owner refused something, e.g. "No space left on device".

    "" if `error` is of another kind. The one rule for full disks, used-up inodes and
    quotas, folders that may not be written, and disks that fail, in all programs.
    """
    if isinstance(error, OSError) and error.errno is not None:
        known = error.errno in _REFUSALS
        return (error.strerror or os.strerror(error.errno)) if known else ""
    if isinstance(error, UserError):
        return ""
    said = (os.strerror(number) for number in _SAID)
    return next((words for words in said if words in str(error)), "")


def refused(error: BaseException) -> str:
    """The line on what was refused, with the file's name where it is known.

    "" for errors of another kind.
    """
    reason = refusal(error)
    if not reason:
        return ""
    name = getattr(error, "filename", None)
    if name is None:
        # Without what TensorFlow says of its graph.
        first = re.sub(r"\{\{.*?\}\} | \[Op:\w+\]", "", str(error).partition("\n")[0])
        line = first if reason in first else f"{reason}: {first}"
    else:
        line = f"{os.fsdecode(name) if isinstance(name, bytes) else name}: {reason}"
    full = reason in (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
    return f"the disk is full: {line}" if full else line
