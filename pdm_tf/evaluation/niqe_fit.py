"""NIQE's parameters from a folder of pristine photographs, or from a published file."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pdm_tf.core.errors import UserError
from pdm_tf.core.images import ImageError, list_images, read_rgb_u8
from pdm_tf.metrics.niqe import BLOCK, niqe_features
from pdm_tf.metrics.niqe_model import (
    SHARPNESS,
    NiqeModel,
    fit_model,
    read_mat,
    save_model,
    sharp_blocks,
)


def fit_to_photographs(
    folder: Path | str,
    output: Path | str,
    *,
    name: str = "",
    sharpness: float = SHARPNESS,
    show_progress: bool | None = None,
    on_problem: Callable[[str], None] | None = None,
) -> NiqeModel:
    """Fits a set to the sharp blocks of all photographs and writes it.

    Args:
      folder: searched recursively.
      output: the .npz file.
      name: of the set; the default says how many photographs there were.
      sharpness: part of a photograph's sharpest block that a block must exceed.
      show_progress: a bar on standard error; None: if that is a terminal.
      on_problem: told about each photograph that is left out.

    Raises:
      UserError: no photographs, or too few sharp blocks in them.
    """
    features = []
    bar = tqdm(
        list_images(folder),
        desc="fit",
        unit="image",
        disable=None if show_progress is None else not show_progress,
        file=sys.stderr,
        dynamic_ncols=True,
    )
    with bar:
        for path in bar:
            try:
                features.append(_pristine(path, sharpness))
            except UserError as error:
                if on_problem is not None:
                    on_problem(str(error))
    if not features:
        raise UserError(f"No photograph of {folder} could be used.")
    name = name or f"fitted to {len(features)} photographs"
    model = fit_model(name, np.concatenate(features))
    save_model(model, output)
    return model


def convert_mat(mat: Path | str, output: Path | str, *, name: str) -> NiqeModel:
    """Writes the set of a .mat file as ours, see `read_mat`.

    Raises:
      UserError: the file holds no set.
    """
    model = read_mat(mat, name)
    save_model(model, output)
    return model


def _pristine(path: Path, sharpness: float) -> np.ndarray:
    rgb_u8 = read_rgb_u8(path)
    if min(rgb_u8.shape[:2]) < BLOCK:
        height, width = rgb_u8.shape[:2]
        raise ImageError(path, f"is {width}x{height}; {BLOCK}x{BLOCK} are needed")
    return sharp_blocks(*niqe_features(rgb_u8), sharpness)
