"""libvips, loaded in one place: settings, its errors in one line, open files.

libvips reads and writes images as streams, so that a picture of any height passes in
bounded memory. It is asked here

- to keep no cache of operations: a file that is written again under its name would
  otherwise come out of the cache with its old content;
- to keep its warnings, unless the program listens to the logger "pyvips": they would
  break a progress bar, and what makes a file unusable is raised as an error anyway
  (`fail_on`).

Files are opened by Python and handed over as descriptors. So every file name works
(libvips takes names as UTF-8 only), and the reasons of the system (no such file, no
permission) are told as such.
"""

import logging
import re
from types import ModuleType

from pdm_tf.core.errors import UserError

_SILENCE = logging.NullHandler()
_NOISE = re.compile(r"^(unable to call \w+|unable to write to memory)$")
_ORIGIN = re.compile(r"^[\w.]+: ")  # the part of libvips that speaks: "vipspng: "


def import_pyvips() -> ModuleType:
    """Returns pyvips, set up as the header says.

    Raises:
      UserError: it is not installed, or its libvips cannot be loaded.
    """
    try:
        import pyvips
    except (ImportError, OSError) as error:
        raise UserError(
            "Image files are read and written by libvips; install it with "
            f"pip install 'pdm_tf[upscale]'. Received: {error}."
        ) from error
    pyvips.cache_set_max(0)
    # With no handler at all, logging prints warnings to standard error.
    logging.getLogger("pyvips").addHandler(_SILENCE)
    return pyvips


def in_brackets(error: Exception) -> str:
    """Returns " (what a libvips error says)": its first line, without inner names.

    Returns "" when it says nothing: all threads of libvips share one buffer for texts,
    and another one may have emptied it meanwhile.
    """
    for line in str(getattr(error, "detail", "")).splitlines():
        text = _ORIGIN.sub("", line.strip()).strip()
        if text and not _NOISE.match(text):
            return f" ({text})"
    return ""
