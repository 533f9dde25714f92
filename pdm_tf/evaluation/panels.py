"""Side-by-side pictures: LR, bicubic, SR, HR, with their scores, for a person to judge.

The upper row shows the whole image, the lower row the same small region of each at
several times its size, pixel by pixel (no smoothing on top). A rectangle marks the
region: the most textured one of the HR image, because that is where methods differ;
without HR of the LR image, so that it is the same for every method.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pdm_tf.core import draw
from pdm_tf.core.images import write_png
from pdm_tf.evaluation.results import Scores
from pdm_tf.evaluation.runner import EvaluatedImage
from pdm_tf.metrics import METRICS

# Widths in pixels. A column is as wide as the image within these limits.
MIN_COLUMN = 300
MAX_COLUMN = 480
ZOOM = 3
USUAL_SCALE = 4


def textured_region(
    hr_u8: np.ndarray, height: int, width: int, scale: int
) -> tuple[int, int]:
    """Finds the window with the most detail of the size that SR can bring back.

    Detail is the sum of absolute differences between neighbouring means of scale x
    scale pixels, so that edges count and gravel, which no method recovers, does not.

    Args:
      hr_u8: [H, W, 3] uint8.
      height, width: of the window, at most those of the image; multiples of `scale`.
      scale: HR size / LR size; the corner lies on multiples of it.

    Returns:
      (top, left).
    """
    rows, columns = hr_u8.shape[0] // scale, hr_u8.shape[1] // scale
    grey = hr_u8[: rows * scale, : columns * scale].astype(np.float64).mean(axis=-1)
    grey = grey.reshape(rows, scale, columns, scale).mean(axis=(1, 3))
    detail = np.zeros_like(grey)
    detail[1:] += np.abs(np.diff(grey, axis=0))
    detail[:, 1:] += np.abs(np.diff(grey, axis=1))
    integral = np.zeros((rows + 1, columns + 1))
    integral[1:, 1:] = detail.cumsum(axis=0).cumsum(axis=1)
    high, wide = height // scale, width // scale
    sums = (
        integral[high:, wide:]
        - integral[:-high, wide:]
        - integral[high:, :-wide]
        + integral[:-high, :-wide]
    )
    row, column = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return int(row) * scale, int(column) * scale


def score_lines(scores: Scores | None) -> list[str]:
    """Formats a line under a picture: "26.41 dB

    0.7312

    shift +1,-2 26.90 dB"."""
    if scores is None:
        return [""]
    parts = []
    for name, value in scores.values.items():
        spec = METRICS[name]
        number = f"{value:.{spec.decimals}f} {spec.unit}".strip()
        if name == "psnr_shift":
            dy, dx = scores.details["shift"]
            number = f"best shift [{dy:+d},{dx:+d}] {number}"
        elif name != "psnr":
            number = f"{name.upper()} {number}"
        parts.append(number)
    return ["   ".join(parts[:2]), *parts[2:]]


def panel(image: EvaluatedImage, *, model: str = "SR", title: str = "") -> np.ndarray:
    """Draws one evaluated image.

    Args:
      image: from the runner, with or without bicubic.
      model: label of the SR picture.
      title: the line on top; the image's name and sizes by default.

    Returns:
      [H, W, 3] uint8: columns LR, bicubic (if there), `model`, HR.
    """
    shown = views(image, model)
    columns = [(view.picture_u8, view.lines) for view in shown]
    scale = scale_of(image)
    region = region_of(image)
    wholes = [_whole(picture, region) for picture, _ in columns]
    details = [
        draw.with_label(_detail(picture, region, wholes[0].shape[1]), lines, size=15)
        for picture, lines in columns
    ]
    top, left, high, wide = region
    title = title or (
        f"{image.row.name}   x{scale}   below: {wide}x{high} pixels at {left},{top}"
    )
    grid = draw.tile_grid([wholes, details], gap=10)
    return draw.tile_grid([[draw.with_title(grid, title, size=16)]], margin=12)


