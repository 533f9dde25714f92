"""The HR photographs that the regressor does not learn on.

They stop its training and make the map from its answers to the truth. By the hash of
their names: so a photograph that is added moves hardly any other.
"""

import hashlib
from collections.abc import Sequence

_SHARE, _SHARE_OF_FEW = 8, 4
_ENOUGH = 10


def held_out_names(names: Sequence[str]) -> set[str]:
    """An eighth of the photographs; of fewer than 80 up to a quarter, 10 at most.

    Args:
      names: of all photographs, 3 or more.

    Returns:
      At least one of them.
    """
    few = min(_ENOUGH, round(len(names) / _SHARE_OF_FEW))
    count = max(1, few, round(len(names) / _SHARE))
    return set(sorted(names, key=_digest)[:count])


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
