"""A remote store for tests: box://NAME is a local file under an opaque name.

Has no folders, like the stores of cloud providers, and nothing of it can be opened by a
path: what forgets to go through Beam's file systems fails.
"""

import os
import time
from pathlib import Path

from apache_beam.io.filesystem import (
    BeamIOError,
    CompressionTypes,
    FileMetadata,
    FileSystem,
)

SCHEME = "box://"


class BoxFileSystem(FileSystem):
    """Set `folder` before use."""

    folder: Path

    @classmethod
    def scheme(cls):
        return "box"

    @classmethod
    def _place(cls, url):
        return cls.folder / url.removeprefix(SCHEME).encode().hex()

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def split(self, path):
        head, _, tail = path.rpartition("/")
        return head, tail

    def mkdirs(self, path):
        pass

    def has_dirs(self):
        return False

    def _list(self, dir_or_prefix):
        for path in sorted(self.folder.iterdir()):
            url = SCHEME + bytes.fromhex(path.name).decode()
            if url.startswith(dir_or_prefix):
                yield self.metadata(url)

    def create(
        self,
        path,
        mime_type="application/octet-stream",
        compression_type=CompressionTypes.AUTO,
    ):
        return self._place(path).open("wb")

    def open(
        self,
        path,
        mime_type="application/octet-stream",
        compression_type=CompressionTypes.AUTO,
    ):
        if not self.exists(path):
            raise BeamIOError(f"no such object: {path}")
        return self._place(path).open("rb")

    def copy(self, source_file_names, destination_file_names):
        for source, target in zip(
            source_file_names, destination_file_names, strict=True
        ):
            self._place(target).write_bytes(self._place(source).read_bytes())

    def rename(self, source_file_names, destination_file_names):
        self.copy(source_file_names, destination_file_names)
        self.delete(source_file_names)

    def exists(self, path):
        return self._place(path).is_file()

    def size(self, path):
        return self._place(path).stat().st_size

    def last_updated(self, path):
        return self._place(path).stat().st_mtime

    def checksum(self, path):
        return str(self.size(path))

    def metadata(self, path):
        return FileMetadata(path, self.size(path), self.last_updated(path))

    def delete(self, paths):
        for path in paths:
            self._place(path).unlink()


def put(url, data):
    """Stores an object."""
    BoxFileSystem._place(url).write_bytes(data)


def get(url):
    """Returns an object's content."""
    return BoxFileSystem._place(url).read_bytes()


def names():
    """URLs of all objects."""
    return [entry.path for entry in BoxFileSystem(None)._list(SCHEME)]


def touch(url):
    """Makes an object newer."""
    place = BoxFileSystem._place(url)
    later = time.time() + 10
    os.utime(place, (later, later))
