"""The flags of `python -m pdm_tf.interpolate`."""

import math
from dataclasses import dataclass
from typing import Literal

from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.checks import require_given
from pdm_tf.core.errors import UserError


@dataclass(frozen=True)
class InterpolateConfig:
    """What `interpolate` is asked to do; the fields are the flags.

    Raises:
      UserError: a required flag is missing or an alpha is out of range.
    """

    model_a: str = flag(
        "",
        "A run folder of pdm_tf.train or a bundle: the network at alpha 0, "
        "usually the one trained for PSNR. Required.",
        section="What",
    )
    model_b: str = flag(
        "",
        "The network at alpha 1, usually the one trained on from it with a "
        "GAN. Required.",
    )
    weights: Literal["ema", "raw"] = flag(
        "ema", "Of run folders: the averaged weights (ema) or the last (raw)."
    )
    alpha: tuple[float, ...] = flag(
        (0.5,), "Share of --model_b, in [0, 1]; several with commas between."
    )
    output: str = flag(
        "",
        "Folder of the bundle to write; of several alphas, a folder with one "
        "bundle for each, alpha_0.5 and so on. Required.",
        section="Output",
    )
    overwrite: bool = flag(False, "Replace bundles that are there.")

    def __post_init__(self) -> None:
        require_given(self, "pdm_tf.interpolate", "model_a", "model_b", "output")
        fine = [math.isfinite(a) and 0 <= a <= 1 for a in self.alpha]
        if not self.alpha or not all(fine) or len(set(self.alpha)) < len(self.alpha):
            raise UserError(
                "--alpha must be one or several different numbers in [0, 1]. "
                f"Received: {','.join(map(str, self.alpha)) or 'nothing'}."
            )


SPEC = ProgramSpec(
    module="pdm_tf.interpolate",
    config=InterpolateConfig,
    intro="Mixes two trained SR networks of one architecture, weight by weight "
    "(network interpolation of ESRGAN): a choice between the sharpness of a GAN and "
    "the fidelity of a PSNR network, without training. The result is a bundle, which "
    "evaluate, export and --init_sr take. Exit code: 0, or 2 when the networks do not "
    "fit.",
    examples=(
        "python -m pdm_tf.interpolate --model_a=runs/psnr --model_b=runs/gan "
        "--alpha=0.8 --output=bundles/mixed",
        "python -m pdm_tf.interpolate --model_a=runs/psnr --model_b=runs/gan "
        "--alpha=0.2,0.5,0.8 --output=bundles/mixed",
    ),
)
