"""NIQE: the distance of an image's statistics from those of pristine photographs.

Mittal, Soundararajan, Bovik 2013, "Making a 'completely blind' image quality analyzer",
IEEE Signal Processing Letters 20(3). No reference image; lower is better. In short:

1. Y is normalised locally (Eq. 1-3): (I - mu) / (sigma + 1), with mu and sigma from a
   7x7 Gaussian of sigma 7/6;
2. in each 96x96 block, an asymmetric generalised Gaussian (Eq. 5, fitted as in Lasmar
   et al. 2009) is fitted to the normalised pixels (2 features: shape and mean scale)
   and to the products with the neighbour to the right, below, and on both diagonals
   (4 features each: shape, mean Eq. 8, left and right scale): 18 features;
3. the same after bicubic reduction by 2, in 48x48 blocks: 36 features;
4. the distance between two Gaussians (Eq. 10), one fitted to the blocks of the image,
   the other to the sharp blocks of pristine photographs (a `NiqeModel`).

Details where the paper is silent are those of the authors' LIVE release: Y (BT.601, see
`base.luma`) rounded to integers, borders repeated in the Gaussian, sizes cut to a
multiple of 96, products with neighbours wrap around within their block, covariances
with N - 1, a pseudo-inverse, shape on a grid of 0.2..10 in steps of 0.001.

Scores of different parameter sets cannot be compared: the authors' LIVE release and
MATLAB's built-in `niqe` have different ones. Neither can be shipped here; a set is
fitted to photographs (`python -m pdm_tf.fit_niqe`) or converted from the .mat file of
either or from BasicSR's .npz file, and reports name the one used. It is an .npz file of
`mean` [36], `covariance` [36, 36] (float64), `name`, `blocks` (how many it was fitted
to; 0 if unknown) and `format`.
"""

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage, special

from pdm_tf.core.apart import run_apart
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import write_bytes_atomic
from pdm_tf.core.imresize import imresize
from pdm_tf.core.stored import read_arrays
from pdm_tf.metrics.base import Metric, Opener, luma

BLOCK = 96
FEATURES = 36
SCALES = (1, 2)
_OFFSETS = ((0, 1), (1, 0), (1, 1), (1, -1))

_SHAPES = np.arange(200, 10001) / 1000.0
# Of a symmetric generalised Gaussian of each shape: E|x|^2 / E x^2, growing with it.
_RATIOS = special.gamma(2 / _SHAPES) ** 2 / (
    special.gamma(1 / _SHAPES) * special.gamma(3 / _SHAPES)
)
FORMAT = 1
SHARPNESS = 0.75
_KEYS = ("format", "mean", "covariance", "name", "blocks")
# Names of the two matrices: the LIVE release's, and the fields of MATLAB's niqeModel.
_MAT_NAMES = (("mu_prisparam", "cov_prisparam"), ("Mean", "Covariance"))
# BasicSR's names, in its niqe_pris_params.npz: the LIVE release's set.
_BASICSR = ("mu_pris_param", "cov_pris_param")
# Video BLIINDS (Saad, Bovik, Charrier 2014) has a set with the names and shapes of the
# LIVE release's, in frames_modelparameters.mat. It was fitted to frames of videos and
# is a part of that method's features: no score with it is NIQE's. Only the numbers tell
# them apart; the first four of the mean are these (the LIVE release's: 2.6013, 0.9057,
# 0.8120, 0.0904).
_VIDEO_BLIINDS_MEAN = (3.15380, 0.92448, 0.86262, 0.09265)
_FROM_MATLAB = (
    "MATLAB's object must be saved as plain variables: m = niqeModel; Mean = m.Mean; "
    "Covariance = m.Covariance; save('niqe.mat', 'Mean', 'Covariance')"
)


def _gaussian_taps() -> np.ndarray:
    offset = np.arange(-3, 4)
    taps = np.exp(-(offset**2) / (2 * (7 / 6) ** 2))
    return taps / taps.sum()


