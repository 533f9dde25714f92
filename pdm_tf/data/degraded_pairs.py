"""From a folder of HR photographs to pairs in two folders, by any degradation.

    output_dir/lr/<name>.png      8 bit; with several draws <name>_d0.png, ...
    output_dir/hr/<name>.png      the photograph, cropped; under the names of lr/
    output_dir/manifest.jsonl     how each LR image was made; written at the end
    output_dir/kernels.npy        [N, K, K] float32, by the indices in the manifest
    output_dir/degrade.json       the settings

Names are the same in both folders because that is all that every trainer of
super-resolution understands. The HR file of further draws is a hard link to that of the
first: one set of pixels on the disk.

`.degrade.jsonl` remembers what is finished: a line for each photograph, added when its
files have their names. A killed program loses the photographs it was working on, which
are made again, to the same bytes.
"""

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pdm_tf.core.errors import ImageError
from pdm_tf.core.files import file_status, write_bytes_atomic
from pdm_tf.core.images import encode_png, list_images
from pdm_tf.data.degrading import (
    DegradeOutcome,
    Request,
    degrade_photograph,
    lr_names,
    names_of,
    open_folder,
    write_manifest,
)
from pdm_tf.data.parallel import OnProgress, counted, in_threads
from pdm_tf.data.preparation import require_some, written

JOURNAL_NAME = ".degrade.jsonl"

_KEYS = ("made_of", "files", "rows")

HrFiles = Literal["link", "copy", "none"]


def make_degraded_pairs(
    input_dir: str | Path,
    output_dir: str | Path,
    request: Request,
    settings: dict[str, Any],
    *,
    hr_files: HrFiles = "link",
    threads: int = 0,
    on_progress: OnProgress | None = None,
) -> DegradeOutcome:
    """Writes the pairs and their manifest; finished photographs are kept.

    Args:
      input_dir: HR photographs, searched recursively.
      output_dir: as above, with the input's sub-folders in `lr` and `hr`.
      request: what to do with each.
      settings: all that decides what the files hold; a folder made with others is
        refused.
      hr_files: whether further draws' HR files are links to the first's or copies;
        "none" writes no HR files.
      threads: photographs worked on at once; 0 takes one per processor.
      on_progress: called with (photographs done, photographs in all).

    Raises:
      UserError: no images, none usable, two of the same name, or an output folder that
        cannot be used.
      Stopped: it was asked to stop.
    """
    input_dir = Path(input_dir)
    files = list_images(input_dir)
    names = names_of(files, input_dir, request.draws)
    folder = open_folder(input_dir, output_dir, settings)
    journal = Journal(folder)

    def make(path: Path) -> bool | tuple[str, str]:
        if journal.is_finished(names[path], path):
            return False
        try:
            photograph = degrade_photograph(path, names[path], request)
        except ImageError as error:
            return str(path), error.reason
        targets = [f"{name}.png" for name in lr_names(names[path], request.draws)]
        made = {}
        for target, lr_u8 in zip(targets, photograph.lr_u8, strict=True):
            png = encode_png(lr_u8)
            _write(folder / "lr" / target, png)
            made[f"lr/{target}"] = len(png)
        if hr_files != "none":
            png = encode_png(photograph.hr_u8)
            _write_same([folder / "hr" / t for t in targets], png, hr_files == "link")
            made |= {f"hr/{target}": len(png) for target in targets}
        source = path.relative_to(input_dir).as_posix()
        rows = [
            {
                "lr": f"lr/{target}",
                "hr": None if hr_files == "none" else f"hr/{target}",
                **row,
                "source": source,
            }
            for target, row in zip(targets, photograph.rows, strict=True)
        ]
        journal.add(names[path], path, made, rows)
        return True

    results = list(counted(in_threads(make, files, threads), len(files), on_progress))
    bad = {path for path, _ in (r for r in results if isinstance(r, tuple))}
    used = [names[path] for path in files if str(path) not in bad]
    outcome = DegradeOutcome(
        written=results.count(True),
        kept=results.count(False),
        problems=tuple(result for result in results if isinstance(result, tuple)),
        stale=journal.others(used),
    )
    require_some(outcome, input_dir)
    write_manifest(folder, journal.rows(used))
    return outcome


class Journal:
    """What is finished in a folder; may be used from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lines = _read(folder / JOURNAL_NAME)
        self._lock = threading.Lock()

    def is_finished(self, name: str, source: Path) -> bool:
        """Whether all files of a photograph are there, made of this `source`."""
        line = self._lines.get(name)
        if line is None or line["made_of"] != _stamp(source):
            return False
        return all(
            _size(self._folder / file) == size for file, size in line["files"].items()
        )

    def add(
        self,
        name: str,
        source: Path,
        files: dict[str, int],
        rows: Sequence[dict[str, Any]],
    ) -> None:
        """Notes, on the disk, that the files (path -> bytes) have their names."""
        line = {"name": name, "made_of": _stamp(source), "files": files, "rows": rows}
        # It begins a new line, in case the last one was cut off.
        data = f"\n{json.dumps(line)}\n".encode("ascii")
        path = self._folder / JOURNAL_NAME
        with self._lock:
            written(path, lambda: _append(path, data))
            self._lines[name] = line

    def rows(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Rows of the manifest of these photographs, in order."""
        return [row for name in names for row in self._lines[name]["rows"]]

    def others(self, names: Sequence[str]) -> tuple[str, ...]:
        """Names in the journal that are not among these."""
        return tuple(sorted(self._lines.keys() - set(names)))


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Name -> its last line; lines that a crash cut off tell nothing."""
    if not path.exists():
        return {}
    lines = {}
    for text in path.read_text(encoding="ascii", errors="replace").splitlines():
        try:
            line = json.loads(text)
            lines[line["name"]] = {key: line[key] for key in _KEYS}
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    return lines


def _append(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _stamp(source: Path) -> list[int]:
    facts = file_status(source)
    return [facts.st_size, facts.st_mtime_ns]


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _write(path: Path, data: bytes) -> None:
    written(path, lambda: write_bytes_atomic(path, data))


def _write_same(paths: Sequence[Path], data: bytes, link: bool) -> None:
    """Writes one file under several names."""
    _write(paths[0], data)
    for path in paths[1:]:
        if not (link and _link(paths[0], path)):
            _write(path, data)


def _link(first: Path, path: Path) -> bool:
    """Whether `path` could be made a hard link to `first`, replacing what was there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.link")
    try:
        temporary.unlink(missing_ok=True)
        os.link(first, temporary)
        os.replace(temporary, path)
    except OSError:
        return False  # a file system without links
    return True
