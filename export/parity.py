"""Compares exported models with Keras: the crops, and the measures of difference.

The crops are of one photograph: sizes from one pixel to 512 x 300, odd ones, wide and
tall ones, batches of one to four. The work grows with the network, so a large one
leaves the largest sizes out unless the full comparison is requested; the certificate
lists them. Keras's outputs on them are kept as files for the steps that compare.

A level is an 8-bit value. Two outputs that agree to 1e-6 still give different levels
where the network's lies on the border between two, so a level that differs by one, with
Keras's value within the tolerance of that border, counts as a rounding tie; any other
difference of levels is a real one.
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.images import read_rgb_u8, to_u8
from pdm_tf.samples import PHOTOS_FOR_HR

# Below the temporary folder of an export alone, never published.
_REFERENCE = ".reference"
# A crop of up to 512 x 300 fits into it either way up, nearly.
DEFAULT_PHOTO = PHOTOS_FOR_HR / "coffee.jpg"
# Multiplications, about: half a minute of two CPU cores for each model compared.
_STANDARD_WORK = 3e11


@dataclasses.dataclass(frozen=True)
class Case:
    """One comparison: `batch` crops of `height` x `width` LR pixels."""

    batch: int
    height: int
    width: int

    @property
    def label(self) -> str:
        """ "4x48x64": batch, height, width."""
        return f"{self.batch}x{self.height}x{self.width}"

    @property
    def pixels(self) -> int:
        """LR pixels of all crops."""
        return self.batch * self.height * self.width

    @property
    def is_small(self) -> bool:
        """Whether it goes into the one request of images of many sizes."""
        return max(self.height, self.width) <= 64


CASES = (
    Case(1, 1, 1),
    Case(4, 1, 3),
    Case(3, 17, 23),
    Case(1, 64, 64),
    Case(4, 48, 64),
    Case(2, 128, 96),
    Case(1, 300, 512),
    Case(1, 512, 300),
)
# The case for measuring times.
LATENCY_CASE = Case(1, 64, 64)
# LR sizes for the degradation, whose blur is many times its output's size.
DEGRADATION_CASES = (Case(1, 1, 1), Case(3, 17, 23), Case(2, 64, 48))
# Of the degradation, each compared.
# Of kernels, of noise at each place, and of an image's levels of noise.
DEGRADATION_LATENTS = ("z_k", "z_n", "z_l")
DEGRADATION_OUTPUTS = ("lr", "clean_lr", "kernel")


def choose(parameters: int, parity: str) -> tuple[list[Case], list[Case]]:
    """Chooses the cases to run and those to leave out.

    Args:
      parameters: of the networks; every one of them meets every LR pixel, or more.
      parity: "standard" or "full".
    """
    if parity == "full":
        return list(CASES), []
    run = [case for case in CASES if case.pixels * parameters <= _STANDARD_WORK]
    run = run or [CASES[0]]
    return run, [case for case in CASES if case not in run]


def read_photo(path: str) -> np.ndarray:
    """The photograph to crop, [H, W, 3] uint8; `DEFAULT_PHOTO` if `path` is empty.

    Raises:
      UserError: it cannot be read.
    """
    try:
        return read_rgb_u8(Path(path) if path else DEFAULT_PHOTO)
    except ImageError as error:
        raise UserError(
            "--photo must name a photograph: PNG, JPEG, WebP, TIFF, BMP or GIF, "
            f"without transparency. Received: {error} Leave it out for one of "
            "pdm_tf/samples."
        ) from error


def crops(photo_u8: np.ndarray, case: Case) -> np.ndarray:
    """Different parts of a photograph, [batch, height, width, 3] uint8.

    A photograph that is too small is mirrored.
    """
    height, width = photo_u8.shape[:2]
    low = max(case.height - height, 0)
    right = max(case.width - width, 0)
    photo_u8 = np.pad(photo_u8, [(0, low), (0, right), (0, 0)], mode="symmetric")
    height, width = photo_u8.shape[:2]
    return np.stack(
        [
            _crop(photo_u8, case, fraction)
            for fraction in np.linspace(0.4, 0.9, case.batch)
        ]
    )


def _crop(photo_u8: np.ndarray, case: Case, fraction: float) -> np.ndarray:
    top = int((photo_u8.shape[0] - case.height) * fraction)
    left = int((photo_u8.shape[1] - case.width) * fraction)
    return photo_u8[top : top + case.height, left : left + case.width]


def save_reference(folder: Path, name: str, values: np.ndarray) -> None:
    """Keeps an array for the comparing steps."""
    (folder / _REFERENCE).mkdir(parents=True, exist_ok=True)
    np.save(folder / _REFERENCE / f"{name}.npy", values)


def load_reference(folder: Path, name: str) -> np.ndarray:
    """An array of `save_reference`."""
    return np.load(folder / _REFERENCE / f"{name}.npy")


@dataclasses.dataclass(frozen=True)
class Difference:
    """The difference in one or several comparisons.

    Attributes:
      values: numbers compared.
      max_abs: largest absolute difference, unclipped; None where only levels are known.
      squares: sum of squared differences of the images clipped to [0, 1].
      level_diffs: levels that differ.
      ties: those of them that are rounding ties.
      finite: whether all values are, Keras's too.
    """

    values: int
    max_abs: float | None
    squares: float
    level_diffs: int
    ties: int
    finite: bool

    @property
    def psnr_db(self) -> float | None:
        """PSNR against Keras, peak 1; None for equal images."""
        if not self.squares:
            return None
        return float(10.0 * np.log10(self.values / self.squares))

    @property
    def beyond_ties(self) -> int:
        """Levels that differ for another reason than rounding."""
        return self.level_diffs - self.ties

    def to_json(self) -> dict[str, float | int | bool | str | None]:
        """For the certificate; equal images have the PSNR "identical"."""
        psnr = self.psnr_db
        return {
            "max_abs_diff": self.max_abs if self.finite else None,
            "psnr_db": "identical" if psnr is None else round(psnr, 2),
            "level_diffs": self.level_diffs,
            "rounding_ties": self.ties,
            "values": self.values,
            "finite": self.finite,
        }


def compare(output: np.ndarray, keras: np.ndarray, tolerance: float) -> Difference:
    """Compares float images, [..., 3] in about [0, 1], with Keras's.

    Raises:
      ValueError: the shapes differ.
    """
    _same_shape(output, keras)
    finite = bool(np.isfinite(output).all() and np.isfinite(keras).all())
    output, keras = _numbers(output), _numbers(keras)
    levels = compare_levels(to_u8(output), keras, tolerance)
    difference = np.abs(output - keras)
    inside = np.clip(output, 0.0, 1.0) - np.clip(keras, 0.0, 1.0)
    return dataclasses.replace(
        levels,
        max_abs=float(difference.max(initial=0.0)),
        squares=float(np.sum(np.square(inside, dtype=np.float64))),
        finite=finite,
    )


def compare_levels(
    output_u8: np.ndarray, keras: np.ndarray, tolerance: float
) -> Difference:
    """Compares 8-bit images with Keras's float ones.

    Raises:
      ValueError: the shapes differ.
    """
    _same_shape(output_u8, keras)
    finite = bool(np.isfinite(keras).all())
    keras = _numbers(keras)
    keras_u8 = to_u8(keras)
    steps = np.abs(output_u8.astype(np.int16) - keras_u8)
    differ = steps > 0
    scaled = np.clip(keras[differ], 0.0, 1.0) * 255.0 + 0.5
    to_border = np.abs(scaled - np.round(scaled))
    ties = (steps[differ] == 1) & (to_border <= tolerance * 255.0)
    return Difference(
        values=keras.size,
        max_abs=None,
        squares=float(np.sum(np.square(steps / 255.0, dtype=np.float64))),
        level_diffs=int(differ.sum()),
        ties=int(ties.sum()),
        finite=finite,
    )


def worst(differences: Iterable[Difference]) -> Difference:
    """Merges comparisons: sums, the largest difference, finite if all are."""
    every = list(differences)
    known = [d.max_abs for d in every if d.max_abs is not None]
    return Difference(
        values=sum(d.values for d in every),
        max_abs=max(known) if known else None,
        squares=sum(d.squares for d in every),
        level_diffs=sum(d.level_diffs for d in every),
        ties=sum(d.ties for d in every),
        finite=all(d.finite for d in every),
    )


def _numbers(values: np.ndarray) -> np.ndarray:
    """Replaces non-finite values, so that sums of differences stay numbers."""
    return np.nan_to_num(values, nan=0.0, posinf=1e30, neginf=-1e30)


def _same_shape(output: np.ndarray, keras: np.ndarray) -> None:
    if output.shape != keras.shape:
        raise ValueError(
            "An exported model's output must have the shape of Keras's, "
            f"{keras.shape}. Received: {output.shape}."
        )
