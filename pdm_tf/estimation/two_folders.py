"""Two folders before a program writes anything: would what it makes be worthless?

Looks at places, names and sizes, and decodes a few photographs only where these raise a
doubt: well below a second where nothing is wrong. The thorough look is `folder_check`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.folder_places import evenly_picked, likely_larger, misplaced
from pdm_tf.core.images import image_size, list_images, read_rgb_u8, whole_file

_LOOKED_AT = 12  # photographs of a folder
FLAG = "--accept_folders"


def check_two_folders(
    hr_dir: str,
    lr_dir: str,
    scale: int,
    *,
    within: Mapping[str, str] | None = None,
    accept: bool = False,
) -> list[str]:
    """Refuses folders that nothing could be learned from.

    Args:
      hr_dir, lr_dir: HR photographs, and unpaired LR ones.
      scale: HR size / LR size.
      within: flag -> further folder that may not lie inside either.
      accept: whether what was found is said, and not refused.

    Returns:
      Lines for the person who started the program.

    Raises:
      UserError: one place for both, one inside the other, the same files in both, or
        LR photographs that are larger and sharper; or a folder without images.
    """
    found = misplaced(hr_dir, lr_dir, within)
    if not found:
        files = [list_images(folder) for folder in (hr_dir, lr_dir)]
        found += _same_files(*files) or _swapped(hr_dir, lr_dir, *files, scale)
    if found and not accept:
        raise UserError(f"{found[0]} {FLAG} goes on all the same.")
    lines = [f"warning: {line}" for line in found]
    if not found and all_grey(files[1]) and not all_grey(files[0]):
        lines.append(
            "warning: the LR photographs are grey and the HR photographs are in "
            "colour: the discriminator tells them apart by colour alone. Make grey "
            "copies of the HR photographs (pdm_tf prepare --task=grey), and train on "
            "these with --noise_arg=channels=1."
        )
    return lines


def all_grey(files: Sequence[Path]) -> bool:
    """Whether none of a dozen photographs has a colour; the first that has ends it."""
    grey = False
    for path in evenly_picked(files, _LOOKED_AT):
        try:
            rgb_u8 = read_rgb_u8(path)
        except ImageError:
            continue
        if (rgb_u8 != rgb_u8[..., :1]).any():
            return False
        grey = True
    return grey


def _same_files(hr: Sequence[Path], lr: Sequence[Path]) -> list[str]:
    """Says so where every LR file is among the HR files, byte by byte."""
    by_bytes: dict[int, list[Path]] = {}
    for path in hr:
        by_bytes.setdefault(_bytes(path), []).append(path)
    for path in lr:
        if not any(_equal(path, other) for other in by_bytes.get(_bytes(path), [])):
            return []
    return [
        "--lr_dir must hold other photographs than --hr_dir: nothing could be learned "
        f"from comparing photographs with themselves. Received: {len(lr)} LR files, "
        "all of which are in --hr_dir too, byte by byte."
    ]


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1


def _equal(one: Path, other: Path) -> bool:
    try:
        return whole_file(one) == whole_file(other)
    except ImageError:
        return False


def _swapped(
    hr_dir: str, lr_dir: str, hr: Sequence[Path], lr: Sequence[Path], scale: int
) -> list[str]:
    areas = [_areas(files) for files in (hr, lr)]
    if not all(areas) or not likely_larger(*areas, scale):
        return []
    # Here, since a start without this doubt needs none of it.
    from pdm_tf.estimation.folder_check import check_folders

    check = check_folders(hr_dir, lr_dir, scale, most=_LOOKED_AT)
    return [one.text for one in check.errors if one.code == "swapped"]


def _areas(files: Sequence[Path]) -> list[float]:
    areas = []
    for path in evenly_picked(files, _LOOKED_AT):
        try:
            height, width = image_size(path)
        except ImageError:
            continue
        areas.append(float(height * width))
    return areas
