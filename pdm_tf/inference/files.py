"""Plans the targets of results, for one photograph or a folder with its tree.

Everything that follows from the names alone is checked here, before any work: results
that would overwrite each other, and an input that would overwrite itself.

`.pdm_upscale.jsonl` in a folder of results records its files (`core.ledger`). A second
start keeps results that it would make again unchanged; makes those again that came from
another version of the source or other settings (another network, another size), because
the command asks for them; and never replaces a file that it did not make, or that was
changed since.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.files import fitting_name
from pdm_tf.core.images import list_images
from pdm_tf.core.ledger import Ledger, State, digest, stamp
from pdm_tf.core.photographs import open_file, why_not_read
from pdm_tf.inference.result_files import FORMATS, format_of

SAME = "same"
RECORD_NAME = ".pdm_upscale.jsonl"
# Suffixes of pictures that are not written. As --output of one photograph such a name
# is a wish for a file, not the name of a folder to make.
_NOT_WRITTEN = frozenset(
    ".avif .bmp .exr .gif .heic .heif .ico .j2k .jp2 .jxl".split()
    + ".pgm .ppm .psd .svg .tga".split()
)


@dataclass(frozen=True)
class FileTask:
    """One image file to upscale.

    Attributes:
      source: image file.
      target: the result; its suffix gives the format.
    """

    source: Path
    target: Path


class Record:
    """The record of one folder of results; may be used from several threads."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Opens the record of a folder.

        Args:
          folder: folder of the results; need not exist.
          settings: all settings that decide how a result looks, as JSON can hold them.
        """
        self._folder, self._settings = folder, digest(settings)
        self._ledger = Ledger(folder, RECORD_NAME)

    def state(self, task: FileTask) -> State:
        """Returns the target's state: "old" was made, but with other settings."""
        return self._ledger.state(self._key(task), self._inputs(task))

    def begin(self, task: FileTask, size: int) -> None:
        """Notes, on the disk, that a target of `size` bytes is about to appear."""
        key = self._key(task)
        self._ledger.begin(key, {key: size})

    def add(self, task: FileTask) -> None:
        """Notes that the target has its name."""
        key = self._key(task)
        self._ledger.add(key, self._inputs(task), {key: task.target.stat().st_size})

    def _key(self, task: FileTask) -> str:
        return task.target.relative_to(self._folder).as_posix()

    def _inputs(self, task: FileTask) -> list[Any]:
        return [self._settings, *stamp(task.source)]


@dataclass(frozen=True)
class FileOptions:
    """Settings by which results are made and written.

    Attributes:
      outscale: size of the result / size of the source; None: the network's scale.
      quality: 1..100, of JPEG and WebP.
      overwrite: replace results that exist, even files of other programs.
      record: earlier results; without it an existing file is never replaced.
      memory_mb: pixels of all images in work that may be in memory; the rest goes to
        scratch files in the targets' folders.
    """

    outscale: float | None = None
    quality: int = 95
    overwrite: bool = False
    record: Record | None = None
    memory_mb: int = 256


@dataclass(frozen=True)
class FileResult:
    """The outcome for one file.

    Attributes:
      source, target: as in its task.
      status: "skipped" if finished before.
      reason: cause of a failure, in words that follow the file's name; "" otherwise.
      seconds: from reading to the finished file; waiting for other images included.
      lr_size, sr_size: (height, width) in pixels; None where unknown.
      notes: changes and losses on the way.
    """

    source: Path
    target: Path
    status: Literal["done", "skipped", "failed"]
    reason: str = ""
    seconds: float = 0.0
    lr_size: tuple[int, int] | None = None
    sr_size: tuple[int, int] | None = None
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class FilePlan:
    """Attributes:
    tasks: files to upscale, in the order of names.
    problems: impossible files, all "failed".
    folder: target of a folder's results; None for one file.
    """

    tasks: tuple[FileTask, ...]
    problems: tuple[FileResult, ...]
    folder: Path | None


