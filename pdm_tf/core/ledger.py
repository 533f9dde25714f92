"""The record of finished results in a folder, and of their inputs.

A hidden file of JSON lines lies next to the results. One line holds the inputs of a
result (a digest of everything that decides it), its files with their sizes, and further
facts to remember. A result is finished while all of that agrees. So a second start
keeps results that it would make again unchanged, makes those again that came from other
inputs, and recognises files that it did not make, or that were changed since.

A line is added when the files have their names, so that a program killed before leaves
work to be done again, and never a result that is taken for finished. A program that
must not replace other people's files announces its own with `begin` before they appear:
if it is killed, it then knows which leftovers it may replace. Lines that were cut off,
and lines of other programs, are ignored.
"""

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pdm_tf.core.files import file_status
from pdm_tf.core.stored import parse_json

# missing: none of its files exists. old: made by this program, but from other inputs,
# or not to the end. foreign: a file that this program did not make in its present form.
State = Literal["missing", "finished", "old", "foreign"]


def digest(inputs: Any) -> str:
    """Returns a short hash of everything that decides a result, any value of JSON."""
    text = json.dumps(inputs, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def stamp(path: str | Path) -> list[int]:
    """Returns the identity of a file's version: [bytes, mtime in ns]."""
    facts = file_status(path)
    return [facts.st_size, facts.st_mtime_ns]


@dataclass(frozen=True)
class Entry:
    """The record of one result.

    Attributes:
      inputs: `digest` of its inputs; "" if they are not known.
      outputs: its files, relative path -> bytes.
      facts: further facts to remember, any value of JSON.
      begun: (file, bytes) announced since, and not yet confirmed.
    """

    inputs: str
    outputs: Mapping[str, int]
    facts: Any = None
    begun: frozenset[tuple[str, int]] = frozenset()

    @property
    def names(self) -> set[str]:
        """The files that it may have."""
        return {*self.outputs, *(name for name, _ in self.begun)}

    def state(self, inputs: str, sizes: Mapping[str, int | None]) -> State:
        """Returns the state of a result that should have `inputs` (a digest).

        Args:
          inputs: the digest of now.
          sizes: bytes of each file in `names`; None: it is not there.
        """
        found = {name: sizes.get(name) for name in self.names}
        if not self.begun and found == dict(self.outputs):
            return "finished" if inputs == self.inputs else "old"
        left = {(name, size) for name, size in found.items() if size is not None}
        if left - self.begun - set(self.outputs.items()):
            return "foreign"
        return "old" if left else "missing"


class Ledger:
    """The results in a folder; may be used from several threads and programs.

    Args:
      folder: where the results go; need not exist.
      name: of the hidden file in it.
    """

    def __init__(self, folder: str | Path, name: str) -> None:
        self._folder, self._path = Path(folder), Path(folder) / name
        self._lock = threading.Lock()
        self._entries = _read(self._path)

    def state(self, key: str, inputs: Any) -> State:
        """Returns the state of the result `key`, which should be made from `inputs`.

        A result that is not in the ledger is a file of that name, or missing.
        """
        entry = self._entries.get(key) or Entry("", {}, begun=frozenset({(key, -1)}))
        sizes = {name: self._size(name) for name in entry.names}
        return entry.state(digest(inputs), sizes)

    def is_finished(self, key: str, inputs: Any) -> bool:
        """Whether all files of `key` exist, made from these `inputs`."""
        return self.state(key, inputs) == "finished"

    def begin(self, key: str, outputs: Mapping[str, int]) -> None:
        """Notes, on the disk, that files (path -> bytes) are about to appear."""
        self._add({"key": key, "begun": dict(outputs)}, sync=True)

    def add(
        self, key: str, inputs: Any, outputs: Mapping[str, int], facts: Any = None
    ) -> None:
        """Notes that the files (path -> bytes) have their names.

        The line may reach the disk later: one that is lost costs work, nothing else.
        """
        line = {"key": key, "inputs": digest(inputs), "outputs": dict(outputs)}
        self._add(line if facts is None else {**line, "facts": facts}, sync=False)

    def facts(self, key: str) -> Any:
        """Returns the facts of the result `key`, which was added."""
        return self._entries[key].facts

    def keys(self) -> set[str]:
        """Returns the results that are known, finished or not."""
        return set(self._entries)

    def _size(self, name: str) -> int | None:
        try:  # a damaged line may name what no file can be called
            path = self._folder / name
            return path.stat().st_size if path.is_file() else None
        except (OSError, ValueError, TypeError):
            return None

    def _add(self, line: dict[str, Any], *, sync: bool) -> None:
        # One write at the end of the file: lines of other programs do not mix in. It
        # begins a new line, in case the last one was cut off.
        data = f"\n{json.dumps(line)}\n".encode("ascii")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with self._lock:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, flags, 0o666)
            try:
                os.write(descriptor, data)
                if sync:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            _enter(self._entries, line)


def _read(path: Path) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return entries
    for line in text.splitlines():
        try:
            _enter(entries, parse_json(line))
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
    return entries


def _enter(entries: dict[str, Entry], line: dict[str, Any]) -> None:
    """Reads one line; raises an error if the line has another form."""
    if "target" in line:  # of an older version
        # Lines of `upscale` give all its present inputs; those of others do not.
        names = ("settings", "source_bytes", "source_time_ns")
        inputs = [line.get(name) for name in names]
        known = digest(inputs) if None not in inputs else ""
        entries[line["target"]] = Entry(known, {line["target"]: int(line["bytes"])})
        return
    key = line["key"]
    if "begun" in line:
        entry = entries.get(key, Entry("", {}))
        entries[key] = replace(entry, begun=entry.begun | line["begun"].items())
    else:
        entries[key] = Entry(line["inputs"], {**line["outputs"]}, line.get("facts"))
