"""Made-up archives with the names, the layout and the counts of the published ones.

Images are tiny, so that even 3200 of them take no time; counts are never shrunk, so
that the checks are those that a user meets.
"""

import zipfile
from pathlib import Path

import numpy as np

from pdm_tf.core.images import encode_png

HR, LR = 8, 2  # sides in pixels


def png(side: int, value: int = 90) -> bytes:
    return encode_png(np.full((side, side, 3), value, np.uint8))


def members(folder: str, names: list[str], side: int) -> dict[str, bytes]:
    """Path in the archive -> content, one picture for all."""
    data = png(side)
    return {f"{folder}{name}": data for name in names}


def numbered(first: int, last: int, ending: str = "") -> list[str]:
    return [f"{n:04d}{ending}.png" for n in range(first, last + 1)]


def write_zip(path: Path, content: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path


def write_div2k_hr(folder: Path, side: int = HR) -> None:
    """What the tracks of 2017 and 2018 share."""
    for split, first, last in (("train", 1, 800), ("valid", 801, 900)):
        name = f"DIV2K_{split}_HR"
        content = members(f"{name}/", numbered(first, last), side)
        write_zip(folder / f"{name}.zip", {f"{name}/": b"", **content})


def write_2017(folder: Path, hr_side: int = HR) -> None:
    write_div2k_hr(folder, hr_side)
    for split, first, last in (("train", 1, 800), ("valid", 801, 900)):
        inside = f"DIV2K_{split}_LR_unknown/X4/"
        content = members(inside, numbered(first, last, "x4"), hr_side // 4)
        write_zip(folder / f"DIV2K_{split}_LR_unknown_X4.zip", content)


def write_2018_mild(folder: Path) -> None:
    write_div2k_hr(folder)
    for split, first, last in (("train", 1, 800), ("valid", 801, 900)):
        name = f"DIV2K_{split}_LR_mild"
        content = members(f"{name}/", numbered(first, last, "x4m"), LR)
        write_zip(folder / f"{name}.zip", content)


def write_2018_wild(folder: Path) -> None:
    write_div2k_hr(folder)
    names = [name for v in "1234" for name in numbered(1, 800, f"x4w{v}")]
    content = members("DIV2K_train_LR_wild/", names, LR)
    write_zip(folder / "DIV2K_train_LR_wild.zip", content)
    content = members("DIV2K_valid_LR_wild/", numbered(801, 900, "x4w"), LR)
    write_zip(folder / "DIV2K_valid_LR_wild.zip", content)


def write_2020_track1(folder: Path) -> None:
    """As the challenge had them: flat."""
    source = [f"{n:06d}.png" for n in range(1, 2651)]
    write_zip(folder / "Corrupted-tr-x.zip", members("", source, LR))
    write_zip(folder / "Corrupted-tr-y.zip", members("", numbered(1, 800), HR))
    write_zip(folder / "Corrupted-va-x.zip", members("", numbered(801, 900), LR))
    content = members("track1-valid-gt/", numbered(801, 900), HR)
    write_zip(folder / "track1-valid-gt.zip", content)


def write_2020_track2(folder: Path) -> None:
    source = [f"{n}.png" for n in range(0, 2229)]
    write_zip(folder / "DPEDiphone-tr-x.zip", members("", source, LR))
    write_zip(folder / "DPEDiphone-tr-y.zip", members("", numbered(1, 800), HR))
    write_zip(folder / "DPEDiphone-va.zip", members("", numbered(0, 99), LR))


WRITERS = {
    "ntire2017_track2": write_2017,
    "ntire2018_track2": write_2018_mild,
    "ntire2018_track4": write_2018_wild,
    "ntire2020_track1": write_2020_track1,
    "ntire2020_track2": write_2020_track2,
}
