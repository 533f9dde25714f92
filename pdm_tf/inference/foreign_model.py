"""What an ONNX file of others takes and gives, found by trying it on small grey images.

Such files do not say their scale, nor that they were trained on values from 0 to 255,
nor that they move pixels into channels first and so take even sides only. A grey must
come out as that grey: by that the ranges are found, and what comes out otherwise in
every range is refused, since white pictures would be the result.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.inference.tiling import mirrored

# Sides of the images: networks that take multiples only, of 2 or of windows of 7, 8 or
# 12 pixels, take one of these.
_SIDES = (8, 16, 32, 64, 48, 56)
_GREYS = (0.3, 0.5, 0.7)
# How far from a grey its result may be. In the usual range networks that were hardly
# trained are to pass too, and the middle grey counts most; other ranges have to prove
# themselves.
_USUAL_MIDDLE, _USUAL, _OTHER = 0.2, 0.45, 0.1

Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Range:
    """Values from `low` to `high`, for black and white."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"

    def of_unit(self, image: np.ndarray) -> np.ndarray:
        """From [0, 1]."""
        return image * np.float32(self.high - self.low) + np.float32(self.low)

    def to_unit(self, image: np.ndarray) -> np.ndarray:
        """To [0, 1]."""
        return (image - np.float32(self.low)) / np.float32(self.high - self.low)


UNIT = Range(0.0, 1.0)
_RANGES = (UNIT, Range(0.0, 255.0), Range(-1.0, 1.0))


@dataclass(frozen=True)
class Habits:
    """How images have to be handed over, and results taken.

    Attributes:
      scale: SR size / LR size.
      takes, gives: the values of black and white.
      multiple: sides must be multiples of it.
    """

    scale: int
    takes: Range = UNIT
    gives: Range = UNIT
    multiple: int = 1

    def apply(self, run: Run, lr: np.ndarray) -> np.ndarray:
        """Upscales [B, h, w, 3] in [0, 1] as any other network.

        What is missing to whole multiples is mirrored at the bottom and right, and cut
        off again.
        """
        height, width = lr.shape[1:3]
        lr = mirrored(lr, *(n + -n % self.multiple for n in (height, width)))
        if self.takes != UNIT:
            lr = self.takes.of_unit(lr)
        sr = run(lr)[:, : height * self.scale, : width * self.scale]
        return sr if self.gives == UNIT else self.gives.to_unit(sr)


def habits_of(run: Run, batch: int, path: Path) -> Habits:
    """Tries a network.

    Args:
      run: computes [B, h, w, 3] as the file takes and gives it.
      batch: images at once.
      path: the file, for messages.

    Raises:
      UserError: it gives no image of whole multiples of its input's sides, or greys in
        no known range.
    """
    side, scale = _scale(run, batch, path)
    takes, gives = _ranges(run, batch, side, path)
    return Habits(scale, takes, gives, _multiple(run, batch, side, scale))


def _grey(batch: int, side: int, value: float) -> np.ndarray:
    return np.full((batch, side, side, 3), value, np.float32)


def _scale(run: Run, batch: int, path: Path) -> tuple[int, int]:
    for side in _SIDES:
        lr = _grey(batch, side, 0.5)
        try:
            sr = run(lr)
        except UserError:
            if side == _SIDES[-1]:
                raise
            continue
        scale = sr.shape[1] // side if sr.ndim == 4 else 0
        if not scale or sr.shape != (batch, side * scale, side * scale, 3):
            raise UserError(
                f"{path} must give an image of whole multiples of its input's sides. "
                f"Received: {list(sr.shape)} for {list(lr.shape)}."
            )
        return side, scale
    raise AssertionError("the last side returns or raises")


def _ranges(run: Run, batch: int, side: int, path: Path) -> tuple[Range, Range]:
    given = {
        takes: [_inner(run(_grey(batch, side, takes.of_unit(g)))) for g in _GREYS]
        for takes in _RANGES
    }
    apart = {
        (takes, gives): float(
            np.abs(gives.to_unit(np.array(values)) - np.array(_GREYS)).max()
        )
        for takes, values in given.items()
        for gives in _RANGES
    }
    middle = abs(given[UNIT][len(_GREYS) // 2] - 0.5)
    if middle <= _USUAL_MIDDLE and apart[UNIT, UNIT] <= _USUAL:
        return UNIT, UNIT
    best = min(apart, key=lambda pair: np.nan_to_num(apart[pair], nan=np.inf))
    if apart[best] <= _OTHER:
        return best
    said = ", ".join(f"{value:.3g}" for value in given[UNIT])
    raise UserError(
        f"{path} must give greys as they are, with black and white as "
        f"{' or '.join(map(str, _RANGES))}. Received {said} for "
        f"{', '.join(map(str, _GREYS))}, and no such range fits."
    )


def _inner(sr: np.ndarray) -> float:
    """The mean away from the border, where zeros were seen beyond."""
    edge = sr.shape[1] // 4
    return float(sr[:, edge:-edge, edge:-edge].mean())


def _multiple(run: Run, batch: int, side: int, scale: int) -> int:
    for multiple in (n for n in range(1, side) if side % n == 0):
        longer = side + multiple
        try:
            sr = run(np.full((batch, longer, side, 3), 0.5, np.float32))
        except UserError:
            continue
        if sr.shape[1:3] == (longer * scale, side * scale):
            return multiple
    return side
