"""The network under test: an ONNX file, and what it takes to build it elsewhere.

Whatever it was given as, it becomes an ONNX file first (`networks.py`), and every other
side takes its weights from there: so the sides are the same network, and the file is
what is shipped. Nothing here loads TensorFlow, so that the memory of sides without it
can be measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pdm_tf.core.errors import UserError

# Of each convolution: kernel [out, in, kh, kw] and bias [out], float32.
Convolutions = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Subject:
    """One network.

    Attributes:
      name: as the user gave it.
      path: its ONNX file.
      architecture: "EDSR" or "RRDBNet"; "" for one that only onnxruntime can run.
      config: the settings of that architecture.
    """

    name: str
    path: Path
    architecture: str
    config: Mapping[str, Any]


def load_onnx(path: Path) -> Any:
    """Returns the `onnx.ModelProto` of a file.

    Raises:
      UserError: there is no such file, or it is not ONNX.
    """
    onnx = import_onnx()
    from google.protobuf.message import DecodeError

    try:
        return onnx.load(path)
    except FileNotFoundError as error:
        raise UserError(f"--model must exist. Received: {path}.") from error
    except DecodeError as error:
        raise UserError(f"--model must be an ONNX file. Received: {path}.") from error


def import_onnx() -> ModuleType:
    """Returns the module `onnx`.

    Raises:
      UserError: it is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise needs(error) from error
    return onnx


def needs(error: ModuleNotFoundError) -> UserError:
    """Returns what to say when a package is missing."""
    return UserError(
        f"pdm_tf.benchmark inference needs the package {error.name}, which is not "
        'installed. Install it with pip install -e ".[benchmark]".'
    )
