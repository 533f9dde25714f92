"""`Degrader`: a network that maps HR photographs to LR images directly.

The compared methods learn such a network where PDM learns kernels and noise. It either
reduces the photograph itself, by its first convolution ("conv": Bulat et al. 2018,
arXiv:1807.11458), or is shown a bicubic reduction and changes that ("bicubic": DSGAN,
and CinCGAN, CycleSR and Maeda, whose networks are translators of LR images). What it
does to a photograph cannot be said as one blur and one noise, so there is no kernel to
look at; its LR images can be compared with real ones like those of any degradation.

With noise channels its images vary: as many normal numbers for each LR pixel as there
are channels enter beside the image.
"""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.core.geometry import GRIDS
from pdm_tf.degradations.base import Degradation, Degraded, Latents
from pdm_tf.degradations.bicubic import BicubicDegradation
from pdm_tf.degradations.draws import folded
from pdm_tf.models.network import Network, require_choice, to_compute
from pdm_tf.models.translation import TranslationTrunk, TrunkConfig

REDUCTIONS = ("conv", "bicubic")
OUTPUTS = ("residual", "sigmoid")


@dataclasses.dataclass(frozen=True)
class DegraderConfig(TrunkConfig):
    """Settings of `Degrader`, besides those of its trunk.

    Attributes:
      scale: downsampling factor.
      reduction: "conv": the first convolution has this stride and a window of
        2 * scale + 1 pixels; "bicubic": antialiased bicubic comes first.
      noise_channels: normal numbers for each LR pixel; 0: the same photograph always
        gives the same image.
      output: "residual": what the trunk makes is added to the reduced photograph (every
        scale-th pixel, or the bicubic reduction), and starts at zero; "sigmoid": it is
        the image itself, through a sigmoid (DSGAN).
      grid: where the LR pixels lie that training aims at, and those of the bicubic
        reduction: "half_pixel" (MATLAB's bicubic, means of scale x scale pixels) or
        "pixel0".
    """

    scale: int = 4
    reduction: str = "bicubic"
    noise_channels: int = 0
    output: str = "residual"
    grid: str = "half_pixel"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_choice(self, "reduction", REDUCTIONS)
        require_choice(self, "output", OUTPUTS)
        require_choice(self, "grid", GRIDS)
        for name, least in (("scale", 1), ("noise_channels", 0)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"`{name}` of DegraderConfig must be at least {least}. "
                    f"Received: {getattr(self, name)}."
                )

    @property
    def margin(self) -> int:
        """HR pixels around a crop that the reduction takes off."""
        return 2 * self.scale if self.reduction == "bicubic" else self.scale

    def build(self, dtype: str = "float32", name: str | None = None) -> "Degrader":
        """The network, with its variables."""
        network = Degrader(self, dtype=dtype, name=name)
        size = 4 * self.scale + 2 * self.margin
        hr = np.zeros([1, size, size, 3], np.float32)
        network(hr, *network.draw(1, 4, 4, tf.constant([0, 0])))
        return network


@keras.saving.register_keras_serializable("pdm_tf")
class Degrader(Network, Degradation):
    """(hr [B, H + 2 * margin, W + 2 * margin, 3], noise) -> Degraded, without a kernel.

    The noise is [B, h, w, noise_channels], as `draw` gives it.
    """

    config_class = DegraderConfig
    role = "degradation"

    def __init__(self, config: DegraderConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self._bicubic = BicubicDegradation(config.scale, grid=config.grid)
        self.trunk = TranslationTrunk(
            config,
            stride=config.scale if config.reduction == "conv" else 0,
            noise_channels=config.noise_channels,
            zero_tail=config.output == "residual",
            dtype=self.layer_dtype,
            name="trunk",
        )

    def call(
        self, hr: tf.Tensor, noise: tf.Tensor | None = None, training: bool = False
    ) -> Degraded:
        if self.config.reduction == "bicubic":
            lr = self.translate(self.reduce(hr), noise, training=training)
        else:
            hr = tf.cast(hr, tf.float32)
            made = self.trunk(to_compute(self, hr), noise)
            lr = self._finished(self.reduce(hr), made)
        return Degraded(lr, lr)

    def reduce(self, hr: tf.Tensor) -> tf.Tensor:
        """Returns the photograph, with its margin, in the size of the LR image.

        By bicubic, or as every scale-th pixel: [B, H / scale, W / scale, 3] float32.
        """
        config = self.config
        if config.reduction == "bicubic":
            return tf.cast(self._bicubic.apply(hr).lr, tf.float32)
        inner = hr[:, config.margin : -config.margin, config.margin : -config.margin]
        return tf.cast(inner[:, :: config.scale, :: config.scale], tf.float32)

    def translate(
        self,
        clean_lr: tf.Tensor,
        noise: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        """Makes an LR image of this source of a clean one.

        Args:
          clean_lr: [B, h, w, 3] float32, a bicubic reduction or another clean LR image.
          noise: as `draw` gives it.
          training: without effect, as no layer behaves differently.

        Returns:
          [B, h, w, 3] float32, not clipped.

        Raises:
          ValueError: this network reduces photographs itself.
        """
        del training
        if self.config.reduction != "bicubic":
            raise ValueError(
                "Only a degrader with reduction=bicubic translates LR images. "
                f"Received: reduction={self.config.reduction}."
            )
        clean_lr = tf.cast(clean_lr, tf.float32)
        return self._finished(clean_lr, self.trunk(to_compute(self, clean_lr), noise))

    def _finished(self, reduced: tf.Tensor, made: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(made) if self.config.output == "sigmoid" else reduced + made

    @property
    def margin(self) -> int:
        """HR pixels that `apply` takes off each side."""
        return self.config.margin

    @property
    def context(self) -> int:
        """LR pixels that its convolutions see to each side."""
        return self.config.trunk_radius

    @property
    def grid(self) -> str:
        """Where LR pixels lie in the HR image, see `core.geometry`."""
        return self.config.grid

    @property
    def edge(self) -> str:
        """How a photograph is continued: as MATLAB's imresize with bicubic."""
        return "symmetric" if self.config.reduction == "bicubic" else "reflect"

    def draw(
        self, batch: int | tf.Tensor, height: int, width: int, seed: tf.Tensor
    ) -> Latents:
        """Draws the noise, [B, height, width, noise_channels], N(0, I); or nothing."""
        channels = self.config.noise_channels
        if not channels:
            return ()
        shape = [batch, height, width, channels]
        return (tf.random.stateless_normal(shape, folded(seed, 0)),)

    def apply(
        self, hr: tf.Tensor, *latents: tf.Tensor | None, training: bool = False
    ) -> Degraded:
        """Calls the network."""
        return self(hr, *latents, training=training)