def plan_files(source: Path, target: Path, file_format: str = SAME) -> FilePlan:
    """Returns the work that `--input` and `--output` describe.

    A folder is searched recursively for image suffixes; hidden files and `target`, if
    it lies inside, are left out. A file is written to `target` when that has the suffix
    of a format, else into the folder `target`.

    Args:
      source: an image file or a folder.
      target: a file or a folder; need not exist.
      file_format: of `FORMATS`, or "same": that of each source's suffix (PNG for GIF
        and BMP, which are not written).

    Raises:
      UserError: no such source, none of its files is an image, source and target
        exclude each other, or the target is a picture of a kind that is not written.
    """
    if not source.is_dir():
        if not source.exists():
            raise UserError(f"--input must exist. Received: {source}.")
        return FilePlan((_one(source, target, file_format),), (), None)
    if target.exists() and not target.is_dir():
        raise UserError(
            "--output must be a folder when --input is one. Received: the file "
            f"{target}."
        )
    inside = Path(os.path.realpath(target))
    if inside == Path(os.path.realpath(source)):
        raise UserError(
            f"--output must be another folder than --input. Received: {target}."
        )
    tasks = []
    for path in list_images(source):
        if not Path(os.path.realpath(path)).is_relative_to(inside):
            name = path.relative_to(source)
            tasks.append(FileTask(path, target / _named(name, file_format)))
    if not tasks:
        raise UserError(
            f"--input must hold images besides --output. Received: {source}."
        )
    tasks, problems = _without_conflicts(tasks, file_format)
    return FilePlan(tuple(tasks), tuple(problems), target)


def _one(source: Path, target: Path, file_format: str) -> FileTask:
    known = {suffix for entry in FORMATS.values() for suffix in entry.suffixes}
    if not target.is_dir() and target.suffix.lower() in _NOT_WRITTEN:
        format_of(target)  # raises: it would become a folder with a picture's name
    if target.is_dir() or target.suffix.lower() not in known:
        target = target / _named(Path(source.name), file_format)
    elif file_format not in (SAME, format_of(target)):
        raise UserError(
            f"--format must agree with the name in --output, or be left out. Received: "
            f"--format={file_format}, --output={target}."
        )
    if target.exists() and target.samefile(source):
        raise UserError(f"--output must be another file than --input, {source}.")
    return FileTask(source, target)


def _named(name: Path, file_format: str) -> Path:
    if file_format == SAME:
        try:
            format_of(name)
        except UserError:  # a kind that is read only
            file_format = "png"
        else:
            return name
    if name.suffix.lower() in FORMATS[file_format].suffixes:
        return name
    return name.with_name(
        fitting_name(f"{name.stem}{FORMATS[file_format].suffixes[0]}")
    )


def _without_conflicts(
    tasks: Iterable[FileTask], file_format: str
) -> tuple[list[FileTask], list[FileResult]]:
    """Removes all files that would be written over each other.

    Those that are not read anyway stay: they are told by why they are not.
    """
    by_target = defaultdict(list)
    for task in tasks:
        by_target[task.target].append(task)
    free, problems = [], []
    advice = "rename one"
    if file_format != SAME:
        advice += ", or let them keep their formats (--format=same)"
    for group in by_target.values():
        read = group if len(group) == 1 else [x for x in group if _is_read(x.source)]
        free += [task for task in group if len(read) < 2 or task not in read]
        for task in read if len(read) > 1 else ():
            others = ", ".join(other.source.name for other in read if other != task)
            reason = f"would be written to the same {task.target.name} as {others}"
            reason += f"; {advice}"
            problems.append(FileResult(task.source, task.target, "failed", reason))
    return free, problems


def _is_read(path: Path) -> bool:
    """Whether a file is of a kind that is read, by its first bytes."""
    try:
        with open_file(path) as file:
            return not why_not_read(path, file.read(16))
    except ImageError:
        return False
