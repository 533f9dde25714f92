"""PyTorch's two file formats: a zip archive (since 1.6), and pickles in a row (before).

Zip: `<name>/data.pkl` is the pickle, `<name>/data/<key>` the numbers of a storage,
never compressed. Legacy: a magic number, a protocol number and facts on the machine,
each a pickle; the object; the list of storage keys; then for each key its length (8
bytes) and its numbers. Both are little-endian on every machine in use.
"""

import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pdm_tf.core.errors import UserError
from pdm_tf.interop.pickle_reader import read_pickle, storage_dtype
from pdm_tf.interop.tensors import Storage, item_size

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_LARGEST_PICKLE = 256 * 2**20
# Errors of Python's zipfile: the last two for encrypted and for exotic entries.
_DAMAGE = (
    *(zipfile.BadZipFile, OSError, EOFError, ValueError, zlib.error),
    *(RuntimeError, NotImplementedError),
)


def read_zip(path: Path) -> Any:
    """Reads the object in a file of the zip format; tensors are `Tensor`.

    Raises:
      UserError: not such a file, damaged, compressed, or refused by `read_pickle`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_archive(archive, path)
    except UserError:
        raise
    except _DAMAGE as error:
        raise UserError(f"{path}: the zip archive is damaged: {error}.") from error


def _read_archive(archive: zipfile.ZipFile, path: Path) -> Any:
    records = _records(archive, path)
    root = next((n[:-8] for n in records if n.endswith("data.pkl")), None)
    if any(name.endswith("constants.pkl") for name in records):
        raise UserError(
            f"{path} must hold weights. Received: a TorchScript program. Save its "
            "state_dict with PyTorch."
        )
    if root is None:
        raise UserError(f"{path}: the archive has no data.pkl, so it is no weights.")
    order = f"{root}byteorder"
    if order in records and archive.read(order) != b"little":
        raise UserError(f"{path} must be little-endian. Received: big-endian.")
    if records[f"{root}data.pkl"].file_size > _LARGEST_PICKLE:
        raise UserError(f"{path}: its data.pkl is larger than {_LARGEST_PICKLE} B.")
    storages: dict[str, Storage] = {}
    reread = _Reopened(path)

    def find_storage(description: Any) -> Storage:
        dtype, key, length = _described(description)
        info = records.get(f"{root}data/{key}")
        if info is None:
            raise UserError(f"{path}: the numbers of storage {key!r} are missing.")
        if info.file_size < length * item_size(dtype):
            raise UserError(
                f"{path}: storage {key!r} must hold {length} numbers of {dtype}. "
                f"Received: {info.file_size} bytes."
            )
        return _shared(storages, key, Storage(dtype, length, reread.entry(info)))

    with archive.open(f"{root}data.pkl") as file:
        return read_pickle(file, find_storage)


def _records(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Lists the archive's entries by name; checks that none can grow when read."""
    records = {}
    for info in archive.infolist():
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != (
            info.compress_size
        ):
            raise UserError(
                f"{path}: a file of weights must not be compressed, as torch.save "
                f"leaves it. Received: a compressed {info.filename[:80]!r}, "
                f"{info.compress_size} bytes that claim to be {info.file_size}."
            )
        if info.filename in records:
            raise UserError(f"{path}: {info.filename[:80]!r} comes twice in it.")
        records[info.filename] = info
    total, size = sum(r.file_size for r in records.values()), path.stat().st_size
    if total > size:
        raise UserError(
            f"{path}: its entries must fit into it. Received: {total} bytes in a file "
            f"of {size}."
        )
    return records


class _Reopened:
    """The archive, opened again when the first of its numbers are read.

    All entries share it, because opening reads the whole directory: once for each of a
    network's 700 tensors took half of an import's time. It closes with the last tensor.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._archive: zipfile.ZipFile | None = None

    def entry(self, info: zipfile.ZipInfo) -> Callable[[], bytes]:
        """Returns a function that reads one entry."""

        def read() -> bytes:
            try:
                if self._archive is None:
                    self._archive = zipfile.ZipFile(self._path)
                return self._archive.read(info.filename)  # checks the CRC too
            except _DAMAGE as error:
                raise UserError(
                    f"{self._path}: {info.filename} is damaged: {error}."
                ) from error

        return read


def read_legacy(path: Path) -> Any:
    """Reads the object in a file of the older format.

    Raises:
      UserError: see `read_zip`.
    """
    declared: dict[str, Storage] = {}
    starts: dict[str, int] = {}

    def no_storage(description: Any) -> Storage:
        raise UserError(
            f"{path}: a storage before the object. Received: {description}."
        )

    def find_storage(description: Any) -> Storage:
        dtype, key, length = _described(description)
        size = length * item_size(dtype)

        def read() -> bytes:
            with open(path, "rb") as file:
                file.seek(starts[key])
                return file.read(size)

        return _shared(declared, key, Storage(dtype, length, read))

    with open(path, "rb") as file:
        head = [read_pickle(file, no_storage) for _ in range(2)]
        if head != [_MAGIC, _PROTOCOL]:
            raise UserError(
                f"{path} must begin with PyTorch's magic and protocol numbers. "
                "Received: another pickle."
            )
        facts = read_pickle(file, no_storage)
        if not isinstance(facts, dict) or facts.get("little_endian") is not True:
            raise UserError(f"{path} must be little-endian. Received: {facts!r:.80}.")
        result = read_pickle(file, find_storage)
        keys = read_pickle(file, no_storage)
        if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(declared):
            raise UserError(f"{path}: its list of storages is not that of its tensors.")
        size = os.fstat(file.fileno()).st_size
        for key in keys:
            storage = declared[key]
            length = int.from_bytes(file.read(8), "little", signed=True)
            starts[key] = file.tell()
            end = starts[key] + storage.length * item_size(storage.dtype)
            if length != storage.length or end > size:
                raise UserError(
                    f"{path}: storage {key!r} must hold {storage.length} numbers. "
                    f"Received: {length} in a file that is {max(end - size, 0)} bytes "
                    "too short."
                )
            file.seek(end)
    return result


def _described(description: Any) -> tuple[str, str, int]:
    """Gets dtype, key, length of ("storage", class, key, device, length[, view])."""
    parts = description if isinstance(description, tuple) else ()
    is_view = len(parts) == 6 and parts[5] is not None
    if len(parts) not in (5, 6) or parts[0] != "storage" or is_view:
        raise UserError(f"A storage is described wrongly: {description!r:.120}.")
    dtype, key, length = storage_dtype(parts[1]), parts[2], parts[4]
    if not isinstance(key, str) or type(length) is not int or length < 0:
        raise UserError(f"A storage is described wrongly: {description!r:.120}.")
    return dtype, key, length


def _shared(table: dict[str, Storage], key: str, storage: Storage) -> Storage:
    """Adds the storage of that key, which tensors may share but not disagree about."""
    known = table.setdefault(key, storage)
    if (known.dtype, known.length) != (storage.dtype, storage.length):
        raise UserError(
            f"Storage {key!r} must be one thing. Received: {known.length} numbers of "
            f"{known.dtype}, and {storage.length} of {storage.dtype}."
        )
    return known
