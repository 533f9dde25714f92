"""Checkpoints: everything needed to go on as if nothing had happened.

One checkpoint is one folder `step_00001000/`: a TensorFlow checkpoint of all variables
and `manifest.json` (step, the shapes of the variables, the sizes of the files). The
folder is filled under a hidden name, flushed to disk, and then renamed, so that a run
killed at any moment leaves complete checkpoints and perhaps a hidden leftover, which is
removed at the next start. (`tf.train.CheckpointManager` keeps the same promise by a
state file that names the newest one; a rename needs no such file, and separates
complete folders from incomplete ones.)

The variables are stored as flat lists, by group and position: `networks.sr/17`. The
names that Keras gives to variables depend on what else was built in the process, and
the object graph on how a class spells its attributes; neither belongs in a file that
must be read by the next version.
"""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.core.files import read_json, write_json_atomic
from pdm_tf.training.ema import EMA

if TYPE_CHECKING:
    from pdm_tf.methods.base import Method

_NAME = re.compile(r"^step_(\d{8,})$")
_MANIFEST = "manifest.json"
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
        for leftover in folder.glob(".step_*"):
            shutil.rmtree(leftover)

    def save(self, step: int) -> Path:
        """Writes the present state as that after `step` steps; drops the oldest.

        Raises:
          OSError, tf.errors.OpError: it could not be written; older ones are intact.
        """
        final = self.folder / f"step_{step:08d}"
        if step in complete_steps(self.folder):
            return final
        hidden = self.folder / f".{final.name}"
        shutil.rmtree(hidden, ignore_errors=True)
        hidden.mkdir()
        try:
            self._checkpoint.write(str(hidden / _PREFIX))
            files = sorted(hidden.iterdir())
            manifest = {
                "step": step,
                "files": {file.name: file.stat().st_size for file in files},
                "variables": _describe(self._state),
            }
            write_json_atomic(hidden / _MANIFEST, manifest)
            for path in (*files, hidden):
                _sync(path)
            if final.exists():  # incomplete, or `complete_steps` would have named it
                shutil.rmtree(final)
            os.rename(hidden, final)
            _sync(self.folder)
        finally:
            shutil.rmtree(hidden, ignore_errors=True)
        for old in complete_steps(self.folder)[: -self._keep]:
            shutil.rmtree(self.folder / f"step_{old:08d}")
        return final

    def restore_latest(self) -> tuple[int, list[str]]:
        """Restores the newest checkpoint that can be read.

        A damaged one (a file cut short or altered) is set aside as `damaged_*`, and the
        one before it is taken.

        Returns:
          The steps taken, 0 when there is no checkpoint; and a line for each damaged
          one.

        Raises:
          UserError: there are checkpoints but none can be read, or they belong to other
            networks.
        """
        warnings = []
        names = [p.name for p in self.folder.iterdir() if _NAME.match(p.name)]
        for name in sorted(names, reverse=True):
            path = self.folder / name
            problem = _damage(path) or self._read(path)
            if not problem:
                return int(_NAME.match(name)[1]), warnings
            path.rename(self.folder / f"damaged_{name}")
            warnings.append(f"checkpoint {name} is damaged and set aside: {problem}")
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
        path = self.folder / f"step_{step:08d}"
        problem = _damage(path) or self._read(path)
        if problem:
            raise UserError(
                f"every worker must see the run folder of the first one. Received: "
                f"{path}, which cannot be read here ({problem})."
            )

    def _read(self, path: Path) -> str:
        manifest = read_json(path / _MANIFEST)
        stored, present = manifest["variables"], _describe(self._state)
        if stored != present:
            raise UserError(
                f"checkpoint {path} does not fit the networks of this run: "
                f"{_first_difference(stored, present)}. "
                "Start with an empty --run_dir, or with the code that wrote it."
            )
        try:
            self._checkpoint.read(str(path / _PREFIX)).assert_consumed()
        except (tf.errors.DataLossError, tf.errors.OutOfRangeError) as error:
            return error.message.splitlines()[0]
        return ""


def complete_steps(folder: Path) -> list[int]:
    """Returns the steps of the complete checkpoints in `folder`, rising."""
    if not folder.is_dir():
        return []
    found = ((path, _NAME.match(path.name)) for path in folder.iterdir())
    return sorted(int(match[1]) for path, match in found if match and not _damage(path))


def _damage(path: Path) -> str:
    """Returns why the checkpoint folder is not complete, or ""."""
    try:
        files = read_json(path / _MANIFEST)["files"]
    except (UserError, KeyError, TypeError) as error:
        return f"no usable {_MANIFEST} ({error})"
    for name, size in files.items():
        file = path / name
        present = file.stat().st_size if file.is_file() else None
        if present != size:
            return f"{name} has {present} bytes instead of {size}"
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


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
