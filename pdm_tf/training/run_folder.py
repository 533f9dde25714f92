"""The folder of a run as training writes it: lock, settings, numbers, events.

Its layout is described in `pdm_tf/run.py`, which reads it. `RunFolder` says who may
write and who may go on.

metrics.jsonl has one JSON object per line, {"step": n, "time": ..., name: number, ...},
n counting the steps taken. A number that is not finite is written as null, since JSON
has no word for it. When a run is resumed, lines that a killed predecessor wrote past
the restored step are cut off, so that no step appears twice.

TensorBoard's event files are written by tensorboardX. `tf.summary.scalar` and `.image`
need the package tensorboard since it is no longer a part of TensorFlow (2.21), and a
run should not need a viewer to be trained; nor do they make TensorBoard forget the
steps that a killed run took past the one it goes on from. Trackers that follow
tensorboardX (Weights & Biases does) see a run without more code.
"""

import contextlib
import datetime
import fcntl
import functools
import importlib.metadata
import json
import logging
import math
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

import pdm_tf
from pdm_tf import run
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import (
    made_folder,
    remove_leftovers,
    write_json_atomic,
    write_text_atomic,
)
from pdm_tf.core.memory import allowed_cpus
from pdm_tf.core.quiet import as_if_not_installed
from pdm_tf.core.stored import read_json
from pdm_tf.run import metric_lines
from pdm_tf.training.checkpoint import complete_steps
from pdm_tf.training.outlook import gpu_names

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter


# Maps the settings of an earlier start, as in config.json, to name -> (old, new) of
# those that now mean something else.
Changes = Callable[[dict[str, Any]], Mapping[str, tuple[Any, Any]]]

_PACKAGES = ("tensorflow", "keras", "numpy", "pillow", "absl-py", "tqdm")
# What a start writes before it is known whether it can work.
_REQUEST = (run.SETTINGS, run.FLAGS, run.ENVIRONMENT, run.DATA, run.LOG, run.LOCK)
_KEPT = "Checkpoints and networks are not affected."
_FLUSH_S = 1  # a thread writes events; the last second of a killed run is lost


