"""The flags of `python -m pdm_tf.benchmark train`."""

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Literal

from pdm_tf.cli.flag_set import ProgramSpec, sections_of
from pdm_tf.cli.flags_benchmark_measuring import GEMM_SIZE, MEASURING, Measuring
from pdm_tf.core.errors import UserError
from pdm_tf.train_config import TrainConfig


@dataclass(frozen=True)
class TrainBenchmarkConfig(Measuring):
    """Which step is run, against what, and how often.

    The defaults are the paper's NTIRE 2017 track 2: blur alone, by 4.

    Raises:
      UserError: flags contradict each other, or a number is out of range.
    """

    preset: Literal["default", "paper"] = "default"
    batch_size: int = 8
    lr_patch: int = 32
    scale: int = 4
    sr_net: str = "edsr"
    sr_arg: tuple[str, ...] = ()
    kernel_arg: tuple[str, ...] = ()
    noise: bool = False
    noise_arg: tuple[str, ...] = ()
    discriminator_arg: tuple[str, ...] = ()
    method_arg: tuple[str, ...] = ()
    bfloat16: bool = False
    torch_maps: int = 1
    sweep: Literal["none", "batch", "kernel", "patch"] = "none"
    sweep_sizes: tuple[int, ...] = ()
    rounds: int = 10
    gemm_size: int = 2048

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive(
            "batch_size", "lr_patch", "scale", "gemm_size", "torch_maps"
        )
        if self.sweep != "none" and self.compare != "none":
            raise UserError(
                "--sweep measures our side alone. Received: "
                f"--sweep={self.sweep}, --compare={self.compare}."
            )
        if self.sweep_sizes and self.sweep == "none":
            raise UserError(
                f"--sweep_sizes belong to --sweep. Received: {self.sweep_sizes}."
            )
        if self.sweep != "none" and len(set(self.sweep_sizes)) == 1:
            raise UserError(
                "--sweep_sizes must be two sizes or more, to compare them. "
                f"Received: {self.sweep_sizes}."
            )
        self.require_batch_for_torch(self.batch_size)

    def training(self, *, bfloat16: bool) -> TrainConfig:
        """Returns the settings of the training run that this step is of."""
        names = {field.name for field in dataclasses.fields(self)}
        shared = names & {field.name for field in dataclasses.fields(TrainConfig)}
        return TrainConfig(
            **{name: getattr(self, name) for name in shared},
            hr_dir="(made)",
            lr_dir="(made)",
            run_dir="(none)",
            mixed_precision="bfloat16" if bfloat16 else "float32",
        )


_TRAIN = dict(
    itertools.chain.from_iterable(
        section.items() for section in sections_of(TrainConfig).values()
    )
)
_SECTIONS = {
    "Step": {
        **{
            name: _TRAIN[name]
            for name in (
                *("preset", "batch_size", "lr_patch", "scale", "sr_net", "sr_arg"),
                *("kernel_arg", "noise", "noise_arg", "discriminator_arg"),
                "method_arg",
            )
        },
        "seed": "Decides the weights and the patches.",
    },
    "Work": {
        "compare": "`torch`: also the same step in PyTorch, eager, in its default "
        "layout and in channels_last, from the same weights, in the order of the "
        'published code; needs pip install -e ".[benchmark]". Ratios are to the faster '
        "layout of the same precision.",
        "bfloat16": "Also ours in mixed_bfloat16, and PyTorch under bfloat16 autocast; "
        "fast on processors with AMX or AVX-512 BF16 units only.",
        "torch_maps": "Output maps of PyTorch's discriminator: ours has 1, the "
        "published one 64, which is a fifth more arithmetic in it.",
        "sweep": "Instead: our step at several sizes (`batch`, `kernel` in HR pixels, "
        "`patch` in HR pixels), and the exponent with which its time grows.",
        "sweep_sizes": "The sizes; empty: batches of 4 to 32, kernels of 11 to 31, "
        "patches of 96 to 256.",
    },
    "Measuring": {**MEASURING, "gemm_size": GEMM_SIZE},
}

SPEC = ProgramSpec(
    module="pdm_tf.benchmark train",
    config=TrainBenchmarkConfig,
    intro="Measures one joint training step of PDM-SR on the CPU, as training runs it, "
    "on random patches in memory; with --compare=torch also in PyTorch. Prints "
    "milliseconds, GFLOP/s of the arithmetic that a step needs, the share of what "
    "matrix products reach, ratios to PyTorch, and peak memory; with --sweep how the "
    "time grows with batch, kernel or patch.",
    examples=(
        "python -m pdm_tf.benchmark train --preset=paper --compare=torch",
        "python -m pdm_tf.benchmark train --preset=paper --noise --compare=torch "
        "--bfloat16",
        "python -m pdm_tf.benchmark train --preset=paper --sweep=patch "
        "--output=speed.json",
    ),
    sections=_SECTIONS,
)
