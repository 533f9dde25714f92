"""The runs of a study: every method on every data set with every seed.

A method is a flag file of `pdm_tf.train` that leaves open what the study decides:

    --hr_dir={hr_dir}                  a key of the data set
    --degradation_arg=kernels={kernel_pool}
    --flagfile=pdm_sr_{dataset}.flags  its name
    --init_sr={run:edsr}               the run of another method: same data, same seed

A stage is a method that is no row: others start from its run.

A run's folder is called METHOD@DATASET@sSEED. Where all data sets give a method the
same flags, as for one that degrades clean photographs by itself, the run is one for
all, METHOD@sSEED; with a single data set, where it takes nothing of it but {hr_dir}.

No TensorFlow is loaded: `checking.py` builds the methods.
"""

import dataclasses
import fnmatch
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from pdm_tf.cli.flag_set import ProgramSpec, expand, parse
from pdm_tf.core.checks import suggest
from pdm_tf.core.errors import UserError
from pdm_tf.train_config import TrainConfig

RUNS = "runs"
# Keys of a data set that the study itself reads; flag files may refer to any.
EVALUATED_ON = ("val_hr_dir", "val_lr_dir")
MEASURED_WITH = ("true_kernels", "pair_kernels", "real_lr")

_TRAIN = ProgramSpec("pdm_tf.train", TrainConfig, intro="", examples=())
_OPEN = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[\w+-][\w.+-]*")


class Fault(NamedTuple):
    """A reason why a study cannot work.

    Attributes:
      who: the run, method or flag.
      why: the rule, and what was received.
    """

    who: str
    why: str

    def __str__(self) -> str:
        return f"{self.who}: {self.why}"


@dataclasses.dataclass(frozen=True)
class StudyRun:
    """One training run.

    Attributes:
      name: of its folder.
      method: row of the table.
      datasets: names of those whose tables it belongs to; it is trained on the first.
      seed: of the run.
      flags: of `pdm_tf.train`, in order, whole.
      config: the same, parsed.
      after: names of the runs that it starts from.
    """

    name: str
    method: str
    datasets: tuple[str, ...]
    seed: int
    flags: tuple[str, ...]
    config: TrainConfig
    after: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.config.run_dir)

    def evaluation(self, dataset: str) -> str:
        """Name of the folder of its evaluation on a data set."""
        return f"{self.method}@{dataset}@s{self.seed}"


@dataclasses.dataclass(frozen=True)
class Request:
    """What a study compares, as its flags say it.

    Attributes:
      datasets: name -> key -> value.
      methods: name -> flag file, in the order of the rows.
      stages: likewise, of runs that others start from and that are no rows.
      seeds: each method is trained with all of them.
      steps: of every run; 0: as the flag files say.
      folder: of the study.
    """

    datasets: Mapping[str, Mapping[str, str]]
    methods: Mapping[str, str]
    stages: Mapping[str, str]
    seeds: tuple[int, ...]
    steps: int
    folder: Path

    @property
    def flag_files(self) -> dict[str, str]:
        """Name -> flag file, of methods and stages."""
        return {**self.methods, **self.stages}


@dataclasses.dataclass(frozen=True)
class Plan:
    """The runs of a study, each after those that it starts from.

    Attributes:
      request: what they are made of.
      runs: all that could be planned.
      faults: why others could not.
    """

    request: Request
    runs: tuple[StudyRun, ...]
    faults: tuple[Fault, ...]

    @cached_property
    def by_name(self) -> dict[str, StudyRun]:
        """Name -> run."""
        return {run.name: run for run in self.runs}

    def row(self, method: str, dataset: str) -> list[StudyRun]:
        """The runs of a method on a data set, by seed."""
        return [r for r in self.runs if r.method == method and dataset in r.datasets]

    def chosen(self, patterns: Sequence[str]) -> tuple[StudyRun, ...]:
        """The runs whose names match, and those that they start from.

        Args:
          patterns: as shells have them, e.g. "*@blur@s0"; none: all runs.

        Raises:
          UserError: a pattern that matches no run.
        """
        wanted: set[str] = set()
        for pattern in patterns:
            found = fnmatch.filter(self.by_name, pattern)
            if not found:
                raise UserError(
                    "--only must match names of runs, as --list prints them. "
                    f"Received: {pattern!r}.{suggest(pattern, self.by_name)}"
                )
            wanted.update(found)
        for run in reversed(self.runs):  # each comes after those that it starts from
            if run.name in wanted:
                wanted.update(run.after)
        return tuple(r for r in self.runs if not patterns or r.name in wanted)


