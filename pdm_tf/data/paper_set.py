"""Makes folders for training and evaluation from a challenge's archives.

    output_dir/train/hr  train/lr     the unpaired halves
    output_dir/val/hr    val/lr       pairs for validation (no hr where none exists)
    output_dir/shards/hr  shards/lr   train/ as TFRecord shards, if asked for

A folder appears, by one rename, when all its images are in it; until then they collect
in a hidden folder, which the next start completes. So a killed program leaves nothing
that could be mistaken for a dataset.
"""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pdm_tf.core.errors import UserError
from pdm_tf.core.files import write_bytes_atomic
from pdm_tf.data.archives import (
    StoredFile,
    find_archive,
    number_of,
    open_archive,
    read_file,
)
from pdm_tf.data.pairs import load_pairs
from pdm_tf.data.paper_sets import Archive, PaperSet, Part
from pdm_tf.data.parallel import OnProgress, in_threads
from pdm_tf.data.preparation import Outcome, open_output, written

RECORD_NAME = "dataset.json"
_GB = 1e9
_SPARE = 1.05  # file systems round up


@dataclass(frozen=True)
class PlannedPart:
    """A part, where it goes, and its images."""

    part: Part
    folder: Path
    files: tuple[StoredFile, ...]

    @property
    def making(self) -> Path:
        """Where the images collect until all are there."""
        return self.folder.with_name(f".{self.folder.name}.making")


def make_paper_set(
    name: str,
    paper_set: PaperSet,
    archives_dir: str | Path,
    output_dir: str | Path,
    *,
    shards: bool = False,
    threads: int = 0,
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Makes the folders of a dataset; keeps those of an earlier start.

    Args:
      name: of the dataset, for the record in the folder.
      paper_set: its parts.
      archives_dir: has the archives, or the folders they were extracted to.
      output_dir: see the head of this file.
      shards: whether shards will be made of train/ afterwards: disk space is asked for
        them too.
      threads: images read and written at once; 0 takes one per processor.
      on_progress: called with (images done, images in all).

    Raises:
      UserError: an archive is missing or not as published, the disk is too small, or
        the output folder holds something else.
    """
    plan = plan_parts(paper_set, Path(archives_dir), Path(output_dir))
    settings = {"dataset": name}
    open_output(archives_dir, output_dir, settings, RECORD_NAME, "--archives_dir")
    todo = [planned for planned in plan if not _is_made(planned)]
    _require_space(todo, plan if shards else (), Path(output_dir))
    total = sum(len(planned.files) for planned in plan)
    done = new = 0
    for planned in plan:
        before = done
        if planned in todo:
            for is_new in _extracted(planned, threads):
                done, new = done + 1, new + is_new
                if on_progress is not None:
                    on_progress(done, total)
            written(planned.folder, lambda p=planned: os.replace(p.making, p.folder))
        done = before + len(planned.files)
        if on_progress is not None:
            on_progress(done, total)
    if paper_set.has_pairs:
        _check_pairs(paper_set, Path(output_dir))
    return Outcome(written=new, kept=total - new, problems=())


def plan_parts(
    paper_set: PaperSet, archives_dir: Path, output_dir: Path
) -> list[PlannedPart]:
    """Opens all archives and says which of their images go where.

    Raises:
      UserError: one is missing (all such are named), or not as published.
    """
    if not archives_dir.is_dir():
        raise UserError(f"There is no folder {archives_dir} (--archives_dir).")
    archives = {part.archive: None for part in paper_set.parts}
    places = {archive: find_archive(archive, archives_dir) for archive in archives}
    missing = [archive for archive, place in places.items() if place is None]
    if missing:
        raise UserError(_missing_text(paper_set, missing, archives_dir))
    held = {archive: open_archive(archive, path) for archive, path in places.items()}
    plan = []
    for part in paper_set.parts:
        files = tuple(_chosen(part, held[part.archive]))
        if len(files) != part.count:
            raise ValueError(
                f"{part.place} must have {part.count} images. Received: {len(files)}."
            )
        plan.append(PlannedPart(part, output_dir / part.place, files))
    return plan


def _chosen(part: Part, files: dict[str, StoredFile]) -> Iterable[StoredFile]:
    for name in sorted(files):
        if part.numbers is None:
            yield files[name]
        else:
            first, last = part.numbers
            if first <= number_of(part.archive, name) <= last:
                yield files[name]


def _missing_text(
    paper_set: PaperSet, missing: list[Archive], archives_dir: Path
) -> str:
    lines = [
        f"--archives_dir must hold the archives of {paper_set.title}, as zip files or "
        f"extracted to folders of the same names. Missing in {archives_dir}:"
    ]
    for archive in missing:
        others = archive.names[1:]
        also = f" (also taken: {', '.join(others)})" if others else ""
        lines.append(f"  {archive.names[0]}: {archive.holds}{also}")
    lines.append(
        f"Download them from {paper_set.page}, whose terms of use you accept with it."
    )
    return "\n".join(lines)


def _is_made(planned: PlannedPart) -> bool:
    """Whether the folder is there, with exactly its images.

    Raises:
      UserError: it is there with something else in it.
    """
    if not planned.folder.exists():
        return False
    found = {
        path.name: path.stat().st_size
        for path in planned.folder.iterdir()
        if not path.name.startswith(".")
    }
    wanted = {file.name: file.size for file in planned.files}
    if found == wanted:
        return True
    different = sorted(found.items() ^ wanted.items())
    raise UserError(
        f"{planned.folder} must hold the {len(wanted)} images of this dataset and "
        f"nothing else. Received: {len(found)} files; the first that differs is "
        f"{different[0][0]}. Remove the folder, and start again."
    )


def _extracted(planned: PlannedPart, threads: int) -> Iterable[bool]:
    """Writes missing images; yields for each image whether it is new."""

    def write(file: StoredFile) -> bool:
        path = planned.making / file.name
        if path.exists() and path.stat().st_size == file.size:
            return False
        data = read_file(file)
        written(path, lambda: write_bytes_atomic(path, data))
        return True

    if planned.making.exists():
        wanted = {file.name for file in planned.files}
        for path in planned.making.iterdir():
            if path.name not in wanted:
                path.unlink()  # a leftover of a killed writer
    yield from in_threads(write, planned.files, threads)


def _require_space(
    todo: list[PlannedPart], sharded: Iterable[PlannedPart], output_dir: Path
) -> None:
    """Checks the disk space for missing images, before anything is written.

    Raises:
      UserError: the disk has less.
    """
    needed = sum(file.size for planned in todo for file in planned.files)
    needed -= sum(
        path.stat().st_size
        for planned in todo
        if planned.making.exists()
        for path in planned.making.iterdir()
    )
    for planned in sharded:
        if planned.part.place.startswith("train/"):
            needed += sum(file.size for file in planned.files)
    free = shutil.disk_usage(output_dir).free
    if needed * _SPARE > free:
        raise UserError(
            f"--output must have {needed * _SPARE / _GB:.2f} GB free. "
            f"Received: {free / _GB:.2f} GB at {output_dir}."
        )


def _check_pairs(paper_set: PaperSet, output_dir: Path) -> None:
    hr_dir, lr_dir = output_dir / "val/hr", output_dir / "val/lr"
    pairs = load_pairs(hr_dir, lr_dir, paper_set.scale)
    if pairs.problems:
        path, reason = pairs.problems[0]
        raise UserError(
            f"{hr_dir} and {lr_dir} must be pairs, HR {paper_set.scale} times the size "
            f"of LR. Received: {path}, which {reason} ({len(pairs.problems)} problems "
            "in all). Are the archives of one track?"
        )
