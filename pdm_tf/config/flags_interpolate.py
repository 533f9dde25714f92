"""The flags of `python -m pdm_tf.interpolate`."""

import math
from dataclasses import dataclass
from typing import Literal

from pdm_tf.config.checks import require_given
from pdm_tf.config.flag_set import ProgramSpec
from pdm_tf.core.errors import UserError


@dataclass(frozen=True)
class InterpolateConfig:
    """What `interpolate` is asked to do; the fields are the flags.

    Raises:
      UserError: a required flag is missing or an alpha is out of range.
    """

    model_a: str = ""
    model_b: str = ""
    weights: Literal["ema", "raw"] = "ema"
    alpha: tuple[float, ...] = (0.5,)
    output: str = ""
    overwrite: bool = False

    def __post_init__(self) -> None:
        require_given(self, "pdm_tf.interpolate", "model_a", "model_b", "output")
        fine = [math.isfinite(a) and 0 <= a <= 1 for a in self.alpha]
        if not self.alpha or not all(fine) or len(set(self.alpha)) < len(self.alpha):
            raise UserError(
                "--alpha must be one or several different numbers in [0, 1]. "
                f"Received: {','.join(map(str, self.alpha)) or 'nothing'}."
            )


_SECTIONS = {
    "What": {
        "model_a": "A run folder of pdm_tf.train or a bundle: the network at alpha 0, "
        "usually the one trained for PSNR. Required.",
        "model_b": "The network at alpha 1, usually the one trained on from it with a "
        "GAN. Required.",
        "weights": "Of run folders: the averaged weights (ema) or the last (raw).",
        "alpha": "Share of --model_b, in [0, 1]; several with commas between.",
    },
    "Output": {
        "output": "Folder of the bundle to write; of several alphas, a folder with one "
        "bundle for each, alpha_0.5 and so on. Required.",
        "overwrite": "Replace bundles that are there.",
    },
}

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
    sections=_SECTIONS,
)
