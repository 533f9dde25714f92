"""Reads an ONNX file's metadata and tensors, and checks whether it can be used.

Files written by `python -m export` carry metadata. Other files work too if they take
one image of any height and width and return one; their scale is found by trying.
"""

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pdm_tf.core.checks import sha256_of
from pdm_tf.core.errors import UserError
from pdm_tf.core.geometry import ASSUMED_GRID, GRIDS
from pdm_tf.inference.foreign_model import UNIT, Habits, habits_of

PathLike = str | os.PathLike[str]

SEAL = "seal"  # the entry of the metadata
# Protobuf's bytes for one more entry, whose value is 64 hexadecimal digits.
_SEAL_HEAD = b"\x72\x48\x0a\x04" + SEAL.encode() + b"\x12\x40"
_SEAL_BYTES = len(_SEAL_HEAD) + 64

FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True)
class ModelInfo:
    """The facts that an ONNX file states or shows.

    Attributes:
      path: the file.
      scale: SR size / LR size.
      architecture: "EDSR", ...; "" in files that are not ours.
      layout: "NHWC" or "NCHW", of input and output.
      precision: "float32" or "float16", of the computation between them.
      receptive_radius: how far an output pixel sees, in LR pixels; None: unknown.
      overlap: LR pixels to cut tiles with, as the network's author measured or derived
        them; None: unknown.
      grid: where LR pixels lie in HR images, of `core.geometry.GRIDS`; None: unknown.
      metadata: all of the file's metadata.
      sha256: of the file.
      batch: the one batch size that the graph takes; None: any.
      habits: what was found by trying, of a file that does not say its scale.
      multiple: LR pixels that make one of its squares: tiles begin at multiples of it.
    """

    path: Path
    scale: int
    architecture: str
    layout: str
    precision: str
    receptive_radius: int | None
    metadata: Mapping[str, str]
    sha256: str
    batch: int | None = None
    overlap: int | None = None
    grid: str | None = None
    habits: Habits | None = None
    multiple: int = 1

    @property
    def habits_remark(self) -> str:
        """What was found by trying and is unusual, as a note; "" if nothing."""
        if self.habits is None:
            return ""
        words = []
        if (self.habits.takes, self.habits.gives) != (UNIT, UNIT):
            words.append(
                f"takes values of {self.habits.takes} and gives {self.habits.gives}"
            )
        if self.habits.multiple > 1:
            words.append(
                f"takes sides that are multiples of {self.habits.multiple}: others "
                "are mirrored up to the next"
            )
        return f"note: the model {' and '.join(words)}" if words else ""

    @property
    def grid_remark(self) -> str:
        """The assumption on the grid, as a note; "" if the grid is known."""
        if self.grid or self.scale == 1:
            return ""
        return (
            f"note: the model does not say where LR pixels lie; {ASSUMED_GRID} is "
            "taken, which is wrong for networks of pdm_sr: export these again"
        )


