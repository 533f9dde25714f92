"""Estimates the blur kernels of photographs: `python -m pdm_tf.kernelgan --help`."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag, progress_flag
from pdm_tf.core.checks import check_flags, check_seed
from pdm_tf.core.errors import UserError
from pdm_tf.core.images import list_images
from pdm_tf.core.progress import ProgressBar, Show
from pdm_tf.core.quiet import quiet_start
from pdm_tf.data.preparation import open_output
from pdm_tf.training.signals import GracefulStop, StopRequested

if TYPE_CHECKING:
    from pdm_tf.estimation.kernel_pool import PoolOutcome

_RECORD = "kernelgan.json"
_LINE_EVERY_S = 30.0
_LEAST_CROP, _CROP_STEP = 32, 4


@dataclass(frozen=True)
class KernelGANConfig:
    """The request to `kernelgan`; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a number is out of range.
    """

    input: str = flag(
        "",
        "Folder of LR photographs of one camera (PNG, JPEG, WebP, TIFF, BMP, still "
        "GIF), searched recursively. Required.",
        section="What",
        required=True,
    )
    output: str = flag(
        "", "Folder for the pool; made if missing. Required.", required=True
    )
    scale: int = flag(
        4,
        "HR size / LR size that the kernels are for, 2 or 4. One for 4 is that for 2, "
        "applied twice.",
    )
    grid: Literal["pixel0", "half_pixel"] = flag(
        "pixel0",
        "Where LR pixel i lies, and so the kernels' centre of mass: on HR pixel "
        "scale * i, on the middle tap; or (scale - 1) / 2 HR pixels further, half a "
        "pixel from the middle tap.",
    )
    steps: int = flag(
        3000, "Steps of training for each photograph.", section="How", at_least=1
    )
    crop_size: int = flag(
        64,
        "Side of the crops in pixels, a multiple of 4; smaller photographs are left "
        "out by name.",
        at_least=_LEAST_CROP,
    )
    seeds: int = flag(
        2,
        "GANs for each photograph, each of its own seed. The first gives the kernel, "
        "the others say whether it can be trusted; 1 takes half of the time and asks "
        "nobody.",
        at_least=1,
    )
    at_once: int = flag(
        8,
        "Photographs trained side by side in one graph; a stop loses those in work. "
        "It changes the kernels by rounding alone.",
        at_least=1,
    )
    seed: int = flag(
        0,
        "Seed of all random numbers. Those of a photograph depend on it and on the "
        "photograph's path below --input, not on the other files.",
    )
    progress: Show = progress_flag("Elsewhere a line every half minute.")

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.kernelgan")
        check_seed(self.seed)
        if self.scale not in (2, 4):
            raise UserError(f"--scale must be 2 or 4. Received: {self.scale}.")
        if self.crop_size % _CROP_STEP:
            raise UserError(
                f"--crop_size must be a multiple of {_CROP_STEP}. "
                f"Received: {self.crop_size}."
            )


SPEC = ProgramSpec(
    module="pdm_tf.kernelgan",
    config=KernelGANConfig,
    intro="Estimates the blur kernel of each photograph of a folder from that "
    "photograph alone, by KernelGAN (Bell-Kligler et al. 2019), as a pool for "
    "--degradation=pool. Writes kernels.npy ([N, K, K] float32, each of sum 1, "
    "correlated), kernels.json (a row for each photograph: index of its kernel or why "
    "it was left out, and numbers of quality: how far the seeds are apart, what the "
    "discriminator still sees, the distance from bicubic, the widths), kernels.png "
    "(look at it) and estimates/ (what was found, before anything was judged). A "
    "kernel is left out when its training failed, when it is spread over its whole "
    "window, or when another seed gave a different one. Finished photographs are "
    "kept: stopped and started again with the same flags, it goes on; with another "
    "--scale or --grid it makes the pool anew from the estimates. The method wants "
    "large photographs with detail. Exit code: 0 when every photograph gave a kernel, "
    "1 when some were left out, 2 when none did, 75 when it was stopped by Ctrl-C or "
    "SIGTERM and can go on.",
    examples=(
        "python -m pdm_tf.kernelgan --input=photos/lr --output=pool --scale=4",
        "python -m pdm_tf.kernelgan --input=photos/lr --output=quick --seeds=1 "
        "--steps=1000",
    ),
)


def main(config: KernelGANConfig) -> int:
    """Estimates all kernels; returns the exit code."""
    list_images(config.input)  # fails now, not after seconds of imports
    names = ("seed", "seeds", "steps", "crop_size")
    open_output(
        config.input,
        config.output,
        {name: getattr(config, name) for name in names},
        _RECORD,
    )
    bar = ProgressBar(
        "kernels",
        "step",
        config.progress,
        line_every_s=_LINE_EVERY_S,
        scaled=True,
    )
    with GracefulStop() as stop, bar:
        try:
            outcome = _make(config, stop, bar)
        except StopRequested:
            bar.close()
            print("stopped; start it again with the same flags to go on.")
            return program.INTERRUPTED
    for name, reason in outcome.left_out:
        print(f"left out: {name}: {reason}", file=sys.stderr)
    if not outcome.kernels:
        raise UserError(
            f"{config.input} must hold a photograph whose kernel can be estimated. "
            f"Received: {len(outcome.left_out)}, each left out above by its reason."
        )
    kept = f", {outcome.kept} kept from before" if outcome.kept else ""
    left_out = f", {len(outcome.left_out)} left out" if outcome.left_out else ""
    print(
        f"{outcome.estimated} photographs estimated{kept}{left_out}; "
        f"{outcome.kernels} kernels: {config.output}"
    )
    return program.SOME_LEFT_OUT if outcome.left_out else program.OK


def _make(
    config: KernelGANConfig, stop: GracefulStop, bar: ProgressBar
) -> "PoolOutcome":
    with quiet_start():  # TensorFlow takes seconds to import
        from pdm_tf.estimation.kernel_pool import PoolRequest, make_kernel_pool
        from pdm_tf.estimation.kernelgan import KernelGANSettings

    def on_progress(done: int, total: int, text: str) -> None:
        if stop.received:
            raise StopRequested(stop.received)
        bar.show_text(text)
        bar.update(done, total)

    request = PoolRequest(
        scale=config.scale,
        grid=config.grid,
        settings=KernelGANSettings(steps=config.steps, crop=config.crop_size),
        seed=config.seed,
        seeds=config.seeds,
        at_once=config.at_once,
    )
    return make_kernel_pool(config.input, config.output, request, on_progress, bar.say)


if __name__ == "__main__":
    program.run(SPEC, main)
