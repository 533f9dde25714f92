"""Finished SR pictures in a folder, from whatever program made them.

A picture belongs to the image of its own relative path, without suffix. The ending of
an LR name (x4, x4m, ...) may be there or not, on either side, and so may an ending that
all pictures share (_out, _SwinIR, _5000), by which other programs name theirs, also
those that put each in a folder of its name (baby/baby_5000). A template of the names,
where one is given, decides alone.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.files import file_status
from pdm_tf.core.images import list_images
from pdm_tf.core.pair_names import common_ending, hr_scene, lr_scene, stem_in
from pdm_tf.data.pairs import stem_of
from pdm_tf.data.sources import FileEntry, list_entries
from pdm_tf.evaluation.image_set import SCALES, find_scale
from pdm_tf.evaluation.subjects.base import SubjectRequest


class Pictures:
    """Pictures by the names of the images they belong to."""

    def __init__(
        self, entries: Sequence[FileEntry], scale: int, template: str = ""
    ) -> None:
        """Sorts them.

        Args:
          entries: the pictures.
          scale: SR size / LR size.
          template: of their names, see `core.pair_names`; "": the usual endings count.

        Raises:
          UserError: two of one name.
        """
        self._scale, self._template = scale, template
        self._by_stem: dict[str, FileEntry] = {}
        self._by_scene: dict[str, list[FileEntry]] = defaultdict(list)
        for entry in entries:
            stem = stem_of(entry)
            if stem in self._by_stem:
                raise UserError(
                    "--model must hold one picture per image. Received: "
                    f"{self._by_stem[stem].name} and {entry.name}."
                )
            self._by_stem[stem] = entry
        self._by_template = {
            stem_in(template, stem): entry for stem, entry in self._by_stem.items()
        }
        self.ending = common_ending(self.stems)
        for stem, entry in self._by_stem.items():
            bare = stem.removesuffix(self.ending)
            folder, _, name = bare.rpartition("/")
            if folder.rpartition("/")[2] == name:
                bare = folder
            for scene in {lr_scene(stem, scale), lr_scene(bare, scale)}:
                self._by_scene[scene].append(entry)

    @property
    def stems(self) -> tuple[str, ...]:
        """The pictures' own names, in order."""
        return tuple(self._by_stem)

    def of(self, name: str) -> FileEntry | None:
        """The one picture of an image's name; None if none, or several, are near."""
        if self._template:
            return self._by_template.get(name)
        if name in self._by_stem:
            return self._by_stem[name]
        for scene_of in (lr_scene, hr_scene):
            near = self._by_scene.get(scene_of(name, self._scale), [])
            if len(near) == 1:
                return near[0]
        return None

    def unused(self, names: Iterable[str]) -> list[FileEntry]:
        """Pictures of images that are not among the names."""
        used = {id(self.of(name)) for name in names}
        return [entry for entry in self._by_stem.values() if id(entry) not in used]


@dataclass(frozen=True)
class PictureSubject:
    """A folder of pictures; see `Subject`."""

    name: str
    label: str
    scale: int
    pictures: Pictures
    facts: Mapping[str, Any]
    needs_lr = False
    grid = None

    def picture(self, name: str, lr_u8: np.ndarray | None) -> np.ndarray:
        entry = self.pictures.of(name)
        if entry is None:
            shared = self.pictures.ending
            raise UserError(
                f"There is no picture of its name in {self.label}. Names may carry an "
                f"ending that all share (here {shared or 'none'}), or one of LR names "
                f"(x{self.scale}, _x{self.scale}, ...); others are told by "
                "--picture_name={stem}ENDING. "
                f"Received, e.g.: {', '.join(self.pictures.stems[:2])}."
            )
        return entry.read()

    def unused(self, names: Iterable[str]) -> list[tuple[str, str]]:
        reason = "belongs to no image of the set"
        return [(entry.name, reason) for entry in self.pictures.unused(names)]


def matches(location: str) -> bool:
    """Whether this is a folder with image files in it."""
    try:
        return bool(list_images(location))
    except UserError:
        return False  # `open_subject` names the possible kinds


def open_pictures(request: SubjectRequest) -> PictureSubject:
    """Lists the pictures; none is decoded.

    Raises:
      UserError: two of one name, or a scale that is neither said nor to be found.
    """
    folder = Path(request.location)
    files = list_images(folder)
    entries = [FileEntry(file.relative_to(folder).as_posix(), file) for file in files]
    label = folder.resolve().name
    scale = request.scale or _scale(request, entries)
    return PictureSubject(
        name=f"pictures in {label}",
        label=label,
        scale=scale,
        pictures=Pictures(entries, scale, request.picture_name),
        facts={"kind": "pictures", "count": len(files), "sha256": _hash(files)},
    )


def _scale(request: SubjectRequest, entries: Sequence[FileEntry]) -> int:
    """Finds the scale from pairs, or from the LR images and the pictures."""
    if request.hr_dir and request.lr_dir:
        return find_scale(request.hr_dir, request.lr_dir, request.rules)
    images = list_entries(request.lr_dir) if request.lr_dir else ()
    for scale in SCALES if images else ():
        pictures = Pictures(entries, scale, request.picture_name)
        for lr in images:
            picture = pictures.of(stem_of(lr))
            if picture is None:
                continue
            try:
                (high, wide), (height, width) = picture.size(), lr.size()
            except ImageError:
                continue  # it is reported when its turn comes
            if (high, wide) == (scale * height, scale * width):
                return scale
    raise UserError(
        "A folder of pictures needs --scale where no LR image of --lr_dir fits them. "
        f"Received: no --scale, --lr_dir={request.lr_dir!r}, {request.location}."
    )


def _hash(files: Sequence[Path]) -> str:
    """Returns a hash that changes when a picture is added, removed or rewritten."""
    digest = hashlib.sha256()
    for file in files:
        status = file_status(file)
        line = f"{file.name} {status.st_size} {status.st_mtime_ns}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
