"""How far an exported model's output is from the Keras network's.

A level is an 8-bit value. Two outputs that agree to 1e-6 still give different levels
where the network's lies on the border between two, so a level that differs by one, with
Keras's value within the tolerance of that border, counts as a rounding tie; any other
difference of levels is a real one.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

from pdm_tf.core.images import to_u8


@dataclasses.dataclass(frozen=True)
class Difference:
    """Of one or several comparisons.

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
    """All comparisons as one: sums, the largest difference, finite if all are."""
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
    """Something finite for what is not, so that sums of differences stay numbers."""
    return np.nan_to_num(values, nan=0.0, posinf=1e30, neginf=-1e30)


def _same_shape(output: np.ndarray, keras: np.ndarray) -> None:
    if output.shape != keras.shape:
        raise ValueError(
            "An exported model's output must have the shape of Keras's, "
            f"{keras.shape}. Received: {output.shape}."
        )
