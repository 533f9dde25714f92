"""Measures speed: `python -m pdm_tf.benchmark TASK`; `--help` lists the tasks.

Only finds the task; each is a file of `pdm_tf/benchmarks/` with flags of its own, and
is loaded when it is asked for, so that help is there at once.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

from pdm_tf.cli import flags_benchmark, program
from pdm_tf.cli.flags_benchmark_data import DataBenchmarkConfig
from pdm_tf.cli.flags_benchmark_degrade import DegradeBenchmarkConfig
from pdm_tf.cli.flags_benchmark_inference import InferenceBenchmarkConfig
from pdm_tf.cli.flags_benchmark_read import ReadBenchmarkConfig
from pdm_tf.cli.flags_benchmark_train import TrainBenchmarkConfig
from pdm_tf.core.errors import UserError


def _data(config: DataBenchmarkConfig) -> int:
    from pdm_tf.benchmarks import data_task

    return data_task.main(config)


def _degrade(config: DegradeBenchmarkConfig) -> int:
    from pdm_tf.benchmarks import degrade_task

    return degrade_task.main(config)


def _inference(config: InferenceBenchmarkConfig) -> int:
    from pdm_tf.benchmarks import inference_task

    return inference_task.main(config)


def _read(config: ReadBenchmarkConfig) -> int:
    from pdm_tf.benchmarks import read_task

    return read_task.main(config)


def _train(config: TrainBenchmarkConfig) -> int:
    from pdm_tf.benchmarks import train_task

    return train_task.main(config)


_MAINS = {
    "data": _data,
    "degrade": _degrade,
    "inference": _inference,
    "read": _read,
    "train": _train,
}


def run(argv: Sequence[str]) -> NoReturn:
    """Runs the task that the arguments begin with, and exits with its code."""
    try:
        task, rest = flags_benchmark.split(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(program.BAD_INPUT)
    if not task:
        print(flags_benchmark.help_text())
        sys.exit(program.OK)
    program.run(flags_benchmark.TASKS[task], _MAINS[task], rest)


if __name__ == "__main__":
    run(sys.argv[1:])
