"""Trains a super-resolution network: `python -m pdm_tf.train --help`.

Flags -> config -> devices -> run folder -> `build.py` -> the loop -> exit code
(`cli/program.py`).
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdm_tf.cli import program
from pdm_tf.cli.component import from_json_dict, to_json_dict
from pdm_tf.cli.flag_set import ProgramSpec, to_flags_text
from pdm_tf.core.quiet import quiet_start
from pdm_tf.run import Run
from pdm_tf.train_config import TrainConfig, changed_on_resume

if TYPE_CHECKING:
    from pdm_tf.training.run_folder import RunFolder

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
        "python -m pdm_tf.train --flagfile=configs/quickstart.flags",
        "python -m pdm_tf.train --hr_dir=photos/hr --lr_dir=photos/lr --run_dir=runs/a",
    ),
)

_SHOWN = 5  # skipped files named on the screen; log.txt has all


def main(config: TrainConfig) -> int:
    """Runs or resumes the training that `config` describes; returns the exit code."""
    with quiet_start():
        from pdm_tf import build
        from pdm_tf.training.health import NonFiniteLossError
        from pdm_tf.training.loop import is_finished, run_training
        from pdm_tf.training.replicas import (
            WorkerLostError,
            cluster_from_environment,
            find_replicas,
        )

        worker, workers = cluster_from_environment()
        if workers > 1:
            print(f"worker {worker} of {workers}: waiting for all", flush=True)
        replicas = find_replicas()
        run = open_run_folder(config, worker)
    with run:
        if is_finished(run, config.steps):
            print(
                f"{run.root} is finished at step {run.start_step}; to train on, raise "
                f"--steps={config.steps}."
            )
            if not Run(run.root).report.exists():
                _report(config, run)
            return program.OK
        setup = build.build_training(config, replicas)
        for line in setup.remarks:
            run.log(line)
            print(line)
        for number, (path, reason) in enumerate(setup.skipped, start=1):
            line = f"skipped {path}: {reason}"
            run.log(line)
            if number <= _SHOWN:
                print(line)
        if len(setup.skipped) > _SHOWN:
            print(f"skipped {len(setup.skipped)} files in all; see {run.log_path}")
        try:
            outcome = run_training(
                setup.method,
                setup.make_batches,
                config=config,
                run=run,
                validate=setup.validate,
                save_bundles=build.bundle_saver(config, run.bundles),
                replicas=replicas,
            )
        except NonFiniteLossError as error:
            message = f"error: {error} {_advice(run.checkpoints)}"
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
        if outcome.interrupted:
            return program.INTERRUPTED
        _report(config, run)
    return program.OK


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


def _report(config: TrainConfig, run: "RunFolder") -> None:
    """Writes report.html, once per run and not on each of its workers."""
    if config.report != "auto" or not run.is_chief:
        return
    from pdm_tf.report import report_on_run  # with all that draws: only when asked for

    def say(line: str) -> None:
        run.log(line)
        print(line, flush=True)

    report_on_run(run.root, say)


def _advice(checkpoints: Path) -> str:
    from pdm_tf.training.checkpoint import complete_steps

    steps = complete_steps(checkpoints)
    last = f"the last good checkpoint is that of step {steps[-1]}" if steps else ""
    return (
        f"In {checkpoints}: {last or 'no checkpoint yet'}. The same command would "
        "diverge again at the same step. Try a lower --learning_rate or --clip_norm, "
        "or --mixed_precision=float32, with another --run_dir (and --init_sr, to start "
        "from a trained network)."
    )


if __name__ == "__main__":
    program.run(SPEC, main)
