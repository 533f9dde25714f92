"""`Run`: the reader of a run folder, and the folder's layout.

config.json flags.txt env.json   what was asked for, on which software and machine
data.json                        the photographs when it began: name -> bytes and hash
log.txt metrics.jsonl            what was printed; every logged number
tensorboard/ previews/           scalars and pictures; the same pictures as PNG
diverged/                        batches of steps at which training went wrong
checkpoints/ bundles/<name>/     to go on; to use
report.html                      what was learned, for people (reporting/)
exported/                        the network as an ONNX file, once somebody upscales
                                 with the run (export/quick.py)
estimate/ refine/                what was measured of the source before training; a run
                                 of its own that refined it, with decision.json, which
                                 of the two was kept (source_first/)
lock                             held by the process that trains here
log_worker1.txt ...              of the other workers, when there are several

`training/run_folder.py` writes it. Bundles are named after the network, with `_ema` for
averaged weights; `sr` is the one that the run ships: what it validates, and what
evaluate, report and export open. A learned degradation is `degradation`, in runs of
PDM-SR `pdm`: either is found by the name DEGRADATION. No TensorFlow is loaded here, and
settings are read as they were written, not as this version's flags, so runs of any
version can be looked at.
"""

import fcntl
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pdm_tf.core.errors import UserError
from pdm_tf.core.files import is_hidden_name, remove_leftovers
from pdm_tf.core.stored import parse_json, read_json, why_not

SETTINGS = "config.json"
FLAGS = "flags.txt"
ENVIRONMENT = "env.json"
DATA = "data.json"
LOG = "log.txt"
METRICS = "metrics.jsonl"
REPORT = "report.html"
EXPORTED = "exported"
TENSORBOARD = "tensorboard"
PREVIEWS = "previews"
DIVERGED = "diverged"
CHECKPOINTS = "checkpoints"
BUNDLES = "bundles"
LOCK = "lock"
ESTIMATE = "estimate"
REFINEMENT = "refine"
DECISION = "decision.json"
# In every bundle, wherever it lies.
BUNDLE_INDEX = "bundle.json"
_BUNDLE_WEIGHTS = re.compile(r"[0-9a-f]{12}\.keras")  # beside it, and written first

SHIPPED = "sr"
DEGRADATION = "degradation"
# What else a network is called in the folders of some methods.
_OTHER_NAMES = {DEGRADATION: ("pdm",)}


class Run:
    """A run folder, to be read; nothing is read before it is asked for.

    Attributes:
      root: the folder.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    @property
    def name(self) -> str:
        """The run's usual name: that of the folder."""
        return self.root.resolve().name

    @property
    def is_started(self) -> bool:
        """Whether the folder looks like that of a run, with bundles or without yet."""
        places = (BUNDLES, CHECKPOINTS, SETTINGS)
        return any((self.root / place).exists() for place in places)

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """config.json; empty where there is none."""
        return self._json(SETTINGS)

    @cached_property
    def environment(self) -> Mapping[str, Any]:
        """env.json, of the last start; empty where there is none."""
        return self._json(ENVIRONMENT)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The records of metrics.jsonl, {"step": n, name: number, ...}."""
        return read_metrics(self.root / METRICS)

    @property
    def ending(self) -> Mapping[str, Any] | None:
        """The record with which it finished, its last; None while it goes on."""
        records = self.metrics
        return records[-1] if records and records[-1].get("finished") else None

    @property
    def report(self) -> Path:
        """Path of its report.html, which may not exist."""
        return self.root / REPORT

    @property
    def exported(self) -> Path:
        """Folder of the ONNX file of these weights, which may not exist."""
        return self.root / EXPORTED

    @property
    def estimate(self) -> Path:
        """Folder of what was measured of the source, which may not exist."""
        return self.root / ESTIMATE

    @property
    def refinement(self) -> "Run":
        """The run that refined the estimate, which may not exist."""
        return Run(self.root / REFINEMENT)

    @property
    def decision(self) -> Path:
        """Which of the two was kept: path of a JSON file, which may not exist."""
        return self.root / REFINEMENT / DECISION

    @property
    def checkpoint_steps(self) -> list[int]:
        """Steps of the checkpoints that are there, rising."""
        names = (path.name for path in self.root.glob(f"{CHECKPOINTS}/step_*"))
        return sorted(int(name.removeprefix("step_")) for name in names)

    @property
    def is_locked(self) -> bool:
        """Whether a process trains here."""
        path = self.root / LOCK
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @property
    def bundles(self) -> tuple[str, ...]:
        """Names of its bundles."""
        found = self.root.glob(f"{BUNDLES}/*/{BUNDLE_INDEX}")
        return tuple(sorted(path.parent.name for path in found))

    def folder(self, setting: str) -> str:
        """A folder that a setting names, if it is still there, else "".

        A relative path means what it meant where the run was started, and only if that
        is gone, what it means here.
        """
        place = self.settings.get(setting) or ""
        if not place:
            return ""
        started = self.environment.get("folders", {}).get(setting, place)
        if Path(started).exists():
            here = os.path.realpath(place) == os.path.realpath(started)
            return place if here else started
        return place if Path(place).exists() else ""

    def find(self, name: str, weights: str = "ema") -> Path | None:
        """The folder of a network's bundle, or None.

        Args:
          name: of the network, e.g. "sr".
          weights: "ema" for averaged weights, or the last ones where the network has no
            average; "raw" for the last.
        """
        endings = ("_ema", "") if weights == "ema" else ("",)
        return self._first(
            f"{one}{ending}" for one in _names(name) for ending in endings
        )

    def bundle(self, name: str = SHIPPED, weights: str = "ema") -> Path:
        """The folder of a network's bundle with just these weights.

        Args:
          name: of the network.
          weights: "ema" or "raw".

        Raises:
          UserError: there is none; the message says what is there.
        """
        ending = "_ema" if weights == "ema" else ""
        wanted = [f"{one}{ending}" for one in _names(name)]
        if found := self._first(wanted):
            return found
        places = (f"{BUNDLES}/{one}/{BUNDLE_INDEX}" for one in wanted)
        there = (
            f"It has the bundles {', '.join(self.bundles)}."
            if self.bundles
            else "It has no bundles yet; a run writes them when it first saves."
        )
        raise UserError(
            f"A run folder must hold {' or '.join(places)}, or be a bundle itself. "
            f"Received: {self.root}. {there}"
        )

    def _first(self, names: Iterable[str]) -> Path | None:
        """The folder of the first of these bundles that is there."""
        there = (name for name in names if name in self.bundles)
        return next((self.root / BUNDLES / name for name in there), None)

    def index(self, name: str) -> Mapping[str, Any]:
        """bundle.json of a bundle by its whole name, e.g. "sr_ema".

        Raises:
          UserError: there is none.
        """
        return read_json(self.root / BUNDLES / name / BUNDLE_INDEX)

    def _json(self, name: str) -> Mapping[str, Any]:
        path = self.root / name
        return read_json(path) if path.is_file() else {}


def _names(name: str) -> tuple[str, ...]:
    return (name, *_OTHER_NAMES.get(name, ()))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics.jsonl; empty when there is no file."""
    return [record for _, record in metric_lines(path)] if path.exists() else []


