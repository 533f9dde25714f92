"""Fits or converts the parameters of NIQE: `python -m pdm_tf.fit_niqe --help`."""

import sys

from tqdm import tqdm

from pdm_tf.cli import program
from pdm_tf.cli.flags_fit_niqe import SPEC, FitNiqeConfig
from pdm_tf.evaluation.niqe_fit import convert_mat, fit_to_photographs


def main(config: FitNiqeConfig) -> None:
    """Makes the set, writes it, says what it is."""
    if config.mat:
        model = convert_mat(config.mat, config.output, name=config.name)
        print(f"{model.name}, converted from {config.mat}: {config.output}")
        return
    model = fit_to_photographs(
        config.images,
        config.output,
        name=config.name,
        sharpness=config.sharpness,
        show_progress={"on": True, "off": False, "auto": None}[config.progress],
        on_problem=_warn,
    )
    print(f"{model.name}, {model.blocks} sharp blocks: {config.output}")


def _warn(message: str) -> None:
    tqdm.write(f"left out: {message}", file=sys.stderr)


if __name__ == "__main__":
    program.run(SPEC, main)
