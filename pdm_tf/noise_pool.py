"""Collects the noise of photographs: `python -m pdm_tf.noise_pool --help`."""

import sys
from dataclasses import dataclass

from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag, progress_flag
from pdm_tf.core.checks import check_flags
from pdm_tf.core.errors import UserError
from pdm_tf.core.progress import ProgressBar, Show
from pdm_tf.data.preparation import check_outside
from pdm_tf.estimation.noise_patches import NoiseSettings
from pdm_tf.estimation.noise_pool import PICTURE_LIKE, make_noise_pool

_LEAST_PATCH = 8


@dataclass(frozen=True)
class NoisePoolConfig:
    """The request to `noise_pool`; the fields are the flags.

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
        "",
        "Folder for the pool; made if missing; may be that of pdm_tf.kernelgan. "
        "Required.",
        required=True,
    )
    patch_size: int = flag(
        0,
        "Side of the patches in pixels, 8 or more; 0 takes 32, or a sixth of the "
        "photographs' shorter side if that is less.",
        section="How",
        at_least=0,
    )
    variance_percentile: float = flag(
        5.0,
        "Only patches whose variance is below this percentile of their photograph's "
        "are taken.",
    )
    structure_percentile: float = flag(
        25.0,
        "Of those, the share of all photographs' patches that is kept, in percent: the "
        "ones most like white noise, least like a picture. Lower it if noise.png shows "
        "pictures, raise it for more patches.",
    )
    per_photograph: int = flag(8, "Patches of one photograph, at most.", at_least=1)
    progress: Show = progress_flag()

    def __post_init__(self) -> None:
        check_flags(self, "pdm_tf.noise_pool")
        if 0 < self.patch_size < _LEAST_PATCH:
            raise UserError(
                f"--patch_size must be 0, or {_LEAST_PATCH} or more. "
                f"Received: {self.patch_size}."
            )
        self.settings()  # checks the percentiles

    def settings(self) -> NoiseSettings:
        """Returns how patches are chosen; their side is a placeholder where 0."""
        return NoiseSettings(
            patch=self.patch_size or _LEAST_PATCH,
            variance_percentile=self.variance_percentile,
            structure_percentile=self.structure_percentile,
            per_photograph=self.per_photograph,
        )


SPEC = ProgramSpec(
    module="pdm_tf.noise_pool",
    config=NoisePoolConfig,
    intro="Collects patches of noise from flat places of photographs, as a pool for "
    "--degradation=pool (Ji et al. 2020). Patches are chosen by percentiles of what "
    "the photographs hold, so the pool is not empty unless all are clipped. Whether "
    "the patches are noise is for you to see: noise.png shows where they come from "
    "and what they look like; a warning is printed when they look like pictures. "
    "Writes also noise.npy ([N, P, P, 3] float32 in units of [0, 1], every channel of "
    "every patch of mean 0) and noise.json (a row for each patch: photograph, place, "
    "mean and standard deviation in levels of 8 bit, and how much it looks like a "
    "picture, 1 for white noise). Exit code: 0 when all photographs could be used, 1 "
    "when some were left out, 2 when nothing could be done.",
    examples=(
        "python -m pdm_tf.noise_pool --input=photos/lr --output=pool",
        "python -m pdm_tf.noise_pool --input=photos/lr --output=pool "
        "--patch_size=16 --structure_percentile=10",
    ),
)


def main(config: NoisePoolConfig) -> int:
    """Collects the patches; returns the exit code."""
    check_outside(config.input, config.output)
    with ProgressBar("noise", "photograph", config.progress, delay=0.5) as bar:
        outcome = make_noise_pool(
            config.input,
            config.output,
            config.settings(),
            fitting=not config.patch_size,
            on_progress=bar.update,
        )
    for name, reason in outcome.left_out:
        print(f"left out: {name}: {reason}", file=sys.stderr)
    least, middle, most = outcome.std_255
    side = outcome.side
    if outcome.looks_like_pictures:
        print(
            f"warning: the patches look like pictures more than noise (structure "
            f"{outcome.structure:.1f}; noise has 1, and above {PICTURE_LIKE} is "
            "suspicious): the photographs may have no noise worth adding. Look at "
            "noise.png before you train with them.",
            file=sys.stderr,
        )
    print(
        f"{outcome.patches} patches of {side}x{side} from {outcome.photographs} "
        f"photographs, standard deviation {least:.1f} to {most:.1f} levels, median "
        f"{middle:.1f}: {config.output}"
    )
    return program.SOME_LEFT_OUT if outcome.left_out else program.OK


if __name__ == "__main__":
    program.run(SPEC, main)
