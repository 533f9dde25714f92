"""Which crops of a photograph the exported models are compared with Keras on.

Sizes from one pixel to 512 x 300, odd ones, wide and tall ones, batches of one to four.
The work grows with the network, so a large one leaves the largest sizes out unless the
full comparison is asked for; what was left out is written down.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.images import read_rgb_u8
from pdm_tf.samples import PHOTOS_FOR_HR

# A crop of up to 512 x 300 fits into it either way up, nearly.
DEFAULT_PHOTO = PHOTOS_FOR_HR / "coffee.jpg"
# Multiplications, about: half a minute of two CPU cores for each model compared.
_STANDARD_WORK = 3e11


@dataclass(frozen=True)
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
# Where times are taken.
LATENCY_CASE = Case(1, 64, 64)
# LR sizes for the degradation, whose blur is many times its output's size.
DEGRADATION_CASES = (Case(1, 1, 1), Case(3, 17, 23), Case(2, 64, 48))


def choose(parameters: int, parity: str) -> tuple[list[Case], list[Case]]:
    """The cases to run and those to leave out.

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
            "--photo must name a photograph: PNG, JPEG, WebP or BMP, without "
            f"transparency. Received: {error} Leave it out for one of pdm_tf/samples."
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


def mixed(photo_u8: np.ndarray, cases: Sequence[Case]) -> list[np.ndarray]:
    """One crop of each size up to 64 x 64 among the cases: a batch of mixed sizes."""
    small = [case for case in cases if max(case.height, case.width) <= 64]
    return [crops(photo_u8, case)[0] for case in small]
