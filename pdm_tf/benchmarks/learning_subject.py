"""What is trained, in plain values: what it takes to build it without TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pdm_tf.core.errors import UserError

# Of each network: variable path below the network -> value.
Weights = Mapping[str, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class DegradationSubject:
    """One degradation model.

    Attributes:
      config: settings of `PDM`, those of its modules nested.
      window: HR pixels from LR pixel 0 to the middle of its blur window.
      centre_px: where a centred kernel's mass lies, HR pixels off the middle tap.
    """

    config: Mapping[str, Any]
    window: int
    centre_px: float

    def require_torch(self) -> None:
        """Checks that the PyTorch side has all of it.

        Raises:
          UserError: it has not.
        """
        kernel, noise = self.config["kernel"], self.config["noise"]
        if kernel["spatial"]:
            raise UserError(
                "--compare=torch knows one kernel per image. Received: "
                "--kernel_arg=spatial=true."
            )
        if kernel["use_image"] or (noise and noise["latent"] == "zero"):
            raise UserError(
                "--compare=torch knows kernels of the latent, and noise of a latent "
                "with or without the image. Received: --kernel_arg=use_image=true or "
                "--noise_arg=latent=zero."
            )
        for module in (kernel, noise):
            if module is not None and module["normalization"] == "layer":
                raise UserError(
                    "--compare=torch knows no layer normalisation. Received: "
                    "normalization=layer."
                )


@dataclass(frozen=True)
class TrainingSubject:
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
    degradation: DegradationSubject
    discriminator: Mapping[str, Any]
    architecture: str
    sr: Mapping[str, Any]
    method: Mapping[str, Any]
    learning_rate: float
    clip_norm: float
    torch_maps: int

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