def checked_path(path: PathLike) -> Path:
    """Returns an existing file's path.

    Raises:
      UserError: there is none, or it is a folder.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"There is no model file {path}.")
    if path.is_dir():
        found = sorted(path.glob("*.onnx"))
        hint = f" Did you mean {found[0]}?" if found else ""
        raise UserError(f"An ONNX file is required. Received the folder {path}.{hint}")
    return path


def sealed(data: bytes) -> bytes:
    """An ONNX file with one more entry of metadata, at its end: the hash of the rest.

    It tells a whole file of our own from others and from damaged ones. It is no proof:
    whoever writes a file can write its seal.
    """
    return data + _SEAL_HEAD + hashlib.sha256(data).hexdigest().encode()


def is_sealed(path: Path) -> bool:
    """Whether a file is, byte for byte, as `sealed` made it."""
    left, digest = path.stat().st_size - _SEAL_BYTES, hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(max(left, 0))
        seal = file.read()
        if not seal.startswith(_SEAL_HEAD):
            return False
        file.seek(0)
        while block := file.read(min(left, 1 << 20)):
            digest.update(block)
            left -= len(block)
    return seal == _SEAL_HEAD + digest.hexdigest().encode()


def model_files(model: Path, fp16: bool) -> tuple[Path, Path | None]:
    """Returns the model file to run, and the one to fall back to.

    Args:
      model: an ONNX file, or the folder that `python -m export` wrote.
      fp16: whether to run the float16 file next to it, and fall back to `model`.

    Raises:
      UserError: one of them is missing.
    """
    path = model / "model.onnx" if model.is_dir() else model
    if not path.is_file():
        raise UserError(
            "--model must be an ONNX file, or a folder with model.onnx as "
            f"`python -m export` writes it. Received: {model}."
        )
    if not fp16:
        return path, None
    half = path.with_name(f"{path.stem}_fp16{path.suffix}")
    if not half.is_file():
        raise UserError(
            f"--fp16 needs {half.name} next to {path.name}; `python -m export` writes "
            f"it. Received: {path.parent}, which has none."
        )
    return half, path


def check_tensors(session: Any, path: Path) -> None:
    """Raises UserError unless the graph takes an image and gives an image."""
    kind = session.get_modelmeta().custom_metadata_map.get("kind", "sr")
    if kind != "sr":
        raise UserError(
            f"{path} must be a super-resolution network. Received: kind {kind!r}, "
            "which makes LR images out of HR images. Take the model.onnx next to it."
        )
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shapes = [f"{x.name} {x.shape} {x.type}" for x in (*inputs, *outputs)]
    good = (
        len(inputs) == 1
        and len(inputs[0].shape) == 4
        and len(outputs[0].shape) in (0, 4)
        and inputs[0].type in FLOATS
        and outputs[0].type in FLOATS
    )
    if not good:
        raise UserError(
            f"{path} must take one image [batch, height, width, 3] or [batch, 3, "
            "height, width] of floats and give one. Received: "
            f"{'; '.join(shapes)}."
        )
    layout_of(inputs[0].shape, path)


def layout_of(shape: Sequence[Any], path: Path) -> str:
    """Returns "NHWC" or "NCHW" by the shape of the input.

    Raises:
      UserError: other than 3 colours, or sizes that are not free.
    """
    layout = "NCHW" if shape[1] == 3 and shape[3] != 3 else "NHWC"
    colour, free = (1, (2, 3)) if layout == "NCHW" else (3, (1, 2))
    if isinstance(shape[colour], int) and shape[colour] != 3:
        raise UserError(f"{path} must take 3 colours. Received: the shape {shape}.")
    if any(isinstance(shape[axis], int) for axis in free):
        raise UserError(
            f"{path} must take images of any height and width. Received: the shape "
            f"{shape}. Export it with free axes."
        )
    return layout


def read_info(
    session: Any, path: Path, run: Callable[[np.ndarray, str], np.ndarray]
) -> ModelInfo:
    """Reads the file's metadata.

    Args:
      session: the open `InferenceSession`.
      path: its file.
      run: computes a batch [B, h, w, 3], given the layout; for files that do not say
        their scale.

    Raises:
      UserError: metadata that cannot be, or an output that is no upscaled image.
    """
    metadata = dict(session.get_modelmeta().custom_metadata_map)
    image = session.get_inputs()[0]
    by_shape = layout_of(image.shape, path)
    layout = metadata.get("layout", by_shape)
    if layout != by_shape:
        raise UserError(
            f"{path} must have the layout that its metadata say, {layout}. Received: "
            f"the shape {image.shape}."
        )
    batch = image.shape[0] if isinstance(image.shape[0], int) else None
    scale = _number(metadata, "scale", path)
    half = image.type == "tensor(float16)"
    habits = None
    if scale is None:
        habits = habits_of(lambda lr: run(lr, layout), batch or 1, path)
    return ModelInfo(
        path=path,
        scale=scale or habits.scale,
        habits=habits,
        multiple=_number(metadata, "multiple", path)
        or (1 if habits is None else habits.multiple),
        architecture=metadata.get("architecture", ""),
        layout=layout,
        precision=metadata.get("precision", "float16" if half else "float32"),
        receptive_radius=_number(metadata, "receptive_radius", path),
        metadata=metadata,
        sha256=sha256_of(path),
        batch=batch,
        overlap=_number(metadata, "overlap", path) or _overlap_of_old_file(metadata),
        grid=_grid(metadata, path),
    )


def _overlap_of_old_file(metadata: Mapping[str, str]) -> int | None:
    """Returns the overlap for files exported before their metadata held one."""
    return 24 if metadata.get("architecture") == "RRDBNet" else None


def _number(metadata: Mapping[str, str], key: str, path: Path) -> int | None:
    text = metadata.get(key)
    if text is None:
        return None
    # Four digits: the largest of these numbers is a radius of some hundred pixels.
    if not re.fullmatch("[0-9]{1,4}", text) or (key == "scale" and not int(text)):
        raise UserError(
            f"The metadata of {path} must give `{key}` as a whole number. "
            f"Received: {text!r}."
        )
    return int(text)


def _grid(metadata: Mapping[str, str], path: Path) -> str | None:
    grid = metadata.get("grid")
    if grid is not None and grid not in GRIDS:
        raise UserError(
            f"The metadata of {path} must give `grid` as one of {', '.join(GRIDS)}. "
            f"Received: {grid!r}."
        )
    return grid