def read_datasets(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """Name -> key -> value, of values written NAME.KEY=VALUE; later ones win.

    Raises:
      UserError: a value that is written in another way.
    """
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        place, separator, value = text.partition("=")
        name, dot, key = place.strip().partition(".")
        if not (separator and dot and _NAME.fullmatch(name) and key.isidentifier()):
            raise UserError(
                f"--dataset is written NAME.KEY=VALUE, e.g. blur.hr_dir=data/hr. "
                f"Received: {text!r}."
            )
        found.setdefault(name, {})[key] = value.strip()
    return found


def read_methods(texts: Sequence[str], flag: str = "--method") -> dict[str, str]:
    """Name -> flag file, in order, of values of `flag`, written NAME=FLAGFILE.

    Raises:
      UserError: a value that is written in another way, or two of one name.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, separator, path = (part.strip() for part in text.partition("="))
        if not (separator and path and _NAME.fullmatch(name)):
            raise UserError(
                f"{flag} is written NAME=FLAGFILE, the name of letters, digits and "
                f"_ . + -. Received: {text!r}."
            )
        if name in found:
            raise UserError(
                f"{flag} must give every row a name of its own. Received: "
                f"{name}={found[name]} and {name}={path}."
            )
        found[name] = path
    return found


def make_plan(request: Request) -> Plan:
    """Plans the runs; what cannot be planned becomes a fault."""
    return _Planner(request).plan()


class _Resolved(NamedTuple):
    """What a method's flag file says on one data set.

    Attributes:
      flags: whole, but for runs that are referred to: {STEM}, a name without seed.
      keys: of the data set, those that are referred to.
      after: methods whose runs are.
    """

    flags: tuple[str, ...]
    keys: frozenset[str]
    after: tuple[str, ...]


class _Planner:
    """Resolves flag files, once for each method and data set."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._resolved: dict[tuple[str, str], _Resolved | UserError] = {}
        self._resolving: list[str] = []  # methods, outermost first
        self._runs: dict[str, StudyRun] = {}
        self._faults: dict[Fault, None] = {}

    def plan(self) -> Plan:
        """Makes the runs, those first that others start from, and seed by seed.

        So that there soon is a whole table of the first.
        """
        for seed in self._request.seeds:
            for dataset in self._request.datasets:
                for method in self._request.methods:
                    self._add(method, dataset, seed)
        planned = {run.method for run in self._runs.values()}
        for stage in self._request.stages:
            if stage not in planned and not self._faults:
                why = f"no method starts from it, as {{run:{stage}}} in a flag file"
                self._faults[Fault(f"--stage={stage}", why)] = None
        rows = [r for r in self._runs.values() if r.method in self._request.methods]
        scales = {run.method: run.config.scale for run in rows}
        if len(set(scales.values())) > 1:
            found = ", ".join(f"{method} x{scale}" for method, scale in scales.items())
            why = f"all methods must have one scale. Received: {found}."
            self._faults[Fault("--scale", why)] = None
        runs, faults = tuple(self._runs.values()), tuple(self._faults)
        return Plan(self._request, runs, faults)

    def _add(self, method: str, dataset: str, seed: int) -> None:
        """Adds the run of a method on a data set, after those it starts from."""
        try:
            resolved = self._resolve(method, dataset)
        except UserError as error:
            self._faults[Fault(f"{method} on {dataset}", str(error))] = None
            return
        for other in resolved.after:
            self._add(other, dataset, seed)
        run = self._run(method, dataset, seed)
        self._runs.setdefault(run.name, run)

    def _run(self, method: str, dataset: str, seed: int) -> StudyRun:
        stem = self._stem(method, dataset)
        name = f"{stem}@s{seed}"
        # Of a run that several data sets share, the first decides how it is written.
        sharing = [d for d in self._request.datasets if self._stem(method, d) == stem]
        resolved = self._resolve(method, sharing[0])
        flags = [
            *(
                _OPEN.sub(lambda it: self._folder(it[1], seed), f)
                for f in resolved.flags
            ),
            *([f"--steps={self._request.steps}"] if self._request.steps else []),
            f"--seed={seed}",
            f"--run_dir={self._request.folder / RUNS / name}",
        ]
        after = [f"{self._stem(m, dataset)}@s{seed}" for m in resolved.after]
        config = parse(_TRAIN, flags)
        return StudyRun(
            name, method, tuple(sharing), seed, tuple(flags), config, tuple(after)
        )

    def _folder(self, stem: str, seed: int) -> str:
        return str(self._request.folder / RUNS / f"{stem}@s{seed}")

    def _stem(self, method: str, dataset: str) -> str:
        """The name of a method's run on a data set, without the seed."""
        names = list(self._request.datasets)
        equal = [name for name in names if self._equal(method, name, dataset)]
        shared = len(equal) == len(names)
        if len(names) == 1:
            resolved = self._resolve(method, dataset)
            shared = resolved.keys <= {"hr_dir"} and all(
                "@" not in self._stem(other, dataset) for other in resolved.after
            )
        return method if shared else f"{method}@{equal[0]}"

    def _equal(self, method: str, one: str, other: str) -> bool:
        if one == other:
            return True
        try:
            found = [self._resolve(method, name).flags for name in (one, other)]
        except UserError:
            return False
        return found[0] == found[1]

    def _resolve(self, method: str, dataset: str) -> _Resolved:
        """Reads a method's flag file for a data set.

        Raises:
          UserError: a flag file, a reference or a flag that cannot be.
        """
        known = self._resolved.get((method, dataset))
        if known is None:
            if method in self._resolving:
                circle = [*self._resolving[self._resolving.index(method) :], method]
                raise UserError(
                    "Methods must not start from each other in a circle. Received: "
                    f"{' from '.join(circle)}."
                )
            self._resolving.append(method)
            try:
                known = self._read(method, dataset)
            except UserError as error:
                known = error
            finally:
                self._resolving.pop()
            self._resolved[method, dataset] = known
        if isinstance(known, UserError):
            raise known
        return known

    def _require(self, other: str, dataset: str) -> None:
        """Raises UserError unless a method that another starts from can be planned."""
        try:
            self._resolve(other, dataset)
        except UserError as error:
            if other in self._resolving:
                raise  # a circle
            raise UserError(
                f"it starts from {other}, which has a fault of its own."
            ) from error

    def _read(self, method: str, dataset: str) -> _Resolved:
        request = self._request
        values = {**request.datasets[dataset], "dataset": dataset}
        keys: set[str] = set()
        after: dict[str, None] = {}

        def value_of(word: str, where: str) -> str:
            kind, colon, other = word.partition(":")
            if colon and kind == "run":
                if other not in request.flag_files:
                    raise UserError(
                        "{run:NAME} must name a method or a stage of the study "
                        f"({where}). Received: {{{word}}}."
                        f"{suggest(other, request.flag_files)}"
                    )
                self._require(other, dataset)
                after[other] = None
                return f"{{{self._stem(other, dataset)}}}"
            if word not in values:
                raise UserError(
                    f"{{KEY}} must be a key that --dataset gives {dataset} ({where}). "
                    f"Received: {{{word}}}.{suggest(word, values)}"
                )
            keys.add(word)
            return values[word]

        def fill(text: str, where: str) -> str:
            return _OPEN.sub(lambda found: value_of(found[1], where), text)

        path = fill(f"--flagfile={request.flag_files[method]}", f"--method={method}")
        arguments = expand([path], fill)
        for argument in arguments:
            if argument.text.partition("=")[0].lstrip("-") == "seed":
                raise UserError(
                    "--seed is decided by --seeds of the study. Received: "
                    f"{argument.text} ({argument.origin})."
                )
        # For the place of a wrong flag in its message: once more, from the files.
        parse(_TRAIN, [path, "--run_dir=of the study"], fill)
        return _Resolved(
            tuple(argument.text for argument in arguments),
            frozenset(keys),
            tuple(after),
        )
