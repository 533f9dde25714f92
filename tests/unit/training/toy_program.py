"""A training program on the toy method, which kills itself where a test wants it.

    KILL=save:4 python -m tests.unit.training.toy_program --run_dir=... --steps=8

The flags are those of `pdm_tf.train`. The environment variable KILL: `step:7` dies
(SIGKILL) when step 7 is about to start; `save:4` when the checkpoint of step 4 is
written but not yet renamed; `term:5` sends SIGTERM to itself in step 5;
`validation` sends it during validation; `nan:5` makes the loss of step 5 nan. All
variables are written to RUN_DIR/final.npz at the end (worker 1: final_1.npz); exit
codes are those of `pdm_tf.train`. TF_CONFIG makes it one of several workers.
"""

import os
import signal
import sys
from pathlib import Path

from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec
from pdm_tf.core.quiet import quiet_start
from pdm_tf.train import SPEC
from pdm_tf.train_config import TrainConfig

TOY = ProgramSpec("toy", TrainConfig, SPEC.intro, SPEC.examples, SPEC.sections)


def main(config: TrainConfig) -> int:
    """Trains; what to break is in the environment variable KILL."""
    with quiet_start():
        import numpy as np

        from pdm_tf.training.nan_monitor import NonFiniteLossError
        from pdm_tf.training.replicas import WorkerLostError, find_replicas
        from tests.unit.training import toy

        replicas = find_replicas()
    kind, _, at = os.environ.get("KILL", "").partition(":")

    def batches(start_step: int):
        whole = toy.make_batches(start_step)
        return toy.rows_of(whole, replicas.worker, replicas.workers)

    rename = os.rename

    def killing_rename(source: Path, target: Path) -> None:
        if Path(target).name == f"step_{int(at):08d}":
            os.kill(os.getpid(), signal.SIGKILL)
        rename(source, target)

    if kind == "save":
        os.rename = killing_rename

    def validate(network) -> dict[str, float]:
        if kind == "validation":
            os.kill(os.getpid(), signal.SIGTERM)
        picture = np.full((1, toy.PATCH, toy.PATCH, 3), 0.5, np.float32)
        return {"mean": float(np.mean(network(picture)))}

    with replicas.scope():
        method = toy.ToyMethod(nan_at=int(at) - 1 if kind == "nan" else None)
    if kind in ("step", "term"):
        number = signal.SIGKILL if kind == "step" else signal.SIGTERM
        toy.call_before(method, int(at), lambda: os.kill(os.getpid(), number))
    try:
        outcome, _ = toy.train_toy(config, method, batches, replicas, validate=validate)
    except WorkerLostError as error:
        print(f"error: {error}", file=sys.stderr)
        return program.INTERRUPTED
    except NonFiniteLossError as error:
        print(f"error: {error}", file=sys.stderr)
        return program.NON_FINITE_LOSS
    name = "final.npz" if replicas.is_chief else f"final_{replicas.worker}.npz"
    np.savez(Path(config.run_dir) / name, **toy.all_values(method))
    return program.INTERRUPTED if outcome.interrupted else program.OK


if __name__ == "__main__":
    program.run(TOY, main)
