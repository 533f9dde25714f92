"""Trains a super-resolution network: `python -m pdm_tf.train --help`.

Flags -> config -> devices -> run folder -> `build.py` -> the loop -> exit code
(`cli/program.py`); with an estimate of the source the stages of `source_first` come
between the folder and `build.py`.
"""

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_tf.cli import program
from pdm_tf.cli.commands import how_to_start
from pdm_tf.cli.component import from_json_dict, to_json_dict
from pdm_tf.cli.flag_set import ProgramSpec, to_flags_text
from pdm_tf.core.errors import UserError
from pdm_tf.core.quiet import as_if_not_installed, quiet_start
from pdm_tf.core.refusals import refused
from pdm_tf.run import DATA, DIVERGED, SHIPPED, Run
from pdm_tf.train_config import TrainConfig, as_begun, changed_on_resume

if TYPE_CHECKING:
    import tensorflow as tf

    from pdm_tf.training.replicas import Replicas
    from pdm_tf.training.run_folder import RunFolder
    from pdm_tf.training.signals import GracefulStop
    from pdm_tf.training.step_function import StepFunction
    from pdm_tf.training.trainer import Trainer

SPEC = ProgramSpec(
    module="pdm_tf.train",
    config=TrainConfig,
    intro="Trains a super-resolution network from two folders of photographs that need "
    "not belong together: HR photographs, and LR photographs as they come from the "
    "camera. It learns how the LR photographs were degraded and trains the network to "
    "undo exactly that. Everything is written to --run_dir: the networks to use "
    "(bundles), checkpoints, scores, preview pictures. Ctrl-C or SIGTERM saves and "
    "stops (exit code 75); the same command goes on from there.",
    examples=(
        "python -m pdm_tf.train --flagfile=camera --hr_dir=photos/hr "
        "--lr_dir=photos/lr --run_dir=runs/mine",
        "python -m pdm_tf.train --hr_dir=photos/hr --lr_dir=photos/lr --run_dir=runs/a",
    ),
)

_SHOWN = 5  # skipped files named on the screen; log.txt has all


def main(config: TrainConfig) -> int:
    """Runs or resumes the training that `config` describes; returns the exit code."""
    # Keras would load Matplotlib, for a third of a second; charts load it at the end.
    with quiet_start(), as_if_not_installed("matplotlib"):
        from pdm_tf import build  # noqa: F401 - what it prints while it loads
        from pdm_tf.training.replicas import cluster_from_environment, find_replicas

        worker, workers = cluster_from_environment()
        if workers > 1:
            print(f"worker {worker} of {workers}: waiting for all", flush=True)
        replicas = find_replicas()
        config = as_begun(config, Run(config.run_dir).settings)
        converted = _converted(config)
        doubts = [*_check_folders(config), *converted]
        run = open_run_folder(config, worker)
    with run:
        from pdm_tf.training.outlook import machine_line

        if run.is_finished(config.steps):
            print(
                f"{run.root} is finished at step {run.start_step}; to train on, raise "
                f"--steps={config.steps}."
            )
            if not Run(run.root).report.exists():
                _report(config, run)
            return program.OK
        _sayer(run)(machine_line())
        _show_remarks(run, doubts, ())
        wanted = config
        if config.estimate != "off":
            from pdm_tf.source_first.stages import prepare

            def train_apart(stage: TrainConfig) -> int:
                with open_run_folder(stage) as folder:
                    return _train(stage, folder, replicas)

            prepared = prepare(
                config, run.start_step, train_apart, _sayer(run), workers
            )
            if prepared.code != program.OK:
                return prepared.code
            wanted = prepared.config
            if config.report == "auto" and wanted is not config:
                from pdm_tf.report import page_on_estimate

                page_on_estimate(run.root)
        code = _train(wanted, run, replicas)
        if code == program.OK:
            _report(config, run)
    return code


