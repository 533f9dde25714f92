"""Which names of photographs mean the same scene: one rule for every program.

An LR photograph belongs to the HR photograph of its relative path without suffix. Where
no name is the same, endings of the field's datasets and scripts are taken off, and
capital letters do not count. `x<N>` is an ending for the scale N alone: plate_x10 is
the name of a scene. `_d<N>` (a draw of `pdm_tf.degrade`) is one only beside its record.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache

# What messages say of it.
ENDINGS = (
    "Endings that count, for scale N: xN, _xN, (xN), xNm, xNw2, _LR, _LRN, _LRxN, "
    "_bicLRxN, _LRBI_xN, _SRF_N_LR of LR names, _HR, _GT, _SRF_N_HR of HR names, and "
    "a folder XN; _d0, _d1, ... beside degrade.json"
)
_DRAW = re.compile(r"_d\d+$")
_SEPARATORS = " _.-("


class PairNames:
    """The HR photographs that LR names are compared with."""

    def __init__(self, hr_stems: Iterable[str], scale: int, draws: bool) -> None:
        """Sorts the names.

        Args:
          hr_stems: relative paths without suffix.
          scale: HR size / LR size.
          draws: whether an ending _d<N> of LR names counts.
        """
        self._scale, self._draws = scale, draws
        self._stems = set(hr_stems)
        self._by_scene: dict[str, list[str]] = defaultdict(list)
        for stem in self._stems:
            self._by_scene[hr_scene(stem, scale)].append(stem)

    def hr_of(self, lr_stem: str) -> str | None:
        """The HR stem of an LR stem's scene; None if none, or several, fit."""
        names = [lr_stem]
        if self._draws and (bare := _DRAW.sub("", lr_stem)) != lr_stem:
            names.append(bare)
        for name in names:
            if name in self._stems:
                return name
        for name in names:
            fitting = self._by_scene.get(lr_scene(name, self._scale), [])
            if len(fitting) == 1:
                return fitting[0]
        return None


def hr_scene(stem: str, scale: int) -> str:
    """The scene that an HR name (without suffix) means, in small letters."""
    return _scene(stem, scale, _hr_ending(scale))


def lr_scene(stem: str, scale: int) -> str:
    """The scene that an LR name (without suffix) means, in small letters."""
    return _scene(stem, scale, _lr_ending(scale))


def common_ending(stems: Sequence[str]) -> str:
    """What all names end with, from its first separator on: "_out"; "" if nothing.

    Programs that write pictures add the same ending to every name.
    """
    if len(stems) < 2:
        return ""
    ending = stems[0]
    for stem in stems[1:]:
        shared = 0
        for a, b in zip(reversed(ending), reversed(stem), strict=False):
            if a != b:
                break
            shared += 1
        ending = ending[len(ending) - shared :]
    ending = ending.rpartition("/")[2]
    # From the first separator on, which is where the name of the scene ends.
    starts = [at for at, letter in enumerate(ending) if letter in _SEPARATORS]
    return ending[starts[0] :] if starts else ""


def _scene(stem: str, scale: int, ending: re.Pattern[str]) -> str:
    *folders, name = stem.casefold().split("/")
    folders = [folder for folder in folders if folder != f"x{scale}"]
    return "/".join([*folders, ending.sub("", name) or name])


@lru_cache
def _lr_ending(scale: int) -> re.Pattern[str]:
    times = f"x{scale}"
    return re.compile(
        rf"(?:[ _-]?{times}(?:[a-z]\d?)?"  # 0001x4, baby_x4, 0001x4m, 0001x4w2
        rf"|[ _-]?\({times}\)"
        rf"|[ _-](?:bic(?:ubic)?)?lr(?:bi)?(?:[_-]?x?{scale})?"
        rf"|[ _-]srf[_-]?{scale}[_-]lr)$"
    )


@lru_cache
def _hr_ending(scale: int) -> re.Pattern[str]:
    return re.compile(
        rf"(?:[ _-]srf[_-]?{scale}[_-](?:hr|gt)|[ _-](?:hr|gt)(?:[_-]?x{scale})?)$"
    )
