"""Small crops of every image's pictures, kept with the scores.

A comparison of several evaluations shows the same region of the same image as each
method made it, without computing anything again. The region depends on the set alone
(`panels.region_of`), so evaluations of one set have the same ones.

    crops/index.json        {"images": {name: {"region": [top, left, height, width],
                            "files": {"sr": "NAME.sr.png", "hr": ..., ...}}}}
    crops/NAME.sr.png       8-bit PNG, pixels as they are; .lr.png is in LR pixels
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pdm_tf.core.errors import UserError
from pdm_tf.core.files import read_json, write_json_atomic
from pdm_tf.core.images import read_rgb_u8, write_png
from pdm_tf.evaluation.panels import region_of, scale_of, views
from pdm_tf.evaluation.results import EvaluatedImage

FOLDER = "crops"
_INDEX = "index.json"


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
        flat = image.row.name.replace("/", "__")
        files = {}
        for view in views(image):
            part = cut(view.picture_u8, region)
            if view.key == "lr":
                step = scale_of(image)
                part = part[::step, ::step]  # the pixels as they were
            files[view.key] = f"{flat}.{view.key}.png"
            write_png(self._folder / files[view.key], part)
        self._images[image.row.name] = {"region": list(region), "files": files}

    def finish(self) -> None:
        """Writes the index; crops count only once they are in it."""
        if self._images:
            write_json_atomic(self._folder / _INDEX, {"images": self._images})


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
