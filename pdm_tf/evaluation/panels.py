"""Pictures of evaluated images, made as they stream by, for a person to judge.

Panels: LR, bicubic, SR, HR, with their scores. The upper row shows the whole image, the
lower row the same small region of each at several times its size, pixel by pixel (no
smoothing on top). A rectangle marks the region: the most textured one of the HR image,
because that is where methods differ; without HR of the LR image, so that it is the same
for every method.

Crops: that region of every image, kept with the scores, so that a comparison of
several evaluations shows the same region of the same image as each method made it,
without computing anything again.

    crops/index.json        {"images": {name: {"region": [top, left, height, width],
                            "files": {"sr": "NAME.sr.png", "hr": ..., ...}}}}
    crops/NAME.sr.png       8-bit PNG, pixels as they are; .lr.png is in LR pixels

Saved images: the whole SR picture of every image, if asked for, under the names of the
set, as `evaluate --model=FOLDER` and other programs read them.

Extremes: the best and the worst images. The choice is known when the last image is
scored; so candidates are kept on the way, as small pictures.
"""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pdm_tf.core import draw
from pdm_tf.core.errors import UserError
from pdm_tf.core.files import fitting_name, write_json_atomic
from pdm_tf.core.images import read_rgb_u8, write_png
from pdm_tf.core.stored import read_json
from pdm_tf.evaluation.results import EvaluatedImage, Scores
from pdm_tf.metrics import METRICS, MetricSpec

# Widths in pixels. A column is as wide as the image within these limits.
MIN_COLUMN = 300
MAX_COLUMN = 480
ZOOM = 3
USUAL_SCALE = 4
FOLDER = "crops"
SAVED = "images"
_INDEX = "index.json"


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
    """Formats a line under a picture: "26.41 dB  0.7312  shift +1,-2 26.90 dB"."""
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
        path = self._folder / _flat(image.row.name, ".png")
        write_png(path, panel(image, model=self._label))
        self.written.append(path)


def _flat(name: str, ending: str) -> str:
    """The file for an image whose name may hold sub-folders, all in one folder."""
    return fitting_name(name.replace("/", "__"), ending)


class CropWriter:
    """Writes crops of the images that it is called with; made for `on_image`."""

    def __init__(self, output: Path, limit: int) -> None:
        """Makes a writer.

        Args:
          output: folder of the evaluation.
          limit: how many of the first images; -1: all.
        """
        self._folder = output / FOLDER
        self._limit = limit
        self._images: dict[str, Any] = {}

    def __call__(self, image: EvaluatedImage) -> None:
        if 0 <= self._limit <= len(self._images):
            return
        region = region_of(image)
        files = {}
        for view in views(image):
            part = cut(view.picture_u8, region)
            if view.key == "lr":
                step = scale_of(image)
                part = part[::step, ::step]  # the pixels as they were
            files[view.key] = _flat(image.row.name, f".{view.key}.png")
            write_png(self._folder / files[view.key], part)
        self._images[image.row.name] = {"region": list(region), "files": files}

    def finish(self) -> None:
        """Writes the index; crops count only once they are in it."""
        if self._images:
            write_json_atomic(self._folder / _INDEX, {"images": self._images})


class ImageSaver:
    """Writes the SR pictures that it is called with; made for `on_image`.

    Attributes:
      written: how many.
    """

    def __init__(self, output: Path) -> None:
        """Makes a writer for the folder of an evaluation."""
        self._folder = output / SAVED
        self.written = 0

    def __call__(self, image: EvaluatedImage) -> None:
        # Added, not put for a suffix: "a.v2" is a name without one.
        write_png(self._folder / f"{image.row.name}.png", image.sr_u8)
        self.written += 1


@dataclass(frozen=True)
class StoredCrop:
    """Crops of one image.

    Attributes:
      region: (top, left, height, width) in SR pixels.
      folder: where the files are.
      files: "lr", "bicubic", "sr", "hr" -> file name, for existing ones.
    """

    region: tuple[int, int, int, int]
    folder: Path
    files: Mapping[str, str]

    def read(self, key: str) -> np.ndarray | None:
        """[h, w, 3] uint8; None if it was not stored. Raises ImageError."""
        name = self.files.get(key)
        return None if name is None else read_rgb_u8(self.folder / name)


def stored_crops(output: Path) -> dict[str, StoredCrop]:
    """Name -> crops of an evaluation; empty if it kept none.

    Raises:
      UserError: an index that is not one.
    """
    folder = output / FOLDER
    if not (folder / _INDEX).is_file():
        return {}
    try:
        images = read_json(folder / _INDEX)["images"]
        return {
            name: StoredCrop(tuple(found["region"]), folder, dict(found["files"]))
            for name, found in images.items()
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{folder / _INDEX} must be as pdm_tf.evaluate writes it. "
            f"Received: {type(error).__name__}: {error}."
        ) from error


def cut(picture_u8: np.ndarray, region: tuple[int, int, int, int]) -> np.ndarray:
    """The region (top, left, height, width) of a picture."""
    top, left, height, width = region
    return picture_u8[top : top + height, left : left + width]


class Shown(NamedTuple):
    """One picture of an image: the whole, small, and its crop; with lines below."""

    whole_u8: np.ndarray
    crop_u8: np.ndarray
    lines: Sequence[str]


class Exhibit(NamedTuple):
    """One image of a set.

    Attributes:
      name: of the image.
      region: (top, left, height, width) of the crops in SR pixels.
      shown: LR, bicubic, the model's and HR, as far as there.
    """

    name: str
    region: tuple[int, int, int, int]
    shown: Sequence[Shown]


class Extremes:
    """Keeps the images with the highest and the lowest scores; made for `on_image`."""

    def __init__(self, metric: MetricSpec, count: int, *, label: str = "SR") -> None:
        """Begins without images.

        Args:
          metric: decides the order.
          count: how many of the best and of the worst.
          label: of the model's picture.
        """
        self._metric, self._count, self._label = metric, count, label
        self._kept: list[tuple[float, int, Exhibit]] = []
        self._seen = 0

    def __call__(self, image: EvaluatedImage) -> None:
        value = image.row.scores.values[self._metric.name]
        goodness = value if self._metric.higher_is_better else -value
        self._seen += 1
        place = bisect.bisect(self._kept, (goodness, self._seen))
        full = len(self._kept) == 2 * self._count
        if full and place == self._count:
            return  # neither among the best nor among the worst
        self._kept.insert(place, (goodness, self._seen, exhibit_of(image, self._label)))
        if full:
            del self._kept[self._count]

    def worst(self) -> list[Exhibit]:
        """Returns the worst images, worst first; at most half of few images."""
        return [kept for *_, kept in self._kept[: self._split()]]

    def best(self) -> list[Exhibit]:
        """Returns the best images, best first, without those among the worst."""
        rest = self._kept[self._split() :]
        return [kept for *_, kept in rest[::-1][: self._count]]

    def _split(self) -> int:
        return min(self._count, len(self._kept) // 2)


def exhibit_of(image: EvaluatedImage, label: str) -> Exhibit:
    """Makes the small pictures of one image."""
    region = region_of(image)
    shown = []
    for view in views(image, label):
        small = draw.shrink_to_width(view.picture_u8, MAX_COLUMN)
        ratio = small.shape[1] / view.picture_u8.shape[1]
        box = tuple(round(value * ratio) for value in region)
        crop = np.ascontiguousarray(cut(view.picture_u8, region))
        shown.append(Shown(draw.outlined(small, box), crop, view.lines))
    return Exhibit(image.row.name, region, shown)
