"""Trains, evaluates and compares several methods: `python -m pdm_tf.study --help`."""

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pdm_tf.cli import program
from pdm_tf.cli.component import from_json_dict
from pdm_tf.cli.flag_set import ProgramSpec, flag, progress_flag
from pdm_tf.core.checks import check_flags, named_paths, suggest
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import write_json_atomic, write_text_atomic
from pdm_tf.core.progress import ProgressBar
from pdm_tf.core.stored import read_json
from pdm_tf.run import DEGRADATION, Run
from pdm_tf.studies.plan import (
    EVALUATED_ON,
    MEASURED_WITH,
    Fault,
    Plan,
    Request,
    StudyRun,
    make_plan,
    read_datasets,
    read_methods,
)
from pdm_tf.studies.running import (
    Outcome,
    RunTrainer,
    faults_of_folder,
    is_finished,
    locked,
    progress_of,
    why_open,
)
from pdm_tf.studies.table import (
    REPORT,
    add_columns,
    add_missing,
    add_time,
    evaluated,
    evaluation_folder,
    facts,
    numbers_of,
)
from pdm_tf.train_config import TrainConfig
from pdm_tf.training.signals import GracefulStop, StopRequested

if TYPE_CHECKING:
    from pdm_tf.evaluate import EvaluateConfig

# What a name may not be: it would be taken for a row that comes by itself.
_BICUBIC = "bicubic"


@dataclass(frozen=True)
class StudyConfig:
    """The request to `study`; the fields are the flags.

    Raises:
      UserError: a required flag is missing, or a value is none that it takes.
    """

    dataset: tuple[str, ...] = flag(
        (),
        "NAME.KEY=VALUE: what a data set gives to flag files that say {KEY}, e.g. "
        "blur.hr_dir=data/hr; {dataset} is its name. The study itself reads "
        "val_lr_dir and val_hr_dir (pairs to evaluate on; without the latter only "
        "metrics that need no reference), true_kernels, pair_kernels and real_lr "
        "(what learned degradations are compared with, as in pdm_tf.evaluate; real_lr "
        "is lr_dir if it is not given). One table for each data set. Required.",
        section="What is compared",
        required=True,
    )
    method: tuple[str, ...] = flag(
        (),
        "NAME=FLAGFILE, once for each row of the table: a flag file of pdm_tf.train, "
        "whose --run_dir and seed are decided by the study. {run:NAME} in it is the "
        "run folder of another row, of the same data set and seed, which is then "
        "trained first. In a flag file the path is relative to that file. Bicubic "
        "becomes the first row by itself. Required.",
        required=True,
        beside=True,
    )
    stage: tuple[str, ...] = flag(
        (),
        "NAME=FLAGFILE: likewise, for what rows start from and what is no row itself, "
        "such as a degradation that is trained first.",
        beside=True,
    )
    seeds: tuple[int, ...] = flag(
        (0, 1, 2), "Each method is trained with each of these."
    )
    steps: int = flag(0, "Steps of every run; 0: as the flag files say.", at_least=0)
    oracle: str = flag(
        "",
        "The row that is trained on the true degradation: tables show which share of "
        "its gain over bicubic the others reach.",
    )
    metrics: str = flag(
        "auto",
        "Metrics, separated by commas, as in pdm_tf.evaluate; auto is "
        "psnr,ssim,psnr_shift with HR images and niqe without.",
        section="Evaluation",
    )
    metric_arg: tuple[str, ...] = flag(
        (), "NAME=PATH: the weights or parameters of a metric."
    )
    weights: Literal["ema", "raw"] = flag(
        "ema", "Which weights are evaluated: the averaged (ema) or the last (raw)."
    )
    examples: int = flag(
        4, "How many images' crops a page shows, evenly by name.", at_least=0
    )
    output: str = flag(
        "",
        "Folder of the study: study.html and study.json, tables/ with comparison.json, "
        ".csv and .md for each data set, evaluations/, runs/, logs/. Required.",
        section="Work",
        required=True,
    )
    jobs: int = flag(
        1, "How many runs train at once. They share the machine.", at_least=1
    )
    only: str = flag(
        "",
        "Train and evaluate only runs of these names, and what they start from: "
        "patterns such as *@blur@s0, separated by commas. The table has all that is "
        "there. So several machines that share the folder share the work.",
    )
    list: bool = flag(
        False, "Print the runs, one a line, with what has become of them, and end."
    )
    train: bool = flag(
        True, "Whether to train what is missing; --notrain evaluates what is there."
    )
    progress: Literal["auto", "on", "off"] = progress_flag(
        "Counts steps of all runs. What runs print is in logs/."
    )

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.study")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UserError(
                "--seeds must be different numbers, at least one. Received: "
                f"{','.join(map(str, self.seeds)) or 'nothing'}."
            )
        if min(self.seeds) < 0 or max(self.seeds) >= 2**31:
            raise UserError(
                "--seeds must be 0 to 2**31 - 1. Received: "
                f"{','.join(map(str, self.seeds))}."
            )
        methods = read_methods(self.method)
        both = set(methods) & set(read_methods(self.stage, "--stage"))
        if both:
            raise UserError(
                "--stage must have other names than --method. Received: "
                f"{', '.join(sorted(both))} of both."
            )
        if _BICUBIC in methods:
            raise UserError(
                f"--method must not be called {_BICUBIC}, a row that comes by itself. "
                f"Received: {_BICUBIC}={methods[_BICUBIC]}."
            )
        if self.oracle and self.oracle not in methods:
            raise UserError(
                "--oracle must be the name of a --method. Received: "
                f"{self.oracle}.{suggest(self.oracle, methods)}"
            )
        for name, values in read_datasets(self.dataset).items():
            if not values.get("val_lr_dir"):
                raise UserError(
                    f"--dataset={name}.val_lr_dir=FOLDER is required: the images to "
                    "evaluate on. Received nothing."
                )
        _ = self.metric_files  # raises unless NAME=PATH

    @property
    def metric_files(self) -> dict[str, str]:
        """Metric -> path of its weights."""
        return named_paths(self.metric_arg, "--metric_arg")

    @property
    def patterns(self) -> tuple[str, ...]:
        """Those of --only."""
        return tuple(text.strip() for text in self.only.split(",") if text.strip())

    @property
    def request(self) -> Request:
        """What is planned."""
        return Request(
            read_datasets(self.dataset),
            read_methods(self.method),
            read_methods(self.stage, "--stage"),
            self.seeds,
            self.steps,
            Path(self.output),
        )