def local_statistics(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normalised pixels and local deviation.

    Args:
      plane: Y [H, W] float64, 0..255.

    Returns:
      (I - mu) / (sigma + 1) and sigma, both [H, W] float64 (Eq. 1-3).
    """
    taps = _gaussian_taps()

    def smooth(x: np.ndarray) -> np.ndarray:
        rows = ndimage.correlate1d(x, taps, axis=0, mode="nearest")
        return ndimage.correlate1d(rows, taps, axis=1, mode="nearest")

    mu = smooth(plane)
    sigma = np.sqrt(np.abs(smooth(plane * plane) - mu * mu))
    return (plane - mu) / (sigma + 1), sigma


def fit_aggd(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Asymmetric generalised Gaussians by moment matching (Lasmar et al. 2009).

    Args:
      samples: [N, n] float64, a fit per row.

    Returns:
      shape, left scale, right scale, each [N]; NaN where a side has no samples.
    """
    negative, positive = samples < 0, samples > 0
    squares = samples * samples
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.sqrt((squares * negative).sum(1) / negative.sum(1))
        right = np.sqrt((squares * positive).sum(1) / positive.sum(1))
        skew = left / right
        ratio = np.abs(samples).mean(1) ** 2 / squares.mean(1)
    ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shape = np.full(len(samples), np.nan)
    known = np.isfinite(ratio)
    shape[known] = _SHAPES[_nearest(_RATIOS, ratio[known])]
    scale = np.sqrt(special.gamma(1 / shape) / special.gamma(3 / shape))
    return shape, left * scale, right * scale


def _nearest(grid: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Index of the entry of a growing grid that is nearest; the lower of two."""
    above = np.clip(np.searchsorted(grid, values), 1, len(grid) - 1)
    return above - (values - grid[above - 1] <= grid[above] - values)


def _features_of_scale(normalised: np.ndarray) -> np.ndarray:
    """[N, b, b] blocks -> [N, 18]."""
    count = len(normalised)
    shape, left, right = fit_aggd(normalised.reshape(count, -1))
    columns = [shape, (left + right) / 2]
    for dy, dx in _OFFSETS:
        neighbours = np.roll(normalised, (dy, dx), axis=(1, 2))
        products = (normalised * neighbours).reshape(count, -1)
        shape, left, right = fit_aggd(products)
        mean = (right - left) * special.gamma(2 / shape) / special.gamma(1 / shape)
        columns += [shape, mean, left, right]
    return np.stack(columns, axis=1)


def blocks_of(plane: np.ndarray, side: int) -> np.ndarray:
    """[H, W], multiples of `side` -> [N, side, side], row by row."""
    height, width = plane.shape
    split = plane.reshape(height // side, side, width // side, side)
    return split.transpose(0, 2, 1, 3).reshape(-1, side, side)


def niqe_features(rgb_u8: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features and sharpness of each block.

    Args:
      rgb_u8: [H, W, 3] (or [H, W, 1]) uint8, at least 96x96.

    Returns:
      [N, 36] float64, NaN where a block has no contrast, and [N] float64: the mean
      local deviation of the block (Eq. 9), at full size.
    """
    height, width = (n - n % BLOCK for n in rgb_u8.shape[:2])
    plane = np.rint(luma(rgb_u8[:height, :width]))
    features, sharpness = [], None
    for scale in SCALES:
        normalised, sigma = local_statistics(plane)
        features.append(_features_of_scale(blocks_of(normalised, BLOCK // scale)))
        if sharpness is None:
            sharpness = blocks_of(sigma, BLOCK).mean(axis=(1, 2))
            plane = imresize(plane, 0.5)
    return np.concatenate(features, axis=1), sharpness


def gaussian_of(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean [36] and covariance [36, 36] of the blocks; NaN rows left out of both.

    The mean uses the other entries of a row with NaN, as the release's does.

    Raises:
      UserError: fewer than two whole rows.
    """
    whole = features[np.isfinite(features).all(axis=1)]
    if len(whole) < 2:
        raise UserError(
            f"NIQE needs at least two blocks of {BLOCK}x{BLOCK} pixels with contrast. "
            f"Received: {len(whole)} of {len(features)}."
        )
    return np.nanmean(features, axis=0), np.cov(whole, rowvar=False)


def niqe_distance(
    rgb_u8: np.ndarray, mean: np.ndarray, covariance: np.ndarray
) -> float:
    """NIQE of an image against a pristine model (Eq. 10).

    Args:
      rgb_u8: [H, W, 3] uint8, borders already cropped.
      mean, covariance: [36], [36, 36] of the pristine blocks.

    Raises:
      UserError: wrong type, or fewer than two blocks with contrast.
    """
    if rgb_u8.dtype != np.uint8 or rgb_u8.ndim != 3:
        raise UserError(
            "niqe measures uint8 images [H, W, C]. "
            f"Received: type {rgb_u8.dtype}, shape {rgb_u8.shape}."
        )
    height, width = rgb_u8.shape[:2]
    if (height // BLOCK) * (width // BLOCK) < 2:
        raise UserError(
            f"niqe needs two blocks of {BLOCK}x{BLOCK} pixels or more after the border "
            f"crop. Received: {width}x{height} (width x height)."
        )
    own_mean, own_covariance = gaussian_of(niqe_features(rgb_u8)[0])
    difference = mean - own_mean
    inverse = np.linalg.pinv((covariance + own_covariance) / 2)
    return float(np.sqrt(difference @ inverse @ difference))


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
        values = read_arrays(path)
    except UserError as error:
        raise UserError(
            f"A parameter set of NIQE is an .npz file. {error} {advice}"
        ) from error
    missing = [key for key in _KEYS if key not in values]
    try:
        if not missing and int(values["format"]) == FORMAT:
            return NiqeModel(
                str(values["name"]),
                values["mean"].astype(np.float64),
                values["covariance"].astype(np.float64),
                int(values["blocks"]),
            )
        held = f"without {', '.join(missing)}" if missing else values["format"]
    except (TypeError, ValueError) as error:
        held = str(error)
    raise UserError(
        f"A parameter set of NIQE has {', '.join(_KEYS)}, format {FORMAT}. "
        f"Received: {path}, {held}. {advice}"
    )


def read_published(path: Path | str, name: str) -> NiqeModel:
    """Converts a published set: the LIVE release's, MATLAB's, or BasicSR's.

    Args:
      path: a .mat file with `mu_prisparam` and `cov_prisparam`, or with `Mean` and
        `Covariance`, as variables or as the fields of one struct; or an .npz file with
        `mu_pris_param` and `cov_pris_param`. The content decides, not the name.
      name: the set's name.

    Raises:
      UserError: not such a file, without those, or with Video BLIINDS' set.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    with open(path, "rb") as file:
        is_npz = file.read(2) == b"PK"
    if is_npz:
        tables, names = [read_arrays(path)], (_BASICSR,)
    else:
        content = _variables(path)
        structs = [value for value in content.values() if isinstance(value, dict)]
        tables, names = [content, *structs], _MAT_NAMES
    for table in tables:
        for mean, covariance in names:
            if mean in table and covariance in table:
                try:
                    mu, cov = (
                        np.asarray(table[n], np.float64) for n in (mean, covariance)
                    )
                    model = NiqeModel(name, mu.reshape(-1), cov)
                except (TypeError, ValueError) as error:
                    raise UserError(
                        f"A published set must be arrays of numbers. Received: {path} "
                        f"({error})."
                    ) from error
                _refuse_video_bliinds(path, model)
                return model
    held = [key for key in tables[0] if not key.startswith("__")]
    wanted = " or ".join(f"{mean} and {cov}" for mean, cov in names)
    advice = "" if names == (_BASICSR,) else f" {_FROM_MATLAB}."
    raise UserError(
        f"The file of a published set must hold {wanted}. Received: {path} with "
        f"{', '.join(held) or 'nothing'}.{advice}"
    )


# Prints the numbers of a .mat file as .npz: the fields of structs as "struct/field".
_MAT_READER = """
import io, numpy, scipy.io
found = {}
for name, value in scipy.io.loadmat(sys.argv[1], simplify_cells=True).items():
    table = value if isinstance(value, dict) else {"": value}
    for field, numbers in table.items():
        if not name.startswith("__") and numpy.asarray(numbers).dtype.kind in "fiub":
            found[f"{name}/{field}".rstrip("/")] = numpy.asarray(numbers)
buffer = io.BytesIO()
numpy.savez(buffer, **found)
sys.stdout.buffer.write(buffer.getvalue())
"""
_MAT_SECONDS = 60
_MAT_BYTES = 1 << 32


def _variables(path: Path) -> dict[str, Any]:
    """The numbers of a .mat file; of structs a dict."""
    path = path.absolute()
    ended = run_apart(_MAT_READER, path, seconds=_MAT_SECONDS, memory_bytes=_MAT_BYTES)
    if ended.code != 0:
        raise UserError(
            "A .mat file up to version 7, or BasicSR's .npz file, is required. "
            f"Received: {path} (SciPy {ended.why})."
        )
    content: dict[str, Any] = {}
    for name, values in read_arrays(io.BytesIO(ended.output)).items():
        name, is_field, field = name.partition("/")
        if is_field:
            content.setdefault(name, {})[field] = values
        else:
            content[name] = values
    return content


def _refuse_video_bliinds(path: Path, model: NiqeModel) -> None:
    if np.allclose(model.mean[:4], _VIDEO_BLIINDS_MEAN, rtol=0, atol=1e-4):
        raise UserError(
            "NIQE's published set is that of the LIVE release, modelparameters.mat. "
            f"Received: {path}, which holds the set of Video BLIINDS "
            "(frames_modelparameters.mat), fitted to frames of videos: scores with it "
            "would not be NIQE's."
        )


def open_niqe(path: str) -> tuple[Metric, str]:
    """A set as a metric, and its name for reports."""
    model = load_model(path)
    return model.measure, f"parameters: {model.name}"


NIQE_OPENER = Opener(
    "a parameter set, the .npz file that python -m pdm_tf.fit_niqe makes from pristine "
    "photographs or from the published set of the LIVE release, BasicSR or MATLAB",
    open_niqe,
)
