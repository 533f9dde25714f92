"""Fits or converts the parameters of NIQE: `python -m pdm_tf.fit_niqe --help`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pdm_tf.cli import program
from pdm_tf.cli.flag_set import ProgramSpec, flag, progress_flag
from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.images import list_images, read_rgb_u8
from pdm_tf.core.progress import ProgressBar, Show
from pdm_tf.evaluation.runner import tell_left_out
from pdm_tf.metrics.niqe import (
    BLOCK,
    SHARPNESS,
    NiqeModel,
    fit_model,
    niqe_features,
    read_published,
    save_model,
    sharp_blocks,
)


@dataclass(frozen=True)
class FitNiqeConfig:
    """The request to `fit_niqe`; the fields are the flags.

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
        "The file of a published set: modelparameters.mat of the LIVE release "
        "(mu_prisparam, cov_prisparam); BasicSR's niqe_pris_params.npz, the same set "
        "(mu_pris_param, cov_pris_param); or the fields of MATLAB's niqeModel, saved "
        "in MATLAB with: m = niqeModel; Mean = m.Mean; Covariance = m.Covariance; "
        "save('niqe.mat', 'Mean', 'Covariance'). Video BLIINDS' set, of the same "
        "names, is refused.",
    )
    output: str = flag("", "The .npz file to write. Required.")
    name: str = flag(
        "",
        "Name of the set in reports; with --images the default gives the number of "
        "photographs.",
    )
    sharpness: float = flag(
        SHARPNESS,
        "Blocks of 96x96 pixels count if they are sharper than this fraction of their "
        "photograph's sharpest block.",
        section="How",
    )
    progress: Show = progress_flag()

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
        "python -m pdm_tf.fit_niqe --mat=niqe_pris_params.npz --name=LIVE "
        "--output=niqe_live.npz",
    ),
)


def main(config: FitNiqeConfig) -> None:
    """Makes the set, writes it, describes it."""
    if config.mat:
        model = read_published(config.mat, config.name)
        save_model(model, config.output)
        print(f"{model.name}, converted from {config.mat}: {config.output}")
        return
    model = fit_to_photographs(config)
    save_model(model, config.output)
    print(f"{model.name}, {model.blocks} sharp blocks: {config.output}")


def fit_to_photographs(config: FitNiqeConfig) -> NiqeModel:
    """Fits a set to the sharp blocks of all photographs that can be used.

    Raises:
      UserError: no photographs, or too few sharp blocks in them.
    """
    paths = list_images(config.images)
    features = []
    with ProgressBar("fit", "image", config.progress) as bar:
        for number, path in enumerate(paths, start=1):
            try:
                features.append(_pristine(path, config.sharpness))
            except UserError as error:
                tell_left_out(str(error))
            bar.update(number, len(paths))
    if not features:
        raise UserError(f"No photograph of {config.images} could be used.")
    name = config.name or f"fitted to {len(features)} photographs"
    return fit_model(name, np.concatenate(features))


def _pristine(path: Path, sharpness: float) -> np.ndarray:
    """Computes the features of a photograph's sharp blocks."""
    rgb_u8 = read_rgb_u8(path)
    if min(rgb_u8.shape[:2]) < BLOCK:
        height, width = rgb_u8.shape[:2]
        raise ImageError(path, f"is {width}x{height}; {BLOCK}x{BLOCK} are needed")
    return sharp_blocks(*niqe_features(rgb_u8), sharpness)


if __name__ == "__main__":
    program.run(SPEC, main)
