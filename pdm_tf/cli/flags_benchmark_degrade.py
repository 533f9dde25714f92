"""The flags of `python -m pdm_tf.benchmark degrade`."""

from dataclasses import dataclass
from typing import Literal

from pdm_tf.cli.flag_set import ProgramSpec
from pdm_tf.cli.flags_benchmark_measuring import MEASURING, Measuring
from pdm_tf.core.errors import UserError


@dataclass(frozen=True)
class DegradeBenchmarkConfig(Measuring):
    """Which degradation is run, against what, and how often.

    Raises:
      UserError: flags contradict each other, or a number is out of range.
    """

    batch_size: int = 8
    lr_patch: int = 32
    scale: int = 4
    border: Literal["reflect", "valid"] = "reflect"
    kernel_arg: tuple[str, ...] = ()
    noise: bool = False
    noise_arg: tuple[str, ...] = ()
    rounds: int = 15
    calls: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_positive("batch_size", "lr_patch", "scale")
        if self.noise_arg and not self.noise:
            raise UserError(
                "--noise_arg has no meaning with --nonoise. "
                f"Received: {', '.join(self.noise_arg)}."
            )
        self.require_batch_for_torch(self.batch_size)


_SECTIONS = {
    "Degradation": {
        "batch_size": "HR patches in one call.",
        "lr_patch": "Side of the results in LR pixels.",
        "scale": "How many times larger HR patches are, per side.",
        "border": "`reflect` mirrors patches at their edges, as the published code "
        "does; `valid` takes larger ones.",
        "kernel_arg": "A setting of the kernel module, e.g. kernel_size=21; the "
        "defaults are the paper's.",
        "noise": "Whether the degradation has a noise module.",
        "noise_arg": "A setting of the noise module, e.g. num_blocks=8.",
        "seed": "Decides weights, latents and patches.",
    },
    "Work": {
        "compare": "`torch`: also PyTorch, eager, with the blur as `unfold`, which the "
        "published code does, and as grouped convolution; needs pip install -e "
        '".[benchmark]". Results are compared, so that equal work is timed.',
    },
    "Measuring": MEASURING,
}

SPEC = ProgramSpec(
    module="pdm_tf.benchmark degrade",
    config=DegradeBenchmarkConfig,
    intro="Measures blur and downsampling with one kernel per image, forward and with "
    "the gradient of the kernels, and the whole degradation model, forward and "
    "backward, on the CPU; with --compare=torch also in PyTorch. Prints milliseconds, "
    "ratios to both of PyTorch's forms, and peak memory.",
    examples=(
        "python -m pdm_tf.benchmark degrade --compare=torch",
        "python -m pdm_tf.benchmark degrade --batch_size=32 --lr_patch=48 "
        "--output=speed.json",
    ),
    sections=_SECTIONS,
)
