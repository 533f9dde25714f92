"""The flags of `python -m pdm_tf.fit_niqe`."""

from dataclasses import dataclass
from typing import Literal

from pdm_tf.cli.flag_set import ProgramSpec, flag
from pdm_tf.core.errors import UserError


@dataclass(frozen=True)
class FitNiqeConfig:
    """What `fit_niqe` is asked to do; the fields are the flags.

    Raises:
      UserError: a required flag is missing or a number is out of range.
    """

    images: str = flag(
        "",
        "Folder of pristine photographs (sharp, noiseless, not compressed "
        "visibly), searched recursively; at least 96x96 pixels. This or --mat.",
        section="What",
    )
    mat: str = flag(
        "",
        "The .mat file of a published set: modelparameters.mat of the LIVE "
        "release (mu_prisparam, cov_prisparam), or the fields of MATLAB's niqeModel, "
        "saved in MATLAB with: m = niqeModel; Mean = m.Mean; Covariance = "
        "m.Covariance; save('niqe.mat', 'Mean', 'Covariance').",
    )
    output: str = flag("", "The .npz file to write. Required.")
    name: str = flag(
        "",
        "What reports call the set; of --images the default says how many "
        "photographs there were.",
    )
    sharpness: float = flag(
        0.75,
        "Blocks of 96x96 pixels count if they are sharper than this part "
        "of their photograph's sharpest.",
        section="How",
    )
    progress: Literal["auto", "on", "off"] = flag(
        "auto",
        "Progress bar with the time left on standard error; `auto`: when "
        "it is a terminal.",
    )

    def __post_init__(self) -> None:
        if bool(self.images) == bool(self.mat):
            raise UserError(
                "Either --images or --mat is required, not both. Received: "
                f"--images={self.images!r}, --mat={self.mat!r}. "
                "See python -m pdm_tf.fit_niqe --help."
            )
        if not self.output.endswith(".npz"):
            raise UserError(
                f"--output is required, a file name that ends in .npz. "
                f"Received: {self.output!r}."
            )
        if self.mat and not self.name:
            raise UserError(
                "--mat needs --name, because scores of different sets differ and "
                "reports say which was used. Received none; LIVE and MATLAB are usual."
            )
        if not 0 <= self.sharpness < 1:
            raise UserError(
                f"--sharpness must be 0 or more and below 1. Received: "
                f"{self.sharpness}."
            )


SPEC = ProgramSpec(
    module="pdm_tf.fit_niqe",
    config=FitNiqeConfig,
    intro="Makes the parameter set that the metric niqe of pdm_tf.evaluate needs: "
    "fitted to pristine photographs, or converted from a published one. Scores of "
    "different sets cannot be compared. Photographs that cannot be used are named and "
    "left out.",
    examples=(
        "python -m pdm_tf.fit_niqe --images=photos/hr --output=niqe.npz",
        "python -m pdm_tf.fit_niqe --mat=modelparameters.mat --name=LIVE "
        "--output=niqe_live.npz",
    ),
)
