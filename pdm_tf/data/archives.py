"""Archives of images as a challenge published them: zip files, or extracted folders.

The content of an archive is read from its directory, checked against the expected
content, and then read image by image. Nothing is ever unpacked by the paths inside: an
image goes where we say under its bare file name, and an archive with paths that lead
outside, links or encrypted files is refused as a whole: it is not the one that was
published.
"""

import re
import stat
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.files import file_status
from pdm_tf.core.images import IMAGE_SUFFIXES, decode_rgb_u8, list_images, whole_file
from pdm_tf.data.paper_sets import Archive

_NAMED = 5  # images or ranges named in a message


@dataclass(frozen=True)
class StoredFile:
    """An image in an archive.

    Attributes:
      name: bare file name.
      size: in bytes.
      read: returns the bytes; raises UserError when they are damaged.
    """

    name: str
    size: int
    read: Callable[[], bytes]


def find_archive(archive: Archive, folder: Path) -> Path | None:
    """Returns the zip file or the folder of `archive` in `folder`, if there is one.

    A zip file is preferred: it has checksums.
    """
    zips = [folder / name for name in archive.names]
    stems = [folder / Path(name).stem for name in archive.names]
    inner = [folder / name for name in archive.folders]
    for path in zips:
        if path.is_file():
            return path
    return next((path for path in (*inner, *stems) if path.is_dir()), None)


def open_archive(archive: Archive, path: Path) -> dict[str, StoredFile]:
    """Returns the images in `path` by file name, after checking names and count.

    Raises:
      UserError: damaged, unsafe, or not as published; the message gives details.
    """
    files = _of_zip(path) if path.is_file() else _of_folder(path)
    images: dict[str, StoredFile] = {}
    for file in files:
        if file.name in images:
            raise UserError(
                f"{path} must hold each image once. Received: {file.name} twice."
            )
        images[file.name] = file
    _check(archive, path, images)
    return images


def number_of(archive: Archive, name: str) -> int:
    """Returns the scene's number in the name of one of `archive`'s files."""
    return int(re.fullmatch(archive.pattern, name)[1])


def _of_zip(path: Path) -> list[StoredFile]:
    try:
        # Stays open as long as one of its files may be read.
        archive = zipfile.ZipFile(path)
    except Exception as error:  # noqa: BLE001 - of odd features of zip, anything
        raise UserError(
            f"{path} must be a whole zip file. Received: a file of "
            f"{path.stat().st_size} bytes that is truncated or something else "
            f"({error}). Download it again."
        ) from error
    return [
        _stored(archive, info, path)
        for info in archive.infolist()
        if not info.filename.endswith("/") and _is_image(_checked_name(info, path))
    ]


def _stored(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> StoredFile:
    def read() -> bytes:
        try:
            return archive.read(info)
        except Exception as error:  # noqa: BLE001 - as above
            raise UserError(
                f"{info.filename} in {path} is damaged ({error}). Download it again."
            ) from error

    return StoredFile(PurePosixPath(info.filename).name, info.file_size, read)


def _checked_name(info: zipfile.ZipInfo, path: Path) -> str:
    """Returns the member's path, if it is an ordinary file that stays inside.

    Raises:
      UserError: it leads outside, is a link, or is encrypted.
    """
    name = info.orig_filename
    parts = name.replace("\\", "/").split("/")
    is_unsafe = name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]
    is_link = stat.S_ISLNK(info.external_attr >> 16)
    what = (
        "a path that leads outside"
        if is_unsafe or "\0" in name
        else "a link"
        if is_link
        else "an encrypted file"
        if info.flag_bits & 1
        else ""
    )
    if what:
        raise UserError(
            f"{path} must hold ordinary files below its own folder. Received: "
            f"{name!r}, {what}. Nothing was taken from it; it is not the archive that "
            "was published. Download it again."
        )
    return name


def _is_image(name: str) -> bool:
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return not hidden and PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _of_folder(path: Path) -> list[StoredFile]:
    def reader(file: Path) -> Callable[[], bytes]:
        def read() -> bytes:
            # A folder has no checksums, so that each image is decoded once.
            data = whole_file(file)
            decode_rgb_u8(data, file)
            return data

        return read

    found = [(file, file_status(file).st_size) for file in list_images(path)]
    return [StoredFile(file.name, size, reader(file)) for file, size in found]


def _check(archive: Archive, path: Path, images: Iterable[str]) -> None:
    """Checks names and count against the published ones."""
    names = set(images)
    if archive.pattern is None:
        strange, missing = set(), _gaps(names) if len(names) < archive.count else []
    else:
        matches = {name: re.fullmatch(archive.pattern, name) for name in names}
        strange = {name for name, match in matches.items() if match is None}
        found = {_key(match, archive) for match in matches.values() if match}
        first, last = archive.numbers
        versions = archive.versions or ("",)
        wanted = [(n, v) for n in range(first, last + 1) for v in versions]
        strange |= {
            name
            for name, match in matches.items()
            if match and _key(match, archive) not in set(wanted)
        }
        missing = _ranges([n for n, v in wanted if (n, v) not in found])
    if not strange and not missing and len(names) == archive.count:
        return
    text = f"{path} must hold {archive.holds}. Received: {len(names)} images."
    if missing:
        text += f"\n  missing: {_listed(missing)}"
    if strange:
        text += f"\n  not among those published: {_listed(sorted(strange))}"
    raise UserError(
        f"{text}\n  Download {archive.names[0]} again, or remove what was added."
    )


def _key(match: re.Match[str], archive: Archive) -> tuple[int, str]:
    return int(match[1]), match[2] if archive.versions else ""


def _gaps(names: set[str]) -> list[str]:
    """Numbers left out between the first and the last, where names are numbers."""
    found = [re.search(r"(\d+)$", PurePosixPath(name).stem) for name in names]
    numbers = {int(match[1]) for match in found if match}
    if len(numbers) < len(names):
        return []
    return _ranges([n for n in range(min(numbers), max(numbers)) if n not in numbers])


def _ranges(numbers: list[int]) -> list[str]:
    """[3, 17, 18, 18, 19] -> ["0003", "0017-0019"]."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number <= runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return [f"{a:04d}" if a == b else f"{a:04d}-{b:04d}" for a, b in runs]


def _listed(items: list[str]) -> str:
    more = len(items) - _NAMED
    return ", ".join(items[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def read_file(file: StoredFile) -> bytes:
    """Reads the bytes of a stored image, of exactly the announced size.

    Raises:
      UserError: damaged, or of another size.
    """
    try:
        data = file.read()
    except ImageError as error:
        raise UserError(f"{error} Extract the archive again.") from error
    if len(data) != file.size:
        raise UserError(
            f"{file.name} must have {file.size} bytes. Received: {len(data)}; its "
            "archive is damaged. Download it again."
        )
    return data