def _check_folders(config: TrainConfig) -> list[str]:
    """Refuses folders that nothing could be learned from; returns what else is odd."""
    from pdm_tf import build
    from pdm_tf.core.folder_places import check_places
    from pdm_tf.data.sources import holds_shards
    from pdm_tf.estimation.two_folders import check_two_folders

    hr, lr = config.hr_dir, config.lr_dir
    if not (hr and lr and build.are_unpaired(config)):
        return []
    within = {f"--{x}": getattr(config, x) for x in ("val_hr_dir", "val_lr_dir")}
    if not (holds_shards(hr) or holds_shards(lr)):
        return check_two_folders(
            hr, lr, config.scale, within=within, accept=config.accept_folders
        )
    if not config.accept_folders:
        check_places(hr, lr, within)
    return []


def _converted(config: TrainConfig) -> list[str]:
    """Names photographs whose colours are converted, a line for each folder.

    Raises:
      UserError: a folder does not exist.
    """
    from pdm_tf import build
    from pdm_tf.data.inventory import converted

    flags = (*sorted(build.folders_read(config)), "val_hr_dir", "val_lr_dir")
    places = {f"--{x}": place for x in flags if (place := getattr(config, x))}
    for flag, place in places.items():
        if not Path(place).exists():
            raise UserError(f"{flag} must exist. Received: {place}.")
    return [f"note: {line}" for line in converted(places)]


def _check_data(config: TrainConfig, run: "RunFolder") -> None:
    """Refuses to go on with other photographs than the run began with; records them."""
    from pdm_tf import build
    from pdm_tf.core.files import write_json_atomic
    from pdm_tf.core.stored import read_json
    from pdm_tf.data.inventory import changes, inventory

    if not run.is_chief:
        return
    read = sorted(build.folders_read(config))
    now = {x: inventory(at) for x in read if (at := getattr(config, x))}
    place = run.root / DATA
    if run.start_step and place.is_file():
        before = read_json(place, {str: {str: str}}, remedy="Remove it to go on.")
        found = [
            f"--{name}: {words}"
            for name, held in now.items()
            if (words := changes(before.get(name, held), held))
        ]
        if found and not config.accept_folders:
            raise UserError(
                "The photographs must be those that the run began with. Received, at "
                f"step {run.start_step} of {run.root}: {'; '.join(found)}. Put them "
                "back, choose another --run_dir, or go on all the same with "
                "--accept_folders."
            )
        _show_remarks(run, [f"warning: changed since: {line}" for line in found], ())
    write_json_atomic(place, now)


def _train(config: TrainConfig, run: "RunFolder", replicas: "Replicas") -> int:
    """Trains as far as the folder lacks it; returns the exit code."""

    from pdm_tf import build
    from pdm_tf.data.crops import why_stopped
    from pdm_tf.training.nan_monitor import DivergedError
    from pdm_tf.training.replicas import WorkerLostError
    from pdm_tf.training.signals import GracefulStop

    if run.is_finished(config.steps):
        return program.OK
    _check_data(config, run)
    setup = build.build_training(config, replicas)
    _show_remarks(run, setup.remarks, setup.skipped)
    try:
        with GracefulStop() as stop:
            trainer = make_trainer(
                config,
                run,
                build.compiled_step(setup.method, config, replicas),
                setup.make_batches,
                stop,
                validate=setup.validate,
                show_photographs=setup.show_photographs,
                save_bundles=build.bundle_saver(config, run.bundles, setup.grid),
            )
            outcome = trainer.run()
    except DivergedError as error:
        message = f"error: {error} {_advice(run)}"
        run.log(message)
        print(message, file=sys.stderr)
        return program.NON_FINITE_LOSS
    except WorkerLostError as error:
        message = (
            f"error: {error}. What was saved is intact: start all workers again, "
            "and training goes on from the last checkpoint."
        )
        run.log(message)
        print(message, file=sys.stderr, flush=True)
        return program.INTERRUPTED
    except Exception as error:
        if (reason := why_stopped()) is not None:
            raise reason from error
        if not (line := refused(error)):
            raise
        print(
            f"error: {line}. The checkpoints that are complete are intact: mend this, "
            "and the same command goes on from the last one.",
            file=sys.stderr,
        )
        return program.INTERRUPTED
    return program.INTERRUPTED if outcome.interrupted else program.OK