class View(NamedTuple):
    """One of the pictures of an image.

    Attributes:
      key: "lr", "bicubic", "sr" or "hr".
      picture_u8: [H, W, 3], of the size of the SR image.
      lines: its title, then remarks on it.
    """

    key: str
    picture_u8: np.ndarray
    lines: list[str]


def views(image: EvaluatedImage, model: str = "SR") -> list[View]:
    """Lists LR (pixels enlarged), bicubic, the model's picture and HR, if there."""
    height, width = image.sr_u8.shape[:2]
    out = []
    if image.lr_u8 is not None:
        scale, lr_u8 = scale_of(image), image.lr_u8
        big = draw.enlarge(lr_u8, scale)[:height, :width]
        size = f"{lr_u8.shape[1]}x{lr_u8.shape[0]}, pixels enlarged x{scale}"
        out.append(View("lr", big, ["LR", size]))
    if image.bicubic_u8 is not None:
        lines = ["bicubic", *score_lines(image.row.baseline)]
        out.append(View("bicubic", image.bicubic_u8, lines))
    out.append(View("sr", image.sr_u8, [model, *score_lines(image.row.scores)]))
    if image.hr_u8 is not None:
        lines = ["HR", f"{width}x{height}, the reference"]
        out.append(View("hr", image.hr_u8, lines))
    return out


def scale_of(image: EvaluatedImage) -> int:
    """Returns SR size / LR size; the usual one if there is no LR image."""
    if image.lr_u8 is None:
        return USUAL_SCALE
    return max(1, image.sr_u8.shape[1] // image.lr_u8.shape[1])


def region_of(image: EvaluatedImage) -> tuple[int, int, int, int]:
    """(top, left, height, width) of the region to enlarge, in SR pixels.

    It lies on the LR grid and depends on the set alone, unless there is nothing but the
    SR picture.
    """
    scale = scale_of(image)
    height, width = image.sr_u8.shape[:2]
    column = min(max(width, MIN_COLUMN), MAX_COLUMN)
    wide = max(scale, min(column // ZOOM, width) // scale * scale)
    high = max(scale, min(wide * 2 // 3, height) // scale * scale)
    if image.hr_u8 is None and image.lr_u8 is not None:
        place = textured_region(image.lr_u8, high // scale, wide // scale, 1)
        return (place[0] * scale, place[1] * scale, high, wide)
    reference = image.sr_u8 if image.hr_u8 is None else image.hr_u8
    return (*textured_region(reference, high, wide, scale), high, wide)


def _whole(picture: np.ndarray, region: tuple[int, int, int, int]) -> np.ndarray:
    """Shrinks the whole picture to the width of a column, with the region marked."""
    width = picture.shape[1]
    if width < MIN_COLUMN:
        factor = -(-MIN_COLUMN // width)
        shown = draw.enlarge(picture, factor)
    else:
        shown = draw.shrink_to_width(picture, MAX_COLUMN)
    ratio = shown.shape[1] / width
    return draw.outlined(shown, tuple(round(v * ratio) for v in region))


def _detail(
    picture: np.ndarray, region: tuple[int, int, int, int], width: int
) -> np.ndarray:
    """Enlarges the region by whole pixels to at most the width of a column."""
    top, left, high, wide = region
    part = picture[top : top + high, left : left + wide]
    return draw.enlarge(part, max(1, width // wide))


class PanelWriter:
    """Draws the first images that it is called with; made for `on_image`.

    Attributes:
      written: the files, in order.
    """

    def __init__(self, folder: Path, limit: int, *, label: str = "SR") -> None:
        """Makes a writer.

        Args:
          folder: where the PNG files go; made when needed.
          limit: how many to draw; -1 draws all.
          label: of the SR picture.
        """
        self._folder = folder
        self._limit = limit
        self._label = label
        self.written: list[Path] = []

    def __call__(self, image: EvaluatedImage) -> None:
        if 0 <= self._limit <= len(self.written):
            return
        # Names may hold sub-folders; the panels lie in one folder.
        flat = image.row.name.replace("/", "__")
        path = self._folder / f"{flat}.png"
        write_png(path, panel(image, model=self._label))
        self.written.append(path)