SPEC = ProgramSpec(
    module="pdm_tf.study",
    config=StudyConfig,
    intro="Compares several methods under equal conditions: trains each on each data "
    "set with each seed, every run a process and a run folder of its own, evaluates "
    "them, and writes one table for each data set, with what the methods reached, the "
    "spread over seeds, and what they took. Everything is checked before the first run "
    "starts. Started again, after whatever interruption, it does what is missing; a "
    "run that fails becomes a line with its reason.",
    examples=(
        "python -m pdm_tf.study --flagfile=configs/studies/smoke.flags --list",
        "python -m pdm_tf.study --flagfile=configs/studies/table2_small.flags "
        "--output=studies/mine --seeds=0,1",
        "python -m pdm_tf.study --flagfile=configs/studies/table2_small.flags "
        "--only='pdm_sr@*,oracle@*'",
    ),
)


def main(config: StudyConfig) -> int:
    """Does what is missing of a study; returns the exit code."""
    plan = make_plan(config.request)
    if config.list:
        _refuse(plan.faults)
        print("\n".join(listing(plan, plan.chosen(config.patterns))))
        return program.OK
    _refuse(plan.faults)
    runs = plan.chosen(config.patterns)
    study = plan.request.folder
    with GracefulStop() as stop:
        outcomes: Mapping[str, Outcome] = {}
        try:
            if config.train:
                with stop.interruptible():
                    _check(config, plan, runs)
                outcomes = _train(config, runs, study, stop)
            with stop.interruptible(), locked(study / "states" / "tables.lock"):
                reasons = _evaluate(config, plan, runs)
                _write_tables(config, plan, reasons)
        except StopRequested as received:
            print(
                f"{received}: stopped, all saved; the same command goes on.",
                file=sys.stderr,
            )
            return program.INTERRUPTED
    failed = {n: o.reason for n, o in outcomes.items() if o.state != "finished"}
    for name, reason in failed.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    return program.SOME_LEFT_OUT if failed or reasons else program.OK


def listing(plan: Plan, runs: Sequence[StudyRun]) -> list[str]:
    """A line for each run: its name, and what has become of it."""
    width = max(len(run.name) for run in runs)
    return [
        f"{run.name:<{width}}  "
        + ("finished" if is_finished(run) else why_open(plan.request.folder, run))
        for run in runs
    ]


def _refuse(faults: Sequence[Fault]) -> None:
    """Raises UserError with all faults, if there are any."""
    if faults:
        count = f"{len(faults)} fault{'' if len(faults) == 1 else 's'}"
        lines = "".join(f"\n  {fault}" for fault in faults)
        raise UserError(f"The study cannot start, {count}:{lines}")


def _check(config: StudyConfig, plan: Plan, runs: Sequence[StudyRun]) -> None:
    """Raises UserError with everything that cannot work."""
    from pdm_tf.studies.checking import check

    started = time.monotonic()

    def read(stored: Mapping[str, Any]) -> TrainConfig:
        return from_json_dict(TrainConfig, stored)

    faults = [fault for run in runs for fault in faults_of_folder(run, read)]
    metrics = {
        name: _evaluation(config, name, values).metric_names
        for name, values in plan.request.datasets.items()
    }
    _refuse([*faults, *check(plan, runs, metrics, config.metric_files)])
    add_time(plan.request.folder, "checking", time.monotonic() - started)


def _train(
    config: StudyConfig, runs: Sequence[StudyRun], study: Path, stop: GracefulStop
) -> Mapping[str, Outcome]:
    """Trains what is missing; returns how each run stands."""
    with progress_of(runs, config.progress) as bar:
        trainer = RunTrainer(
            runs, study, jobs=config.jobs, bar=bar, received=lambda: stop.received
        )
        return trainer.train()


