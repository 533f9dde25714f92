"""Checkpoints: everything needed to go on as if nothing had happened.

One checkpoint is one folder `step_00001000/`: a TensorFlow checkpoint of all variables
and `manifest.json` (step, the shapes of the variables, the sizes and SHA-256 of the
files). The folder is filled under a hidden name (`core.files`), flushed to disk, and
then renamed, so that a run killed at any moment leaves complete checkpoints and perhaps
a hidden leftover, which is removed at the next start. TensorFlow reads a checkpoint
only if every byte is as it was written. (`tf.train.CheckpointManager` keeps the promise
of complete ones by a state file that names the newest; a rename needs no such file, and
separates complete folders from incomplete ones.)

The variables are stored as flat lists, by group and position: `networks.sr/17`. The
names that Keras gives to variables depend on what else was built in the process, and
the object graph on how a class spells its attributes; neither belongs in a file that
must be read by the next version.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.core.files import remove_leftovers, sync, working_folder, write_json_atomic
from pdm_tf.core.stored import read_json
from pdm_tf.training.ema import EMA

if TYPE_CHECKING:
    from pdm_tf.methods.base import Method

_NAME = re.compile(r"^step_([0-9]{8,18})$")
_MANIFEST = "manifest.json"
_SEAL = "sha256"  # of everything else in the manifest
_PREFIX = "state"


def collect_state(method: "Method", ema: EMA) -> dict[str, list[tf.Variable]]:
    """Collects group name -> variables that change while `method` trains."""
    groups: dict[str, list[tf.Variable]] = {}
    for kind in ("networks", "optimizers", "extra_state"):
        for name, owner in getattr(method, kind).items():
            groups[f"{kind}.{name}"] = _variables_of(owner)
    for name, variables in ema.variables.items():
        groups[f"ema.{name}"] = list(variables)
    return groups


class CheckpointStore:
    """The checkpoints of one run."""

    def __init__(
        self,
        folder: Path,
        state: Mapping[str, Sequence[tf.Variable]],
        keep: int,
        *,
        is_owner: bool = True,
    ) -> None:
        """Opens the folder; changes nothing unless it is the owner's.

        Args:
          folder: where they are kept.
          state: group name -> variables, see `collect_state`.
          keep: how many of the newest to keep.
          is_owner: whether this process writes; it makes the folder and removes what a
            killed run has left in it. There may be one owner only.
        """
        self.folder = folder
        self._keep = keep
        self._state = {name: list(group) for name, group in state.items()}
        self._checkpoint = tf.train.Checkpoint(**self._state)
        if not is_owner:
            return
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder, deep=True)

    def save(self, step: int) -> Path:
        """Writes the present state as that after `step` steps; drops the oldest.

        Raises:
          OSError, tf.errors.OpError: it could not be written; older ones are intact.
        """
        final = self.folder / _name(step)
        if step in complete_steps(self.folder):
            return final
        with working_folder(final) as hidden:
            self._checkpoint.write(str(hidden / _PREFIX))
            files = sorted(hidden.iterdir())
            manifest = {
                "step": step,
                "files": {file.name: _identity(file) for file in files},
                "variables": _describe(self._state),
            }
            write_json_atomic(hidden / _MANIFEST, _sealed(manifest))
            for path in (*files, hidden):
                sync(path)
            if final.exists():  # incomplete, or `complete_steps` would have named it
                self._set_aside(final)
            os.rename(hidden, final)
            sync(self.folder)
        for old in complete_steps(self.folder)[: -self._keep]:
            shutil.rmtree(self.folder / _name(old))
        return final

    def restore_latest(self) -> tuple[int, list[str]]:
        """Restores the newest checkpoint that can be read.

        A damaged one (a file cut short, altered, or missing) is set aside as
        `damaged_*`, and the one before it is taken.

        Returns:
          The steps taken, 0 when there is no checkpoint; and a line for each damaged
          one.

        Raises:
          UserError: there are checkpoints but none can be read, or they belong to other
            networks.
        """
        warnings = []
        for step in reversed(_steps(self.folder)):
            path = self.folder / _name(step)
            problem = _damage(path, every_byte=True) or self._read(path)
            if not problem:
                return step, warnings
            aside = self._set_aside(path)
            warnings.append(
                f"checkpoint {path.name} is damaged and set aside as {aside.name}: "
                f"{problem}"
            )
        if warnings:
            raise UserError(
                f"none of the checkpoints in {self.folder} can be read: "
                f"{'; '.join(warnings)}. Start with an empty --run_dir."
            )
        return 0, []

    def restore(self, step: int) -> None:
        """Restores the checkpoint of `step`, which the owner has found to be good.

        Raises:
          UserError: it cannot be read here, or belongs to other networks.
        """
        path = self.folder / _name(step)
        problem = _damage(path, every_byte=True) or self._read(path)
        if problem:
            raise UserError(
                f"every worker must see the run folder of the first one. Received: "
                f"{path}, which cannot be read here ({problem})."
            )

    def _read(self, path: Path) -> str:
        manifest = _manifest(path)
        stored, present = manifest["variables"], _describe(self._state)
        if stored != present:
            raise UserError(
                f"checkpoint {path} does not fit the networks of this run: "
                f"{_first_difference(stored, present)}. "
                "Start with an empty --run_dir, or with the code that wrote it."
            )
        try:
            self._checkpoint.read(str(path / _PREFIX)).assert_consumed()
        except tf.errors.ResourceExhaustedError:
            raise  # memory
        except (tf.errors.OpError, ValueError, AssertionError) as error:
            if _has_checksums(manifest):  # every byte is as it was written
                raise
            return str(error).partition("\n")[0]
        return ""

    def _set_aside(self, path: Path) -> Path:
        aside, number = self.folder / f"damaged_{path.name}", 1
        while os.path.lexists(aside):  # the same step, an earlier time
            number += 1
            aside = self.folder / f"damaged_{path.name}_{number}"
        path.rename(aside)
        return aside


def complete_steps(folder: Path) -> list[int]:
    """Returns the steps of the complete checkpoints in `folder`, rising.

    By the sizes of their files; `restore_latest` looks at every byte.
    """
    return [step for step in _steps(folder) if not _damage(folder / _name(step))]


def _name(step: int) -> str:
    return f"step_{step:08d}"


def _steps(folder: Path) -> list[int]:
    """The steps of everything in `folder` that is named as a checkpoint, rising."""
    if not folder.is_dir():
        return []
    found = ((path.name, _NAME.match(path.name)) for path in folder.iterdir())
    steps = ((name, int(match[1])) for name, match in found if match)
    return sorted(step for name, step in steps if name == _name(step))


def _identity(file: Path) -> dict[str, Any]:
    with open(file, "rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return {"bytes": file.stat().st_size, "sha256": digest}


def _manifest(path: Path) -> dict[str, Any]:
    """Returns what a checkpoint says of itself, its types being right.

    Raises:
      UserError: there is no such file, or it is not as `save` writes it.
    """
    stored = read_json(path / _MANIFEST)
    files = stored.get("files") if isinstance(stored, dict) else None
    groups = stored.get("variables") if isinstance(stored, dict) else None
    if not (
        isinstance(files, dict)
        and files
        and all(Path(name).name == name for name in files)
        and all(_is_identity(one) for one in files.values())
        and isinstance(groups, dict)
        and all(isinstance(group, list) for group in groups.values())
        and all(isinstance(x, str) for group in groups.values() for x in group)
        and isinstance(stored.get("step"), int)
        and _name(stored["step"]) == path.name
        and (not _has_checksums(stored) or _sealed(stored) == stored)
    ):
        raise UserError("it is not as it was written")
    return stored


def _sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    content = {name: x for name, x in manifest.items() if name != _SEAL}
    text = json.dumps(content, sort_keys=True)
    return {**content, _SEAL: hashlib.sha256(text.encode()).hexdigest()}


def _is_identity(one: Any) -> bool:
    if isinstance(one, dict):
        return isinstance(one.get("bytes"), int) and isinstance(one.get("sha256"), str)
    return isinstance(one, int)  # the size alone, as version 0.1.0 wrote it


def _has_checksums(manifest: Mapping[str, Any]) -> bool:
    return all(isinstance(one, dict) for one in manifest["files"].values())


def _damage(path: Path, *, every_byte: bool = False) -> str:
    """Returns why the checkpoint folder is not complete, or ""."""
    try:
        files = _manifest(path)["files"]
    except UserError as error:
        return f"no usable {_MANIFEST} ({error})"
    for name, known in files.items():
        file = path / name
        size = known["bytes"] if isinstance(known, dict) else known
        present = file.stat().st_size if file.is_file() else None
        if present != size:
            return f"{name} has {present} bytes instead of {size}"
        if every_byte and isinstance(known, dict) and _identity(file) != known:
            return f"{name} was altered (SHA-256)"
    return ""


def _variables_of(owner: Any) -> list[tf.Variable]:
    if isinstance(owner, tf.Variable):
        return [owner]
    if isinstance(owner, keras.Variable):
        return [owner.value]
    return [
        v.value if isinstance(v, keras.Variable) else v
        for v in owner.variables  # Keras layers and optimizers, tf.Module
    ]


def _describe(state: Mapping[str, Sequence[tf.Variable]]) -> dict[str, list[str]]:
    return {
        name: [f"{v.dtype.name}{v.shape.as_list()}" for v in group]
        for name, group in state.items()
    }


def _first_difference(
    stored: Mapping[str, list[str]], present: Mapping[str, list[str]]
) -> str:
    for name in sorted({*stored, *present}):
        old, new = stored.get(name), present.get(name)
        if old is None or new is None:
            return f"{name} is only in the {'run' if old is None else 'checkpoint'}"
        if len(old) != len(new):
            return f"{name} has {len(old)} variables there, {len(new)} here"
        for index, (a, b) in enumerate(zip(old, new, strict=True)):
            if a != b:
                return f"{name}, variable {index}, is {a} there, {b} here"
    return "no difference"
