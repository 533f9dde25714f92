"""Files by path or URL, through Apache Beam's file systems.

Local files are used in place; remote ones (gs://, s3://, hdfs://) are copied to and
from scratch files, because image libraries want to seek. A file appears under its name
in full: written under a hidden name in the same folder, then renamed.

The finished results of a job are recorded next to them (`ResultRecord`). For each
result there is a small file OUTPUT/.pdm_bulk/NAME.json with its size, the source's size
and time, and a hash of the settings, written just before the result gets its name. One
file for each, because workers on many machines cannot append to one. The rules are
those of `pdm_tf.upscale`: results that would be made again unchanged are kept, those
from another source or other settings are made again, and files that this program did
not make are never replaced.
"""

import json
import os
import posixpath
import re
import shutil
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pdm_tf.core.errors import UserError
from pdm_tf.core.files import atomic_file, fitting_name
from pdm_tf.core.ledger import Entry, State, digest
from pdm_tf.core.stored import parse_json
from pdm_tf.inference.files import FileTask

RECORDS = ".pdm_bulk"  # below the folder of the results
_RAW = CompressionTypes.UNCOMPRESSED  # a suffix such as .gz must not change content
_MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True)
class Facts:
    """A file as it was listed.

    Attributes:
      path: or URL.
      size: bytes.
      updated: seconds since 1970; 0 where the file system does not say.
    """

    path: str
    size: int
    updated: float


@dataclass(frozen=True)
class Search:
    """The search for files.

    Attributes:
      pattern: Beam's: * stays within a folder, ** does not. May match more than the
        files below the root.
      root: folder that names are relative to.
    """

    pattern: str
    root: str


def is_local(path: str) -> bool:
    """Whether a path is no URL."""
    return FileSystems.get_scheme(path) is None


def absolute(path: str) -> str:
    """Returns a local path that workers in any folder can use, a URL unchanged.

    Raises:
      UserError: Beam does not know this kind of URL.
    """
    path = path.removeprefix("file://")
    if is_local(path):
        return os.path.abspath(path)
    try:
        FileSystems.get_filesystem(path)
    except ValueError as error:
        raise UserError(
            "Apache Beam must be able to read and write every place. Received: "
            f"{path}. For gs:// install apache-beam[gcp], for s3:// apache-beam[aws]."
        ) from error
    return path.rstrip("/")


def search(source: str) -> Search:
    """Returns where to look for `--input`, an absolute path or URL.

    Raises:
      UserError: it is local and not there.
    """
    if is_local(source) and os.path.isdir(source):
        return Search(f"{_literal(source)}/**", source)
    if is_local(source) and os.path.isfile(source):
        return Search(_literal(source), posixpath.dirname(source))
    if _MAGIC.search(source):
        fixed = source[: _MAGIC.search(source).start()]
        return Search(source, fixed.rpartition("/")[0])
    if is_local(source):
        raise UserError(f"--input must exist. Received: {source}.")
    if FileSystems.exists(source):
        return Search(source, source.rpartition("/")[0])
    return Search(f"{source}/**", source)  # buckets have no folders to ask for


def _literal(path: str) -> str:
    """A pattern for one path; Beam's patterns cannot quote what has a meaning."""
    return _MAGIC.sub("?", path)


def join(folder: str, name: str) -> str:
    """Returns the path or URL of a relative name with /."""
    return f"{folder}/{name}"


def facts(path: str) -> Facts | None:
    """Returns the facts of one file, None where there is none."""
    if is_local(path):
        try:
            found = os.stat(path)
        except FileNotFoundError:
            return None
        return Facts(path, found.st_size, found.st_mtime)
    if not FileSystems.exists(path):
        return None
    metadata = FileSystems.match([path], limits=[1])[0].metadata_list[0]
    return Facts(path, metadata.size_in_bytes, metadata.last_updated_in_seconds or 0.0)


def read_bytes(path: str) -> bytes:
    """Returns the content of a small file."""
    with FileSystems.open(path, compression_type=_RAW) as file:
        return file.read()


def copy_in(path: str, target: Path) -> None:
    """Copies a file to a local one."""
    with (
        FileSystems.open(path, compression_type=_RAW) as source,
        open(target, "wb") as file,
    ):
        shutil.copyfileobj(source, file, 2**20)


def copy_out(source: Path, path: str) -> None:
    """Copies a local file to a path or URL, where it appears in full."""
    with open(source, "rb") as file:
        _write(file, path)


def _write(source: object, path: str) -> None:
    if is_local(path):
        with atomic_file(path) as temporary, open(temporary, "wb") as target:
            shutil.copyfileobj(source, target, 2**20)
        return
    folder, _, name = path.rpartition("/")
    part = f"{folder}/.{name}.{uuid.uuid4().hex[:8]}.part"
    try:
        with FileSystems.create(part, compression_type=_RAW) as file:
            shutil.copyfileobj(source, file, 2**20)
        FileSystems.rename([part], [path])
    except BaseException:
        if FileSystems.exists(part):
            FileSystems.delete([part])
        raise


@dataclass(frozen=True)
class ResultRecord:
    """The record of one result; a `FileOptions.record` for one file.

    A `core.ledger.Entry`, but in a file of its own.

    Attributes:
      output: folder of the results.
      name: of the result, relative to it.
      source: what it is made from.
      settings: digest of everything else that decides how it looks.
    """

    output: str
    name: str
    source: Facts
    settings: str

    @property
    def path(self) -> str:
        """The record's own file."""
        folder, slash, name = self.name.rpartition("/")
        file = f"{folder}{slash}{fitting_name(name, '.json')}"
        return join(self.output, f"{RECORDS}/{file}")

    def of(self, size: int) -> State:
        """Returns the state of the result, which has `size` bytes now."""
        entry = self._read() or Entry("", {}, begun=frozenset({(self.name, -1)}))
        return entry.state(digest(self._inputs), {self.name: size})

    def state(self, task: FileTask) -> State:
        """Does as `of` with local files."""
        return self.of(task.target.stat().st_size)

    def begin(self, task: FileTask, size: int) -> None:
        """Notes that the result, of `size` bytes, is about to appear."""
        del task  # scratch files, if they are not local
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            json.dump({"bytes": size, **self._inputs}, file)
            file.flush()
            copy_out(Path(file.name), self.path)

    def add(self, task: FileTask) -> None:
        """Adds nothing: `begin` has written all that vouches for the result."""

    @property
    def _inputs(self) -> dict[str, Any]:
        return {
            "source": self.source.path,
            "source_bytes": self.source.size,
            "source_updated": self.source.updated,
            "settings": self.settings,
        }

    def _read(self) -> Entry | None:
        if facts(self.path) is None:
            return None
        try:
            line = parse_json(read_bytes(self.path))
            size = line.pop("bytes")
        except (AttributeError, KeyError, TypeError, ValueError):
            return None  # damaged by something else; it vouches for nothing
        return Entry(digest(line), {self.name: size})
