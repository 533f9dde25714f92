"""A finished export appears in its output folder at once, a failed or killed one never.

Everything is made in a hidden folder inside the output folder, hence on the same file
system, and moved at the end: the SavedModel's version folder by one rename, which is
as servers that look for new versions need it, the files by one `os.replace` each, and
the certificate last. A kill between two of these leaves each of them whole; only the
set is mixed then, and the certificate's hashes say so.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pdm_tf.core.errors import UserError
from pdm_tf.core.files import made_folder, sync, working_folder

# Below the output folder.
SAVED_MODEL = "saved_model"
MODEL = "model.onnx"
MODEL_FP16 = "model_fp16.onnx"
DEGRADATION = "degradation"
DEGRADATION_ONNX = f"{DEGRADATION}/degradation.onnx"
DEGRADATION_SAVED_MODEL = f"{DEGRADATION}/{SAVED_MODEL}"
CERTIFICATE = "certificate.json"
FAILED_CERTIFICATE = "certificate.failed.json"

_BASES = (SAVED_MODEL, DEGRADATION_SAVED_MODEL)
_FILES = (MODEL, MODEL_FP16, DEGRADATION_ONNX)


@contextlib.contextmanager
def workspace(output: Path) -> Iterator[Path]:
    """A temporary folder inside `output`, removed at the end.

    `output` itself goes too if it was new and is empty then.

    Raises:
      UserError: `output` cannot be made or written.
    """
    above = (output, *output.parents)
    new = [place for place in above if not place.exists()]
    made_folder(output)
    try:
        with working_folder(output / "export") as folder:
            yield folder
    finally:
        with contextlib.suppress(OSError):  # not empty: something was published
            for place in new:
                place.rmdir()


def choose_version(output: Path, asked: int) -> int:
    """The number of the new SavedModels.

    Args:
      output: the output folder.
      asked: a number, or 0 for one more than the largest there is.

    Raises:
      UserError: the number asked for is taken.
    """
    taken = {
        int(entry.name)
        for base in _BASES
        if (output / base).is_dir()
        for entry in (output / base).iterdir()
        if entry.name.isdecimal()
    }
    if not asked:
        return max(taken, default=0) + 1
    if asked in taken:
        raise UserError(
            "--version must be a number that is not there yet: servers keep what they "
            f"have loaded. Received: {asked}; {output} has "
            f"{', '.join(map(str, sorted(taken)))}. 0 takes the next."
        )
    return asked


def publish(folder: Path, output: Path, version: int) -> list[Path]:
    """Moves the files made in `folder` to their places.

    Files of an earlier export that this one does not have go: a float16 file next to
    another network's float32 file would be taken for the same network.

    Returns:
      The paths that appeared, in order.

    Raises:
      UserError: another exporter has published the same version meanwhile.
    """
    written = []
    for base in _BASES:
        source, target = folder / base / str(version), output / base / str(version)
        if not source.is_dir():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        _flush(source)
        try:
            source.rename(target)
        except OSError as error:  # there by now; a rename replaces no full folder
            raise UserError(
                f"Version {version} must not be there yet. Received: {target}, which "
                f"appeared while this export ran ({error.strerror}). Export again."
            ) from error
        sync(target.parent)
        written.append(target)
    for name in _FILES:
        source, target = folder / name, output / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, target)
            written.append(target)
        else:
            target.unlink(missing_ok=True)
    (output / FAILED_CERTIFICATE).unlink(missing_ok=True)
    return written


def _flush(folder: Path) -> None:
    """Puts files on the disk before the rename that makes them count."""
    for path in _files(folder):
        sync(path)


def relative(paths: Sequence[Path], output: Path) -> list[str]:
    """The paths as seen from the output folder."""
    return [path.relative_to(output).as_posix() for path in paths]


def size_bytes(path: Path) -> int:
    """Size of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in _files(path))


def sha256(path: Path) -> str:
    """Hash of a file, or of the names and contents of a folder's files."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for file in _files(path):
        digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file())