def _evaluate(
    config: StudyConfig, plan: Plan, runs: Sequence[StudyRun]
) -> dict[str, str]:
    """Evaluates what is finished; returns why evaluations failed, by their names."""
    from pdm_tf.evaluate import run_evaluation
    from pdm_tf.evaluation.runner import tell_left_out

    started = time.monotonic()
    reasons = {}
    rows = plan.request.methods
    there = [run for run in runs if run.method in rows and is_finished(run)]
    wanted = [(dataset, run) for run in there for dataset in run.datasets]
    with ProgressBar("evaluating", "run", config.progress, total=len(wanted)) as bar:
        for done, (dataset, run) in enumerate(wanted, start=1):
            name = run.evaluation(dataset)
            try:
                values = plan.request.datasets[dataset]
                request = dataclasses.replace(
                    _evaluation(config, dataset, values),
                    model=str(run.folder),
                    output=str(evaluation_folder(plan.request.folder, name)),
                    **_measured_with(Run(run.folder), values),
                )
                run_evaluation(request, tell_left_out, reuse=True)
            except UserError as error:
                reasons[name] = str(error)
                bar.say(f"{name}: not evaluated: {error}")
            bar.update(done)
    add_time(plan.request.folder, "evaluating", time.monotonic() - started)
    return reasons


def _evaluation(
    config: StudyConfig, dataset: str, values: Mapping[str, str]
) -> "EvaluateConfig":
    """What is asked of `evaluate` on a data set, whatever the run."""
    from pdm_tf.evaluate import EvaluateConfig

    hr, lr = (values.get(key, "") for key in EVALUATED_ON)
    return EvaluateConfig(
        model=dataset,
        weights=config.weights,
        hr_dir=hr,
        lr_dir=lr,
        metrics=config.metrics,
        metric_arg=config.metric_arg,
        output=config.output,
        panels=0,
    )


def _measured_with(run: Run, values: Mapping[str, str]) -> dict[str, str]:
    """What a run's learned degradation is compared with; empty if it learned none."""
    bundle = run.find(DEGRADATION)
    if bundle is None:
        return {}
    given = {"real_lr": values.get("lr_dir", ""), **values}
    found = {key: given[key] for key in MEASURED_WITH if given.get(key)}
    settings = run.index(bundle.name)["config"]
    if "noise" in settings and settings["noise"] is None:
        found.pop("pair_kernels", None)  # the true noise, to compare the learned with
    return found


def _write_tables(config: StudyConfig, plan: Plan, reasons: Mapping[str, str]) -> None:
    """Writes a table for each data set, study.json and study.html; prints them."""
    from pdm_tf import compare
    from pdm_tf.evaluation.runner import tell_left_out
    from pdm_tf.reporting.comparison import terminal_text, write_comparison
    from pdm_tf.reporting.page import made_by
    from pdm_tf.reporting.study_page import (
        FILE,
        DatasetTable,
        overhead_text,
        study_page,
    )

    started = time.monotonic()
    study = plan.request.folder
    tables = {}
    for dataset in plan.request.datasets:
        folders = evaluated(plan, dataset, reasons)
        rows = [compare.Evaluated(name, tuple(f)) for name, f in folders.items()]
        if not rows:
            print(f"{dataset}: nothing is evaluated yet", file=sys.stderr)
            continue
        content = _comparison(config, plan, dataset, rows)
        add_missing(content, plan, dataset, reasons)
        write_comparison(content, study / "tables" / dataset)
        crops = compare.crop_rows(content, rows, config.examples, (), tell_left_out)
        tables[dataset] = DatasetTable(content, crops)
        print(f"{dataset}\n{terminal_text(content)}\n")
    found = facts(plan, add_time(study, "comparing", time.monotonic() - started))
    write_json_atomic(study / "study.json", found)
    write_text_atomic(study / FILE, study_page(tables, found, made_by()))
    if text := overhead_text(found):
        print(text)
    print(f"page: {study / FILE}")


def _comparison(
    config: StudyConfig, plan: Plan, dataset: str, rows: Sequence[Any]
) -> dict[str, Any]:
    """The content of a data set's comparison.json, without what is missing.

    `rows` are `compare.Evaluated`.
    """
    from pdm_tf.evaluation import comparison as scores
    from pdm_tf.studies.checking import parameters_of

    study = plan.request.folder
    there = [row.name for row in rows]
    content = scores.compare(
        [row.read() for row in rows],
        oracle=config.oracle if config.oracle in there else "",
    )
    numbers = {
        row.name: [
            numbers_of(run, read_json(folder / REPORT), parameters_of(study, run))
            for run in plan.row(row.name, dataset)
            if (folder := evaluation_folder(study, run.evaluation(dataset)))
            in row.folders
        ]
        for row in rows
    }
    add_columns(content, numbers)
    return content


if __name__ == "__main__":
    program.run(SPEC, main)