def open_run_folder(config: TrainConfig, worker: int = 0) -> "RunFolder":
    """Makes or opens `config.run_dir`, where process `worker` of the run writes.

    Raises:
      UserError: see `RunFolder`.
    """
    from pdm_tf.training.run_folder import RunFolder

    def changes(stored: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
        return changed_on_resume(from_json_dict(TrainConfig, stored), config)

    return RunFolder(
        config.run_dir,
        settings=to_json_dict(config),
        flags_text=to_flags_text(SPEC, config),
        changes=changes,
        worker=worker,
    )


def make_trainer(
    config: TrainConfig,
    run: "RunFolder",
    step_function: "StepFunction",
    make_batches: "Callable[[int], tf.data.Dataset]",
    stop: "GracefulStop",
    **outputs: Any,
) -> "Trainer":
    """Makes the trainer for `config`; restores the newest checkpoint.

    Args:
      config: of the run.
      run: its open folder.
      step_function: takes the steps of its method.
      make_batches: see `Trainer`.
      stop: the signals that end training early.
      **outputs: `validate`, `show_photographs` and `save_bundles` of `Outputs`.

    Raises:
      UserError, WorkerLostError: see `Trainer`.
    """
    from pdm_tf.training.recorder import Intervals, Outputs
    from pdm_tf.training.trainer import Recovery, Trainer

    return Trainer(
        step_function,
        make_batches,
        run,
        stop,
        intervals=Intervals(
            steps=config.steps,
            log_every=config.log_every,
            save_every=config.save_every,
            preview_every=config.preview_every,
            validate_every=config.validate_every,
        ),
        batch_size=config.batch_size,
        keep_checkpoints=config.keep_checkpoints,
        outputs=Outputs(
            collapse_alarm=config.collapse_alarm,
            stop_on_alarm=config.on_alarm == "act",
            progress=config.progress,
            **outputs,
        ),
        recovery=Recovery(
            config.rollbacks if config.on_divergence == "rollback" else 0
        ),
    )


def _show_remarks(
    run: "RunFolder", remarks: Sequence[str], skipped: Sequence[tuple[str, str]]
) -> None:
    """Prints and logs the remarks, and the files that are skipped, with the reason."""
    lines = [f"skipped {path}: {reason}" for path, reason in skipped]
    for line in (*remarks, *lines):
        run.log(line)
    for line in (*remarks, *lines[:_SHOWN]):
        print(line)
    if len(lines) > _SHOWN:
        print(f"skipped {len(lines)} files in all; see {run.log_path}")


def _report(config: TrainConfig, run: "RunFolder") -> None:
    """Writes report.html, once per run and not on each of its workers."""
    if config.report != "auto" or not run.is_chief:
        return
    from pdm_tf.report import report_on_run  # loads all drawing code: only on request

    report_on_run(run.root, _sayer(run))
    if Run(run.root).find(SHIPPED) is not None:
        words = [
            how_to_start("pdm_tf.upscale"),
            f"--model={shlex.quote(str(run.root))}",
            f"--input={shlex.quote(config.lr_dir or 'PHOTOS')}",
            f"--output={shlex.quote(str(run.root / 'upscaled'))}",
        ]
        print(f"next: {' '.join(words)}")


def _sayer(run: "RunFolder") -> Callable[[str], None]:
    """Prints and logs lines."""

    def say(line: str) -> None:
        run.log(line)
        print(line, flush=True)

    return say


def _advice(run: "RunFolder") -> str:
    from pdm_tf.training.checkpoint import complete_steps

    checkpoints = run.checkpoints
    steps = complete_steps(checkpoints)
    last = f"the last good checkpoint is that of step {steps[-1]}" if steps else ""
    return (
        f"In {checkpoints}: {last or 'no checkpoint yet'}. The same command would "
        "diverge again at the same step. Try a lower --learning_rate or --clip_norm, "
        "or --mixed_precision=float32, with another --run_dir (and --init_sr, to start "
        "from a trained network); or --on_divergence=rollback. The batch of that step "
        f"is in {run.root / DIVERGED}."
    )


if __name__ == "__main__":
    program.run(SPEC, main)
