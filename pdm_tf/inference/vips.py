"""libvips, loaded in one place: settings, its errors in one line, open files.

libvips reads and writes images as streams, so that a picture of any height passes in
bounded memory. It is asked here

- to keep no cache of operations: a file that is written again under its name would
  otherwise come out of the cache with its old content;
- to keep its warnings to itself: they would break a progress bar, and what makes a file
  unusable is raised as an error anyway (`fail_on`).

Files are opened by Python and handed over as descriptors. So every file name works
(libvips takes names as UTF-8 only), and the reasons of the system (no such file, no
permission) are told as such.
"""

import os
import re
from types import ModuleType

from pdm_tf.core.errors import UserError

_NOISE = re.compile(r"^(unable to call \w+|unable to write to memory)$")
_SYSTEM = re.compile(r"^(?:system|unix) error: (.+)$", re.MULTILINE)
_ORIGIN = re.compile(r"^[\w.]+: ")  # the part of libvips that speaks: "vipspng: "


def import_pyvips() -> ModuleType:
    """Returns pyvips, set up as the header says.

    Raises:
      UserError: it is not installed, or its libvips cannot be loaded.
    """
    os.environ.setdefault("VIPS_WARNING", "0")
    try:
        import pyvips
    except (ImportError, OSError) as error:
        raise UserError(
            "Image files are read and written by libvips; install it with "
            f"pip install 'pdm_tf[upscale]'. Received: {error}."
        ) from error
    pyvips.cache_set_max(0)
    return pyvips


def reason_of(error: Exception) -> str:
    """Returns what a libvips error says: its first line, without inner names.

    Of the system's errors that is what the system says.
    """
    text = str(getattr(error, "detail", "") or error)
    if (system := _SYSTEM.search(text)) is not None:
        return system[1]
    for line in text.splitlines():
        text = _ORIGIN.sub("", line.strip()).strip()
        if text and not _NOISE.match(text):
            return text
    return type(error).__name__
