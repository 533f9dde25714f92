"""NIQE's parameter sets: the statistics of pristine photographs, and their origin.

Scores of different sets cannot be compared: the authors' LIVE release and MATLAB's
built-in `niqe` have different ones. Neither can be shipped here; a set is fitted to
photographs (`python -m pdm_tf.fit_niqe`) or converted from the .mat file of either, and
reports name the one used.

A set is an .npz file of `mean` [36], `covariance` [36, 36] (float64), `name`, `blocks`
(how many it was fitted to; 0 if unknown) and `format`.
"""

import dataclasses
import io
import zipfile
from pathlib import Path

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from pdm_tf.core.errors import UserError
from pdm_tf.core.files import write_bytes_atomic
from pdm_tf.metrics.niqe import BLOCK, FEATURES, gaussian_of, niqe_distance
from pdm_tf.metrics.spec import Metric, Opener

FORMAT = 1
SHARPNESS = 0.75
_KEYS = ("format", "mean", "covariance", "name", "blocks")
# Names of the two matrices: the LIVE release's, and the fields of MATLAB's niqeModel.
_MAT_NAMES = (("mu_prisparam", "cov_prisparam"), ("Mean", "Covariance"))
_FROM_MATLAB = (
    "MATLAB's object must be saved as plain variables: m = niqeModel; Mean = m.Mean; "
    "Covariance = m.Covariance; save('niqe.mat', 'Mean', 'Covariance')"
)


@dataclasses.dataclass(frozen=True)
class NiqeModel:
    """A multivariate Gaussian of pristine blocks.

    Attributes:
      name: where it is from, for reports.
      mean: [36] float64.
      covariance: [36, 36] float64, symmetric.
      blocks: how many blocks it was fitted to; 0 if unknown.

    Raises:
      UserError: wrong shapes, values that are not finite, not a covariance.
    """

    name: str
    mean: np.ndarray
    covariance: np.ndarray
    blocks: int = 0

    def __post_init__(self) -> None:
        shapes = (self.mean.shape, self.covariance.shape)
        if shapes != ((FEATURES,), (FEATURES, FEATURES)):
            raise UserError(
                f"A parameter set of NIQE has a mean [{FEATURES}] and a covariance "
                f"[{FEATURES}, {FEATURES}]. Received: {shapes[0]}, {shapes[1]}."
            )
        values = (self.mean, self.covariance)
        if not all(np.isfinite(v).all() for v in values):
            raise UserError(f"NIQE's parameters must be finite. Received: {self.name}.")
        size = np.abs(self.covariance).max()
        lowest = np.linalg.eigvalsh(self.covariance).min()
        lopsided = np.abs(self.covariance - self.covariance.T).max()
        if lopsided > 1e-6 * size or lowest < -1e-6 * size:
            raise UserError(
                "NIQE's covariance must be symmetric, without negative eigenvalues. "
                f"Received: {self.name}, asymmetry {lopsided:.3g}, lowest {lowest:.3g}."
            )

    def measure(self, sr_u8: np.ndarray, hr_u8: np.ndarray | None = None) -> float:
        """Computes NIQE of the image; the reference is ignored."""
        del hr_u8
        return niqe_distance(sr_u8, self.mean, self.covariance)


def sharp_blocks(
    features: np.ndarray, sharpness: np.ndarray, threshold: float = SHARPNESS
) -> np.ndarray:
    """The rows of one photograph that count as pristine: sharp ones.

    Args:
      features: [N, 36] of one photograph.
      sharpness: [N].
      threshold: part of the photograph's sharpest block that a block must exceed.
    """
    return features[sharpness > threshold * sharpness.max()]


def fit_model(name: str, features: np.ndarray) -> NiqeModel:
    """Fits a set to the pristine blocks of all photographs, [N, 36].

    Raises:
      UserError: too few blocks for a covariance of 36 features.
    """
    count = int(np.isfinite(features).all(axis=1).sum())
    if count <= FEATURES:
        raise UserError(
            f"NIQE is fitted to more than {FEATURES} sharp blocks of {BLOCK}x{BLOCK} "
            f"pixels; hundreds are better. Received: {count}. Give more or larger "
            "photographs."
        )
    return NiqeModel(name, *gaussian_of(features), blocks=count)


def save_model(model: NiqeModel, path: Path | str) -> Path:
    """Writes a set as .npz, in full or not at all."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        format=FORMAT,
        mean=model.mean,
        covariance=model.covariance,
        name=model.name,
        blocks=model.blocks,
    )
    write_bytes_atomic(path, buffer.getvalue())
    return Path(path)


def load_model(path: Path | str) -> NiqeModel:
    """Reads a set.

    Raises:
      UserError: no such file, not a set, or of a newer format.
    """
    advice = "Fit or convert one with python -m pdm_tf.fit_niqe."
    try:
        with np.load(path, allow_pickle=False) as file:
            values = {key: file[key] for key in _KEYS if key in file.files}
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}. {advice}") from error
    except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        # TypeError: an .npy file, which holds one array.
        raise UserError(
            f"A parameter set of NIQE is an .npz file. Received: {path} ({error}). "
            f"{advice}"
        ) from error
    missing = [key for key in _KEYS if key not in values]
    if missing or int(values["format"]) != FORMAT:
        held = f"without {', '.join(missing)}" if missing else values["format"]
        raise UserError(
            f"A parameter set of NIQE has {', '.join(_KEYS)}, format {FORMAT}. "
            f"Received: {path}, {held}. {advice}"
        )
    return NiqeModel(
        str(values["name"]),
        values["mean"].astype(np.float64),
        values["covariance"].astype(np.float64),
        int(values["blocks"]),
    )


def read_mat(path: Path | str, name: str) -> NiqeModel:
    """Converts a .mat file: the LIVE release's, or the fields of MATLAB's niqeModel.

    Args:
      path: with `mu_prisparam` and `cov_prisparam`, or with `Mean` and `Covariance`, as
        variables or as the fields of one struct.
      name: the set's name.

    Raises:
      UserError: not a .mat file that SciPy reads, or without those.
    """
    if not Path(path).is_file():
        raise UserError(f"There is no file {path}.")
    try:
        content = loadmat(path, simplify_cells=True)
    except (OSError, ValueError, TypeError, MatReadError, NotImplementedError) as error:
        raise UserError(
            f"A .mat file up to version 7 is required. Received: {path} ({error})."
        ) from error
    structs = [value for value in content.values() if isinstance(value, dict)]
    for table in (content, *structs):
        for mean, covariance in _MAT_NAMES:
            if mean in table and covariance in table:
                mu = np.asarray(table[mean], np.float64).reshape(-1)
                return NiqeModel(name, mu, np.asarray(table[covariance], np.float64))
    names = [key for key in content if not key.startswith("__")]
    wanted = " or ".join(f"{mean} and {cov}" for mean, cov in _MAT_NAMES)
    raise UserError(
        f"The .mat file must hold {wanted}. Received: {path} with "
        f"{', '.join(names) or 'nothing'}. {_FROM_MATLAB}."
    )


def open_niqe(path: str) -> tuple[Metric, str]:
    """A set as a metric, and its name for reports."""
    model = load_model(path)
    return model.measure, f"parameters: {model.name}"


NIQE_OPENER = Opener(
    "a parameter set, the .npz file that python -m pdm_tf.fit_niqe makes from pristine "
    "photographs or from the .mat file of the LIVE release or of MATLAB",
    open_niqe,
)
