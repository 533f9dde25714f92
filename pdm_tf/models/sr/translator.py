"""`Translator`: an LR image of one source as an LR image of another, scale 1.

CycleGAN's generator between two kinds of LR images, as CinCGAN (Yuan et al. 2018,
arXiv:1809.00437), CycleSR (Chen et al. 2020) and Maeda 2020 (arXiv:2002.11397) have it:
from what a camera takes to what SR networks are made for. In front of an SR network
(`bundles.chain`) it is part of what a method ships. It starts as the identity.
"""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.models.network import SRConfig, SRNetwork, to_compute
from pdm_tf.models.translation import TranslationTrunk, TrunkConfig


@dataclasses.dataclass(frozen=True)
class TranslatorConfig(TrunkConfig, SRConfig):
    """Settings of `Translator`: those of its trunk.

    Attributes:
      scale: 1, as its images have one size.
    """

    scale: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale != 1:
            raise ValueError(
                f"`scale` of TranslatorConfig must be 1. Received: {self.scale}."
            )

    @property
    def receptive_radius(self) -> int:
        """How far an output pixel sees to each side, in pixels."""
        return self.trunk_radius

    def build(self, dtype: str = "float32", name: str | None = None) -> "Translator":
        """The network, with its variables."""
        network = Translator(self, dtype=dtype, name=name)
        network(np.zeros([1, 8, 8, 3], np.float32))
        return network


@keras.saving.register_keras_serializable("pdm_tf")
class Translator(SRNetwork):
    """lr [B, h, w, 3] float32 in [0, 1] -> same shape, float32, not clipped."""

    config_class = TranslatorConfig

    def __init__(self, config: TranslatorConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.trunk = TranslationTrunk(config, dtype=self.layer_dtype, name="trunk")

    def call(self, lr: tf.Tensor, training: bool = False) -> tf.Tensor:
        del training  # no layer behaves differently
        lr = tf.cast(lr, tf.float32)
        return lr + self.trunk(to_compute(self, lr))
