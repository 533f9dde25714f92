"""The timed networks and steps, in plain values from which to build them elsewhere.

A network under test, in whatever form, becomes an ONNX file first
(`networks.py`), and every other side takes its weights from there: so the sides are the
same network, and the file is the one that is shipped. A degradation model and a
training step are settings and weights.

Nothing here loads TensorFlow when it is imported, so that the memory of sides without
it can be measured.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from pdm_tf.core.errors import UserError

# Of each convolution: kernel [out, in, kh, kw] and bias [out], float32.
Convolutions = list[tuple[np.ndarray, np.ndarray]]
# Of each network: variable path below the network -> value.
Weights = Mapping[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class TimedNetwork:
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


@dataclass(frozen=True)
class TimedDegradation:
    """One degradation model.

    Attributes:
      config: settings of `PDM`, those of its modules nested.
      window: HR pixels from LR pixel 0 to the middle of its blur window.
      centre_px: offset of a centred kernel's mass from the middle tap, HR pixels.
    """

    config: Mapping[str, Any]
    window: int
    centre_px: float

    @classmethod
    def of(cls, config: Any) -> "TimedDegradation":
        """Describes the degradation model of a `PDMConfig`."""
        from pdm_tf.ops.blur import grid_geometry

        return cls(asdict(config), *grid_geometry(config.scale, config.grid))

    def require_torch(self) -> None:
        """Checks that the PyTorch side has all of it.

        Raises:
          UserError: it has not.
        """
        kernel, noise = self.config["kernel"], self.config["noise"]
        if kernel["spatial"]:
            raise UserError(
                "--compare=torch needs one kernel per image. Received: "
                "--kernel_arg=spatial=true."
            )
        if kernel["use_image"] or (noise and noise["latent"] == "zero"):
            raise UserError(
                "--compare=torch needs kernels that depend on the latent alone, and "
                "noise that depends on a latent. Received: "
                "--kernel_arg=use_image=true or --noise_arg=latent=zero."
            )
        for module in (kernel, noise):
            if module is not None and module["normalization"] == "layer":
                raise UserError(
                    "--compare=torch has no layer normalisation. Received: "
                    "normalization=layer."
                )


@dataclass(frozen=True)
class TimedStep:
    """One joint step.

    Attributes:
      batch_size: patches of each stream.
      lr_patch: their side, LR pixels.
      hr_patch: side of HR patches, with the margin that the blur eats.
      degradation: the degradation model.
      discriminator: settings of `PatchGAN`.
      architecture: of the SR network, "EDSR" or "RRDBNet".
      sr: its settings.
      method: settings of `PDMSR`.
      learning_rate: of Adam, for every network.
      clip_norm: largest norm of each network's gradients.
      torch_maps: output maps of PyTorch's discriminator.
    """

    batch_size: int
    lr_patch: int
    hr_patch: int
    degradation: TimedDegradation
    discriminator: Mapping[str, Any]
    architecture: str
    sr: Mapping[str, Any]
    method: Mapping[str, Any]
    learning_rate: float
    clip_norm: float
    torch_maps: int

    @property
    def patches(self) -> dict[str, int]:
        """Stream name -> side of its patches."""
        return {"hr": self.hr_patch, "real_lr": self.lr_patch}

    def require_torch(self) -> None:
        """Checks that the PyTorch side has all of it.

        Raises:
          UserError: it has not.
        """
        self.degradation.require_torch()
        if self.torch_maps > 1 and self.discriminator["normalization"] == "spectral":
            raise UserError(
                "--torch_maps must be 1 with spectral normalisation, which --preset="
                f"default has. Received: {self.torch_maps}."
            )


def weights_of(networks: Mapping[str, Any]) -> Weights:
    """Returns a copy of the variables of Keras networks, by their path below each."""
    return {
        name: {
            variable.path.partition("/")[2]: np.array(variable.value)
            for variable in network.variables
        }
        for name, network in networks.items()
    }


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
        raise missing_package(error) from error
    return onnx


def missing_package(error: ModuleNotFoundError) -> UserError:
    """Returns the message for a missing package."""
    return UserError(
        f"pdm_tf.benchmark inference needs the package {error.name}, which is not "
        'installed. Install it with pip install "pdm_tf[benchmark]".'
    )
