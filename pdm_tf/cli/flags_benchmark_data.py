"""The flags of `python -m pdm_tf.benchmark data`: those of train, and some more."""

import dataclasses
import itertools
from typing import Literal

from pdm_tf.cli.flag_set import ProgramSpec, sections_of
from pdm_tf.core.errors import UserError
from pdm_tf.train_config import TrainConfig


@dataclasses.dataclass(frozen=True)
class DataBenchmarkConfig(TrainConfig):
    """A training configuration and how to measure it."""

    compare: Literal["none", "torch"] = "none"
    workers: int = 2
    rounds: int = 5
    round_steps: int = 10
    output: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("rounds", "round_steps"):
            if getattr(self, name) < 1:
                raise UserError(
                    f"--{name} must be at least 1. Received: {getattr(self, name)}."
                )
        if self.workers < 0:
            raise UserError(f"--workers must be 0 or more. Received: {self.workers}.")


_MEASURING = {
    "compare": "`torch`: also PyTorch's DataLoader, with the same images in memory and "
    'the same work; needs pip install -e ".[benchmark]".',
    "workers": "Processes of PyTorch's DataLoader; 0 takes none besides the main one.",
    "rounds": "Measurements of each side; medians and spreads are over these.",
    "round_steps": "Training steps in one round; the pipeline's rounds take 20 times "
    "as many batches.",
    "output": "File for the numbers as JSON; empty: only the table is printed.",
}

SPEC = ProgramSpec(
    module="pdm_tf.benchmark data",
    config=DataBenchmarkConfig,
    intro="Measures how many patches the input pipeline delivers and how many the "
    "training step consumes, per second, taking turns in one run; with --compare=torch "
    "what PyTorch's DataLoader delivers too. Takes the flags of pdm_tf.train, which "
    "describe what is run; nothing is written to --run_dir. Folders may be TFRecord "
    "shards, and --cache_mb=0 has our pipeline decode every image each time.",
    examples=(
        "python -m pdm_tf.benchmark data --flagfile=configs/quickstart.flags",
        "python -m pdm_tf.benchmark data --flagfile=configs/quickstart.flags "
        "--compare=torch",
        "python -m pdm_tf.benchmark data --hr_dir=photos/hr --lr_dir=photos/lr "
        "--run_dir=unused --batch_size=8 --mixed_precision=bfloat16",
    ),
    sections=dict(
        itertools.chain([("Measuring", _MEASURING)], sections_of(TrainConfig).items())
    ),
)
