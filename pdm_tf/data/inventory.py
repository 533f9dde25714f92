"""What the folders of a run hold: whether that changed since it began, and in what
colours it is.

Batches are a function of the photographs too: a run that goes on with others is not the
run that it claims to be.
"""

import collections
import hashlib
from collections.abc import Mapping
from pathlib import Path

from pdm_tf.core.errors import ImageError
from pdm_tf.core.files import file_status
from pdm_tf.core.images import colours_of_file, list_images, whole_file
from pdm_tf.data.parallel import in_threads
from pdm_tf.data.sources import holds_shards
from pdm_tf.data.tfrecord import INDEX_NAME, SHARD_SUFFIX

_NAMED = 3

# Name -> "bytes:hash of them".
Inventory = Mapping[str, str]


def inventory(location: str | Path) -> Inventory:
    """Every photograph of a folder with its size and a hash of its bytes.

    Shards, which may be hundreds of gigabytes, go by the size of each and the hash of
    their index.

    Raises:
      UserError: no such place or nothing in it.
    """
    place = Path(location)
    if holds_shards(place):
        folder = place.parent if place.suffix == SHARD_SUFFIX else place
        files = [place] if folder != place else sorted(place.glob(f"*{SHARD_SUFFIX}"))
        sizes = {file.name: f"{file_status(file).st_size}:" for file in files}
        return {INDEX_NAME: _facts(folder / INDEX_NAME)} | sizes
    files = list_images(place)
    names = [file.relative_to(place).as_posix() for file in files]
    return dict(zip(names, in_threads(_facts, files), strict=True))


def changes(old: Inventory, new: Inventory) -> str:
    """What differs, as part of a sentence: "2 missing (a.png, b.png)"; "" if nothing.

    A file that was only renamed counts as missing and as new.
    """
    kinds = {
        "missing": [name for name in old if name not in new],
        "new": [name for name in new if name not in old],
        "changed": [name for name in old if new.get(name, old[name]) != old[name]],
    }
    words = []
    for kind, names in kinds.items():
        if names:
            more = ", ..." if len(names) > _NAMED else ""
            words.append(f"{len(names)} {kind} ({', '.join(names[:_NAMED])}{more})")
    return ", ".join(words)


def converted(folders: Mapping[str, str]) -> list[str]:
    """Names what is read as sRGB and was in other colours, a clause for each folder.

    Args:
      folders: flag -> place of photographs; shards hold sRGB alone.
    """
    lines = []
    for flag, folder in folders.items():
        if holds_shards(folder):
            continue
        files = list_images(folder)
        said = list(in_threads(_colours, files))
        found = [p.name for p, colours in zip(files, said, strict=True) if colours]
        if found:
            kinds = collections.Counter(filter(None, said)).most_common()
            listed = ", ".join(f"{number} {kind}" for kind, number in kinds)
            more = ", ..." if len(found) > _NAMED else ""
            lines.append(
                f"{len(found)} of {len(files)} photographs of {flag} are not in "
                f"sRGB ({listed}); their colours are converted: "
                f"{', '.join(found[:_NAMED])}{more}"
            )
    return lines


def _colours(path: Path) -> str:
    try:
        return colours_of_file(path)
    except ImageError:
        return ""  # it is named when it is read


def _facts(path: Path) -> str:
    try:
        data = whole_file(path)
    except ImageError as error:  # such are left out of the run, and named there
        return error.reason
    return f"{len(data)}:{hashlib.sha256(data).hexdigest()[:16]}"