class RunFolder:
    """A run folder, locked for this process. Use it as a context manager.

    Attributes:
      is_chief: whether this process writes the run; others write only their log.
      root, log_path, metrics_path, tensorboard, checkpoints, bundles, previews: paths.
      start_step: step of the newest complete checkpoint when it was opened, else 0.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        settings: Mapping[str, Any],
        flags_text: str,
        changes: Changes,
        worker: int = 0,
    ) -> None:
        """Makes or opens the folder and records settings, flags and environment.

        Args:
          root: the folder.
          settings: of the run, for config.json.
          flags_text: the same as a flag file, for flags.txt.
          changes: finds what may not change when a run with checkpoints goes on.
          worker: number of this process; those after the first, 0, write nothing but
            their log.

        Raises:
          UserError: another process trains in it, it cannot be written, or it has
            checkpoints of a run whose settings meant something else.
        """
        self.root = Path(root)
        self.is_chief = worker == 0
        self.log_path = self.root / run.LOG
        self.metrics_path = self.root / run.METRICS
        self.tensorboard = self.root / run.TENSORBOARD
        self.checkpoints = self.root / run.CHECKPOINTS
        self.bundles = self.root / run.BUNDLES
        self.previews = self.root / run.PREVIEWS
        lock = run.LOCK if worker == 0 else f"{run.LOCK}_worker{worker}"
        if worker:
            self.log_path = self.root / f"log_worker{worker}.txt"
        above = (self.root, *self.root.parents)
        self._new = [folder for folder in above if not folder.exists()]
        made_folder(self.root, "--run_dir")
        self._lock = open(self.root / lock, "a+")  # noqa: SIM115 - held
        try:
            _take(self._lock, self.root)
            remove_leftovers(self.root, deep=True)
            done = complete_steps(self.checkpoints)
            self.start_step = done[-1] if done else 0
            if self.start_step and worker == 0:
                _check_same_run(self.root, changes, self.start_step)
            self._log = open(  # noqa: SIM115
                self.log_path, "a", encoding="utf-8", errors="backslashreplace"
            )
        except BaseException:
            self._lock.close()
            raise
        self._handler = logging.Handler(logging.WARNING)
        self._handler.emit = lambda record: self._warn(record.getMessage())
        logging.getLogger("pdm_tf").addHandler(self._handler)
        if worker:
            return
        write_json_atomic(self.root / run.SETTINGS, dict(settings))
        write_text_atomic(self.root / run.FLAGS, flags_text)
        folders = {
            name: str(Path(place).absolute())
            for name, place in settings.items()
            if name.endswith("_dir") and place
        }
        _record_environment(self.root / run.ENVIRONMENT, self.start_step, folders)

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        self.close()
        if kind is not None and issubclass(kind, UserError):
            self._leave_nothing()

    def _leave_nothing(self) -> None:
        """Removes a new folder in which a refused start has written but its request."""
        if not self._new or any(
            path.name not in _REQUEST for path in self.root.iterdir()
        ):
            return
        for name in _REQUEST:
            (self.root / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody else has put something there
            for folder in self._new:
                folder.rmdir()

    def close(self) -> None:
        """Releases the lock."""
        logging.getLogger("pdm_tf").removeHandler(self._handler)
        self._log.close()
        self._lock.close()

    def is_finished(self, steps: int) -> bool:
        """Whether the run has nothing left to do for `steps` steps."""
        if self.start_step < steps:
            return False
        records = run.read_metrics(self.metrics_path)
        return any(r["step"] == self.start_step and r.get("finished") for r in records)

    def _warn(self, line: str) -> None:
        """Takes the warnings of our loggers, from any thread."""
        print(line, file=sys.stderr, flush=True)
        self.log(line)

    def log(self, line: str) -> None:
        """Appends a line, with the time, to log.txt."""
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        self._log.write(f"{now} {line}\n")
        self._log.flush()


def _take(lock: IO[str], root: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        raise UserError(
            f"another process ({holder}) is training in --run_dir={root}. "
            "Wait for it, stop it, or choose another folder."
        ) from error
    lock.seek(0)
    lock.truncate()
    lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    lock.flush()


def _check_same_run(root: Path, changes: Changes, step: int) -> None:
    remedy = f"Restore it from a copy, or start anew in another --run_dir. {_KEPT}"
    changed = read_json(root / run.SETTINGS, make=changes, remedy=remedy)
    if not changed:
        return
    lines = [
        f"  --{name}: it was {_shown(old)}, now {_shown(new)}"
        for name, (old, new) in changed.items()
    ]
    raise UserError(
        f"--run_dir={root} holds a run at step {step} with other settings:\n"
        + "\n".join(lines)
        + "\nTo go on, give the old values (they are in flags.txt there). To train "
        "with the new ones, choose another --run_dir; "
        f"--init_sr={root} starts from its network."
    )


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value) or "not given"
    return "not given" if value == "" else str(value)


def _record_environment(
    path: Path, start_step: int, folders: Mapping[str, str]
) -> None:
    """Writes this start's versions, commit and device above those of earlier ones.

    Likewise the whole paths of its folders, of which settings may have relative ones.
    """
    earlier: list[dict] = []
    if path.exists():
        last = read_json(path, {"earlier?": list}, remedy=f"Remove it. {_KEPT}")
        earlier = [*last.pop("earlier", []), last]
    write_json_atomic(
        path,
        {
            "started": datetime.datetime.now()
            .astimezone()
            .isoformat(timespec="seconds"),
            "start_step": start_step,
            "command": sys.argv,
            "folders": dict(folders),
            "commit": _commit(),
            "versions": {
                "pdm_tf": pdm_tf.__version__,
                "python": platform.python_version(),
                **{name: importlib.metadata.version(name) for name in _PACKAGES},
            },
            "device": {
                "host": socket.gethostname(),
                "system": platform.platform(),
                # The number of threads decides the order of sums, and so the last bits.
                "cpus": len(allowed_cpus()),
                "gpus": gpu_names(),
            },
            "earlier": earlier,
        },
    )


def _commit() -> str | None:
    """Returns the commit of the code, "+changes" added if any; None if unknown."""
    top = Path(pdm_tf.__file__).resolve().parent.parent
    if not (top / ".git").exists():
        return None
    try:
        commit = _git(top, "rev-parse", "HEAD")
        changes = _git(top, "status", "--porcelain", "--", "pdm_tf")
    except (OSError, subprocess.SubprocessError):  # no git here, or not a repository
        return None
    return commit + ("+changes" if changes else "")


def _git(top: Path, *args: str) -> str:
    return subprocess.run(
        ["git", "-C", str(top), *args],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    ).stdout.strip()


class MetricsFile:
    """Appends records; each is flushed to disk before `write` returns."""

    def __init__(self, path: Path, last_step: int) -> None:
        """Opens `path`, dropping records of steps beyond `last_step` and torn lines.

        Attributes:
          damaged: whole lines that were dropped because they could not be read.
        """
        self.damaged = 0
        if path.exists():
            lines = list(metric_lines(path))
            self.damaged = path.read_bytes().count(b"\n") - len(lines)
            kept = [line for line, record in lines if record["step"] <= last_step]
            write_text_atomic(path, "".join(kept))
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - held

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Appends one record; `values` are numbers, texts or booleans."""
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        record = {"step": step, "time": now}
        record.update({name: _plain(value) for name, value in values.items()})
        self._file.write(json.dumps(record, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class EventWriter:
    """Appends scalars and pictures to a new event file in a folder."""

    def __init__(self, folder: Path, last_step: int) -> None:
        """Prepares to hide steps beyond `last_step`; makes no file yet."""
        self._folder, self._last_step = folder, last_step

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes name -> number as of `step`."""
        for name, value in values.items():
            self._writer.add_scalar(name, float(value), step)

    def pictures(self, step: int, pictures: Mapping[str, np.ndarray]) -> None:
        """Writes name -> picture, uint8 [H, W, 3], as of `step`."""
        for name, picture in pictures.items():
            self._writer.add_image(name, picture, step, dataformats="HWC")

    def text(self, step: int, name: str, markdown: str) -> None:
        """Writes a text as of `step`."""
        self._writer.add_text(name, markdown, step)

    def close(self) -> None:
        """Closes the file, if anything was written."""
        if "_writer" in self.__dict__:
            self._writer.close()

    @functools.cached_property
    def _writer(self) -> "SummaryWriter":
        with as_if_not_installed("torch"):  # whose import takes two seconds
            from tensorboardX import SummaryWriter

        return SummaryWriter(
            logdir=str(self._folder),
            purge_step=self._last_step + 1,
            flush_secs=_FLUSH_S,
            # Its own name has seconds only, and a file of that name is overwritten.
            filename_suffix=f".{os.getpid()}.{time.time_ns()}",
        )


def _plain(value: Any) -> Any:
    if isinstance(value, str | bool | int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
