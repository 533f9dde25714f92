"""A learned degradation (PDM) under the call contract of all degradations.

The networks run as trained (`training=False`: moving statistics). A PDM that mirrors
its input (border "reflect") becomes one that takes a margin: mirroring is then done
where a photograph has edges, not where a crop or a tile has them.
"""

import dataclasses

import tensorflow as tf

from pdm_tf.degradations.base import Degradation, Latents
from pdm_tf.degradations.pdm import PDM, Degraded, PDMConfig


class LearnedDegradation(Degradation):
    """hr with a margin of K//2 -> Degraded; latents are those of the PDM.

    Args:
      pdm: built, with its weights.
    """

    def __init__(self, pdm: PDM) -> None:
        if pdm.config.border != "valid":
            config = dataclasses.replace(pdm.config, border="valid")
            twin = config.build(pdm.dtype_policy.name, name=pdm.name)
            twin.set_weights(pdm.get_weights())
            pdm = twin
        self.pdm = pdm
        self.scale, self.margin = pdm.config.scale, pdm.config.margin
        self.context = receptive_radius(pdm.config)

    def draw(self, batch: int, height: int, width: int, seed: tf.Tensor) -> Latents:
        """`PDM.draw_latents`."""
        return self.pdm.draw_latents(batch, height, width, seed)

    def apply(self, hr: tf.Tensor, *latents: tf.Tensor | None) -> Degraded:
        """The PDM at these latents."""
        return self.pdm(tf.cast(hr, tf.float32), *latents, training=False)


def receptive_radius(config: PDMConfig) -> int:
    """LR pixels that the convolutions of a PDM see to each side.

    A trunk has one window at its head and two in each block (`trunk.py`). The noise
    module sees the blurred image, hence what the kernel module saw.
    """
    modules = [config.noise] if config.noise is not None else []
    modules += [config.kernel] if config.kernel.spatial else []
    # JPEG needs whole blocks, and one beyond for the triangle upsampling of chroma.
    # Windows begin at multiples of 16, where blocks of either size do.
    blocks = 16 if config.jpeg is not None and config.jpeg.subsampling == "420" else 0
    return blocks + sum(
        module.conv_size // 2 * (1 + 2 * module.num_blocks) for module in modules
    )
