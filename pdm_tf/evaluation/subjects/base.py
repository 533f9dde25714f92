"""The protocol of everything that is evaluated, and its simplest kinds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.core.pair_names import USUAL, PairRules
from pdm_tf.evaluation.baseline import baseline_grid, bicubic_upscaler
from pdm_tf.evaluation.image_set import find_scale, open_set
from pdm_tf.evaluation.results import BASELINE
from pdm_tf.evaluation.runner import Upscaler
from pdm_tf.inference.tiling import OVERLAP, TILE

BICUBIC = BASELINE


class Subject(Protocol):
    """Something that has, or makes, the SR image of each image of a set.

    Attributes:
      name: for people, e.g. "EDSR (sr_ema, step 4000)".
      label: short, for pictures and tables.
      scale: its factor.
      grid: where it puts LR pixels, see `core.geometry.GRIDS`; None: unknown.
      needs_lr: whether `picture` needs the LR image.
      facts: JSON-ready particulars for the report.
    """

    name: str
    label: str
    scale: int
    grid: str | None
    needs_lr: bool
    facts: Mapping[str, Any]

    def picture(self, name: str, lr_u8: np.ndarray | None) -> np.ndarray:
        """The SR image [H, W, 3] uint8 of a named image; raises UserError."""
        ...

    def unused(self, names: Iterable[str]) -> list[tuple[str, str]]:
        """Lists (file, reason) of its pictures of images that are not among `names`."""
        ...


@dataclass(frozen=True)
class SubjectRequest:
    """The subject to open, and settings for it.

    Attributes:
      location: a path, or BICUBIC.
      weights: "ema" or "raw", for a run folder.
      tile, overlap: for large images, see `inference/tiling.py`.
      scale: HR size / LR size if the user gave it, else 0.
      hr_dir, lr_dir: the set, from which kinds without a scale of their own find it.
      rules: what the person says of its pairs.
      picture_name: template of the names of finished pictures, see `core.pair_names`;
        "": the usual endings count.
    """

    location: str
    weights: str = "ema"
    tile: int = TILE
    overlap: int = OVERLAP
    scale: int = 0
    hr_dir: str = ""
    lr_dir: str = ""
    rules: PairRules = USUAL
    picture_name: str = ""


@dataclass(frozen=True)
class UpscalingSubject:
    """A subject that computes its pictures; see `Subject`.

    Attributes:
      upscale: lr_u8 -> sr_u8.
    """

    name: str
    label: str
    scale: int
    upscale: Upscaler
    grid: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    needs_lr = True

    def picture(self, name: str, lr_u8: np.ndarray | None) -> np.ndarray:
        return self.upscale(lr_u8)

    def unused(self, names: Iterable[str]) -> list[tuple[str, str]]:
        return []


def open_bicubic(request: SubjectRequest) -> UpscalingSubject:
    """Opens the baseline as the subject itself.

    Raises:
      UserError: no LR images, or its scale is not known and cannot be found from pairs.
    """
    scale = request.scale
    if not request.lr_dir:
        raise UserError(
            "--lr_dir is required: bicubic makes its pictures from LR images. "
            "Received nothing."
        )
    if not scale and request.hr_dir and request.lr_dir:
        scale = find_scale(request.hr_dir, request.lr_dir, request.rules)
    if not scale:
        raise UserError(
            "--model=bicubic needs --scale where there are no pairs to find it from. "
            "Received: no --scale."
        )
    images = open_set(request.hr_dir, request.lr_dir, scale, 0, request.rules)
    grid = baseline_grid(images.items, scale, recorded=images.grid)
    upscale = bicubic_upscaler(scale, grid)
    return UpscalingSubject(BICUBIC, BICUBIC, scale, upscale, grid)