def metric_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The whole lines of a metrics.jsonl, each with the record that it is.

    Others are left out: the last one may be torn by a kill, and its steps are done
    again; one before it is damaged, which costs the numbers of that step.
    """
    with open(path, "rb") as file:
        for line in file:
            try:
                record = parse_json(line)
                text = line.decode("utf-8")
            except ValueError:
                continue
            whole = text.endswith("\n") and not why_not(record, {"step": int})
            if whole:
                yield text, record


def is_bundle(location: Path | str) -> bool:
    """Whether the folder is a bundle itself."""
    return (Path(location) / BUNDLE_INDEX).is_file()


def run_around(bundle: Path | str) -> Run | None:
    """The run in whose folder a bundle lies, if it lies in one."""
    parents = Path(bundle).resolve().parents
    is_inside = len(parents) > 1 and parents[0].name == BUNDLES
    return Run(parents[1]) if is_inside and (parents[1] / SETTINGS).is_file() else None


def find_bundle(
    location: Path | str, name: str = SHIPPED, weights: str = "ema"
) -> Path:
    """The bundle meant by a run folder or by a bundle's own folder.

    Args:
      location: either.
      name: which network of a run.
      weights: of a run, "ema" for the averaged weights or "raw".

    Raises:
      UserError: there is none; the message says what was looked for and what is there.
    """
    if is_bundle(location):
        return Path(location)
    if not Path(location).is_dir():
        raise UserError(f"A run folder or bundle must exist. Received: {location}.")
    return Run(location).bundle(name, weights)


def source_name(bundle: Path) -> str:
    """A bundle's usual name: "run/sr_ema" in a run folder, else its folder."""
    place = bundle.resolve()
    if place.parent.name != BUNDLES:
        return place.name
    return f"{place.parent.parent.name}/{place.name}"


def check_bundle_output(output: str | os.PathLike[str], overwrite: bool) -> Path:
    """Returns the folder for a bundle: new, empty, or a bundle to be replaced.

    What a program that was killed has written of a bundle counts as empty.

    Args:
      output: as given by --output.
      overwrite: whether a bundle there may be replaced.

    Raises:
      UserError: a file, a folder with other files, or a bundle that must stay.
    """
    output = Path(output)
    if output.exists() and not output.is_dir():
        raise UserError(f"--output must be a folder. Received: the file {output}.")
    if is_bundle(output) and not overwrite:
        raise UserError(
            f"--output must be new. Received: {output}, which holds a bundle. "
            "--overwrite replaces it."
        )
    remove_leftovers(output)
    if not is_bundle(output) and output.is_dir() and not _is_unfinished(output):
        raise UserError(
            f"--output must be new, empty or a bundle. Received: {output}, which holds "
            "other files."
        )
    return output


def _is_unfinished(folder: Path) -> bool:
    """Whether a folder is empty, or holds the parts of a bundle without its index."""
    return all(
        is_hidden_name(path.name) or _BUNDLE_WEIGHTS.fullmatch(path.name)
        for path in folder.iterdir()
    )
