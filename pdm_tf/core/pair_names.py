"""Which names of photographs mean the same scene: one rule for every program.

An LR photograph belongs to the HR photograph of its relative path without suffix. Where
no name is the same, endings of the field's datasets and scripts are taken off, and
capital letters do not count. `x<N>` is an ending for the scale N alone: plate_x10 is
the name of a scene. `_d<N>` (a draw of `pdm_tf.degrade`) is one only beside its record.
Where a person says how names are made (`PairRules`), that alone decides.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pdm_tf.core.errors import UserError

# What messages say of it.
ENDINGS = (
    "Endings that count, for scale N: xN, _xN, (xN), xNm, xNw2, _LR, _LRN, _LRxN, "
    "_bicLRxN, _LRBI_xN, _SRF_N_LR of LR names, _HR, _GT, _SRF_N_HR of HR names, and "
    "a folder XN; _d0, _d1, ... beside degrade.json. Others are told by "
    "--lr_name={stem}ENDING"
)
# What a template says of names: the part that the names of a scene have in common.
STEM = "{stem}"
_DRAW = re.compile(r"_d\d+$")
_SEPARATORS = " _.-("


@dataclass(frozen=True)
class PairRules:
    """What a person says of pairs, instead of what is found by names and pictures.

    Attributes:
      hr_name, lr_name: templates of the names, e.g. "{stem}_camera"; "" for both: the
        usual endings count, and otherwise "{stem}".
      accept_folders: whether pairs are taken that seem to show different scenes.

    Raises:
      UserError: a template without exactly one {stem}.
    """

    hr_name: str = ""
    lr_name: str = ""
    accept_folders: bool = False

    def __post_init__(self) -> None:
        for name in ("hr_name", "lr_name"):
            check_template(getattr(self, name), f"--{name}")

    @classmethod
    def of(cls, config: Any) -> "PairRules":
        """Those of the program's flags of these names."""
        return cls(config.hr_name, config.lr_name, config.accept_folders)


def check_template(template: str, flag: str) -> None:
    """Raises UserError unless a template is "" or has {stem} once."""
    if template and template.count(STEM) != 1:
        raise UserError(
            f"{flag} must have {STEM} once, in the place of what the names of a scene "
            f"have in common, e.g. {flag}={STEM}_x4. Received: {template!r}."
        )


USUAL = PairRules()


def stem_in(template: str, name: str) -> str | None:
    """What stands for {stem} in a name without suffix; None if it is named otherwise.

    Args:
      template: with one {stem}; "" is {stem} alone.
      name: relative path without suffix.
    """
    before, _, after = (template or STEM).partition(STEM)
    found = name.removeprefix(before).removesuffix(after)
    return found if found and name == before + found + after else None


class PairNames:
    """The HR photographs that LR names are compared with."""

    def __init__(
        self,
        hr_stems: Iterable[str],
        scale: int,
        draws: bool,
        rules: PairRules = USUAL,
    ) -> None:
        """Sorts the names.

        Args:
          hr_stems: relative paths without suffix.
          scale: HR size / LR size.
          draws: whether an ending _d<N> of LR names counts.
          rules: templates decide alone, where there are any.
        """
        self._scale, self._draws = scale, draws
        self._stems = set(hr_stems)
        self._lr_name = rules.lr_name
        self._by_stem: dict[str | None, str] | None = None
        if rules.hr_name or rules.lr_name:
            self._by_stem = {stem_in(rules.hr_name, x): x for x in self._stems}
        self._by_scene: dict[str, list[str]] = defaultdict(list)
        for stem in self._stems:
            self._by_scene[hr_scene(stem, scale)].append(stem)

    def hr_of(self, lr_stem: str) -> str | None:
        """The HR stem of an LR stem's scene; None if none, or several, fit."""
        if self._by_stem is not None:
            found = stem_in(self._lr_name, lr_stem)
            return None if found is None else self._by_stem.get(found)
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
