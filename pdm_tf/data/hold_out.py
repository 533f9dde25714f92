"""Which photographs of a folder are kept out of training, to test on.

The choice is a function of the names alone: any program finds the same ones, on any
machine, in whatever order files are listed.
"""

import hashlib
from collections.abc import Sequence


def held_out(names: Sequence[str], part: int) -> frozenset[str]:
    """Returns one in `part` of the names, rounded down; none for `part` 0.

    They are those whose hashes come first, so that neighbours in a numbered series
    (often one scene) are not preferred.

    Args:
      names: of all photographs, each once.
      part: 0, or 2 or more.
    """
    if not part:
        return frozenset()
    ranked = sorted(names, key=_digest)
    return frozenset(ranked[: len(ranked) // part])


def _digest(name: str) -> bytes:
    """By the bytes of the name, which need not be UTF-8."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
