"""Degrades one HR photograph to its LR images, and writes the manifest of them.

The randomness of an LR image is a function of (seed, name, draw), the name being the
photograph's path below the input folder without its suffix. By name and not by index:
photographs that are added or removed then change no other image, parts of a folder can
be done on different machines, and a second start need not know the first one's list.
"""

import base64
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pdm_tf.core.errors import ImageError, UserError
from pdm_tf.core.files import fitting_name, write_bytes_atomic, write_text_atomic
from pdm_tf.core.images import decode_rgb_u8, whole_file
from pdm_tf.core.seeds import stream_seed
from pdm_tf.data.pairs import DEGRADE_RECORD as RECORD_NAME
from pdm_tf.data.preparation import Outcome, open_output, written
from pdm_tf.degradations.base import Degradation
from pdm_tf.degradations.whole_image import Stopped, degrade_image

__all__ = ["Stopped"]  # re-exported: these functions may raise it

MANIFEST_NAME = "manifest.jsonl"
KERNELS_NAME = "kernels.npy"

_KERNEL = "kernel_float32"  # base64 in a row, until the manifest gives it an index


@dataclass(frozen=True)
class Request:
    """The work on each photograph.

    Attributes:
      degradation: what to apply.
      seed: of everything random.
      draws: LR images of each photograph, >= 1.
      should_stop: asked now and then; true ends the work with `Stopped`.
    """

    degradation: Degradation
    seed: int
    draws: int = 1
    should_stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class DegradeOutcome(Outcome):
    """`Outcome`, counting photographs.

    Attributes:
      stale: results of earlier starts whose photographs are gone; the files are kept,
        the manifest is without them.
    """

    stale: tuple[str, ...] = ()


@dataclass(frozen=True)
class Photograph:
    """A photograph and its LR images.

    Attributes:
      hr_u8: [H, W, 3], cropped at the bottom and right to whole LR pixels; sharpened
        where the degradation names another target than the photograph.
      lr_u8: one [h, w, 3] for each draw.
      rows: one for each draw: how it was made, for the manifest.
    """

    hr_u8: np.ndarray
    lr_u8: tuple[np.ndarray, ...]
    rows: tuple[dict[str, Any], ...]


def open_folder(
    input_dir: str | Path,
    output_dir: str | Path,
    settings: dict[str, Any],
    record_name: str = RECORD_NAME,
) -> Path:
    """Makes the output folder, or takes one that was made with the same settings.

    `record_name` is the file in it that keeps the settings.

    Raises:
      UserError: as `open_output`; or LR or HR images of other origin are in it, which
        would mix with the results.
    """
    folder = Path(output_dir)
    if not (folder / record_name).exists():
        for name in ("lr", "hr", MANIFEST_NAME):
            if (folder / name).exists():
                raise UserError(
                    "--output must be new, or one that pdm_tf.degrade has made "
                    f"(with {record_name}). Received: {folder}, which holds {name}."
                )
    return open_output(input_dir, folder, settings, record_name)


def names_of(files: Sequence[Path], input_dir: Path, draws: int) -> dict[Path, str]:
    """Returns the name of each photograph: its relative path without suffix.

    Raises:
      UserError: two of them share a name, or an LR image of one would have the name of
        the other (a with two draws, and a_d1).
    """
    names = {
        path: path.relative_to(input_dir).with_suffix("").as_posix() for path in files
    }
    owners: dict[str, Path] = {}
    for path, name in names.items():
        for taken in {name, *lr_names(name, draws)}:
            if taken in owners:
                raise UserError(
                    "Images in --input must differ in more than their suffix, and "
                    "in more than the _d0, _d1, ... of draws. Received: "
                    f"{owners[taken]} and {path}, both to become {taken}.png."
                )
            owners[taken] = path
    return names


def lr_names(name: str, draws: int) -> list[str]:
    """Returns the names of a photograph's LR images, without suffix."""
    if draws == 1:
        return [name]
    place = PurePosixPath(name)
    files = [fitting_name(place.name, f"_d{draw}.png") for draw in range(draws)]
    return [place.with_name(file).with_suffix("").as_posix() for file in files]


def image_seed(seed: int, name: str, draw: int) -> tuple[int, int]:
    """Returns the seed of one LR image, as `Degradation.draw` takes it."""
    return stream_seed(seed, f"degrade/{name}/{draw}")


def degrade_photograph(path: Path, name: str, request: Request) -> Photograph:
    """Reads, crops and degrades one photograph.

    Raises:
      ImageError: it cannot be read or is too small.
      Stopped: it was asked to stop.
    """
    data = whole_file(path)
    hr_u8, scale = decode_rgb_u8(data, path), request.degradation.scale
    height, width = (side - side % scale for side in hr_u8.shape[:2])
    least = request.degradation.least_size
    if min(height, width) < least:
        found = f"{hr_u8.shape[1]}x{hr_u8.shape[0]} px"
        raise ImageError(path, f"is smaller than {least} px, what is blurred ({found})")
    hr_u8 = np.ascontiguousarray(hr_u8[:height, :width])
    about = {"source": path.name, "sha256": hashlib.sha256(data).hexdigest()}
    images, rows, target_u8 = [], [], hr_u8
    for draw in range(request.draws):
        seed = image_seed(request.seed, name, draw)
        image = degrade_image(
            request.degradation, hr_u8, seed, should_stop=request.should_stop
        )
        images.append(image.lr_u8)
        # The target is a function of the photograph: the same for each draw.
        target_u8 = hr_u8 if image.target_u8 is None else image.target_u8
        rows.append(
            {
                **about,
                "draw": draw,
                "seed": list(seed),
                "noise_std_255": _rounded(image.noise_std_255),
                "quality": _rounded(image.quality),
                "lr_size": list(image.lr_u8.shape[:2]),
                "hr_size": [height, width],
                "crop": [0, 0, height, width],
                "hr_is_target": image.target_u8 is not None,
                _KERNEL: _packed(image.kernel),
            }
        )
    return Photograph(target_u8, tuple(images), tuple(rows))


def write_manifest(folder: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Writes the manifest, one line for each row, and the kernels that they used.

    `kernel` in a line is an index into kernels.npy, [N, K, K] float32, or null.
    """
    kernels, lines = [], []
    for row in rows:
        packed = row[_KERNEL]
        index = None if packed is None else len(kernels)
        if packed is not None:
            kernels.append(_unpacked(packed))
        line = {key: value for key, value in row.items() if key != _KERNEL}
        lines.append(json.dumps({**line, "kernel": index}, ensure_ascii=False))
    if kernels:
        buffer = io.BytesIO()
        np.save(buffer, np.stack(kernels))
        path = folder / KERNELS_NAME
        written(path, lambda: write_bytes_atomic(path, buffer.getvalue()))
    path = folder / MANIFEST_NAME
    text = "".join(f"{line}\n" for line in lines)
    written(path, lambda: write_text_atomic(path, text))
    return path


def _rounded(value: float | None) -> float | None:
    # Sums in another order, as with other numbers of threads, differ far behind this.
    return None if value is None else round(value, 4)


def _packed(kernel: np.ndarray | None) -> str | None:
    if kernel is None:
        return None
    return base64.b64encode(kernel.astype("<f4").tobytes()).decode("ascii")


def _unpacked(text: str) -> np.ndarray:
    values = np.frombuffer(base64.b64decode(text), "<f4")
    side = round(len(values) ** 0.5)
    return values.reshape(side, side)
