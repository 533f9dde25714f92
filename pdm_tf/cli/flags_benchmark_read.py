"""The flags of `python -m pdm_tf.benchmark read`."""

from dataclasses import dataclass

from pdm_tf.cli.flag_set import ProgramSpec
from pdm_tf.core.errors import UserError


@dataclass(frozen=True)
class ReadBenchmarkConfig:
    """What is read, and how often.

    Raises:
      UserError: nothing to read, or a number is out of range.
    """

    input: str = ""
    cold: bool = True
    seed: int = 0
    threads: int = 0
    rounds: int = 5
    output: str = ""

    def __post_init__(self) -> None:
        if not self.input:
            raise UserError(
                "--input, TFRecord shards or a folder of images, is required. "
                "Received nothing."
            )
        if self.rounds < 1 or self.threads < 0:
            raise UserError(
                "--rounds must be at least 1 and --threads 0 or more. "
                f"Received: {self.rounds} and {self.threads}."
            )


_SECTIONS = {
    "Images": {
        "input": "TFRecord shards made by pdm_tf.prepare (their folder, or one of "
        "them), or a folder of images. Required.",
    },
    "Measuring": {
        "cold": "Ask the system to forget the files before each measurement, so that "
        "they come from the disk and not from memory. (Disks of virtual machines may "
        "still remember them.)",
        "seed": "Decides the scattered order.",
        "threads": "Threads that decode; 0 takes one per processor, at most 8.",
        "rounds": "Measurements of each side; medians and spreads are over these.",
        "output": "File for the numbers as JSON; empty: only the table is printed.",
    },
}

SPEC = ProgramSpec(
    module="pdm_tf.benchmark read",
    config=ReadBenchmarkConfig,
    intro="Measures how fast stored images are read, in MB of the files per second: "
    "plainly from front to back, as images in their order with their checksums, in the "
    "scattered order of training, and decoded to pixels.",
    examples=(
        "python -m pdm_tf.benchmark read --input=shards",
        "python -m pdm_tf.benchmark read --input=photos/hr --nocold",
    ),
    sections=_SECTIONS,
)
