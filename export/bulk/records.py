"""Which results of a bulk job are finished, remembered beside them.

For each result there is a small file OUTPUT/.pdm_bulk/NAME.json with its size, the
source's size and time, and a hash of the settings, written just before the result gets
its name. One file for each, because workers on many machines cannot append to one. The
rules are those of `pdm_tf.upscale`: what would be made again just so is kept, what came
from another source or other settings is made again, and what this program did not make
is never replaced.
"""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from export.bulk import storage
from export.bulk.storage import Facts

FOLDER = ".pdm_bulk"


def digest(settings: Mapping[str, Any]) -> str:
    """Returns a short hash of all that decides what a result looks like."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ResultRecord:
    """The record of one result; a `FileOptions.record` for one file.

    Attributes:
      output: folder of the results.
      name: of the result, relative to it.
      source: what it is made from.
      settings: their `digest`.
    """

    output: str
    name: str
    source: Facts
    settings: str

    @property
    def path(self) -> str:
        """The record's own file."""
        return storage.join(self.output, f"{FOLDER}/{self.name}.json")

    def of(self, target: Facts) -> Literal["finished", "old", "foreign"]:
        """Returns what an existing result is: "old" was made, but not like this."""
        line = self._read()
        if line is None or line.get("bytes") != target.size:
            return "foreign"
        return "finished" if line == self._line(target.size) else "old"

    def state(
        self, source: Path, target: Path
    ) -> Literal["finished", "old", "foreign"]:
        """As `of`, asked with local files."""
        del source
        return self.of(Facts(str(target), target.stat().st_size, 0.0))

    def add(self, source: Path, target: Path, size: int) -> None:
        """Notes that the result, of `size` bytes, is about to appear."""
        del source, target  # scratch files, if they are not local
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            json.dump(self._line(size), file)
            file.flush()
            storage.copy_out(Path(file.name), self.path)

    def _line(self, size: int) -> dict[str, Any]:
        return {
            "bytes": size,
            "source": self.source.path,
            "source_bytes": self.source.size,
            "source_updated": self.source.updated,
            "settings": self.settings,
        }

    def _read(self) -> dict[str, Any] | None:
        if storage.facts(self.path) is None:
            return None
        try:
            line = json.loads(storage.read_bytes(self.path))
        except ValueError:  # damaged by something else; it vouches for nothing
            return None
        return line if isinstance(line, dict) else None
