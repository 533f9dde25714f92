"""Which results are finished: the memory of a folder of results.

Beside the results lies `.pdm_upscale.jsonl`, one line for each file that was made:
its size, the source's size and time, and a short hash of the settings. A result is
finished when all of them still agree. So a second start

- keeps what it would make again just so;
- makes again what it made from another version of the source or with other settings
  (another network, another size): that is what the command asks for;
- never replaces a file that it did not make, or that was changed since.

A line is on the disk before its result gets its name. A program killed in between
leaves a line without a file, which is made again.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pdm_tf.core.files import file_status

RECORD_NAME = ".pdm_upscale.jsonl"


class Record:
    """The record of one folder of results; may be used from several threads."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Args:
        folder: where the results go; need not exist.
        settings: all that decides what a result looks like, as JSON can hold it.
        """
        self._folder = folder
        self._settings = _digest(settings)
        self._lines = _read(folder / RECORD_NAME)

    def state(
        self, source: Path, target: Path
    ) -> Literal["finished", "old", "foreign"]:
        """Returns what an existing `target` is: "old" was made, but not like this."""
        line = self._lines.get(self._name(target))
        if line is None or line["bytes"] != target.stat().st_size:
            return "foreign"
        return (
            "finished" if line == self._line(source, target, line["bytes"]) else "old"
        )

    def add(self, source: Path, target: Path, size: int) -> None:
        """Notes, on the disk, that `target` of `size` bytes is about to appear."""
        line = self._line(source, target, size)
        text = json.dumps(line, ensure_ascii=True) + "\n"
        self._folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self._folder / RECORD_NAME, flags, 0o666)
        try:
            # One write at the end of the file: lines of other programs do not mix in.
            # It begins a new line, in case the last one was cut off.
            os.write(descriptor, b"\n" + text.encode("ascii"))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._lines[line["target"]] = line

    def _line(self, source: Path, target: Path, size: int) -> dict[str, Any]:
        facts = file_status(source)
        return {
            "target": self._name(target),
            "bytes": size,
            "source_bytes": facts.st_size,
            "source_time_ns": facts.st_mtime_ns,
            "settings": self._settings,
        }

    def _name(self, target: Path) -> str:
        return target.relative_to(self._folder).as_posix()


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Target -> its last line; lines that a crash cut off tell nothing."""
    lines = {}
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return lines
    for line in text.splitlines():
        try:
            entry = json.loads(line)
            lines[entry["target"]] = {**entry, "bytes": int(entry["bytes"])}
        except (json.JSONDecodeError, KeyError, TypeError, ValueError):
            continue
    return lines


def _digest(settings: Mapping[str, Any]) -> str:
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
