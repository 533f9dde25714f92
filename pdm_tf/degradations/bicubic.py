"""The classical degradation: MATLAB's antialiased bicubic, nothing else.

Networks trained with it are the "EDSR" row of the paper's Table 2 and the usual start
for everything else. Its sampling grid is "half_pixel" (see `core.geometry`). Methods
that compare clean images with those of a source on "pixel0" reduce on that grid.
"""

import numpy as np
import tensorflow as tf

from pdm_tf.core.imresize import imresize
from pdm_tf.degradations.base import Degradation, Degraded, Latents, NoSettings
from pdm_tf.ops.resize import bicubic_downsample


class BicubicDegradation(Degradation):
    """Maps hr [B, H, W, 3] with a margin to Degraded, whose `lr` covers the inner part.

    Attributes:
      scale: downsampling factor.
      margin: HR pixels beyond each edge: the antialiased cubic reaches 2 * scale, so
        that inside the margin nothing depends on how borders are mirrored.
      grid: "half_pixel", MATLAB's, unless another one was asked for.
    """

    edge = "symmetric"  # as MATLAB's imresize

    def __init__(
        self, scale: int, config: NoSettings | None = None, grid: str = "half_pixel"
    ) -> None:
        del config
        self.scale, self.grid = scale, grid
        self.margin = 2 * scale

    @property
    def least_size(self) -> int:
        """One LR pixel is enough: imresize mirrors repeatedly."""
        return self.scale

    def draw(self, batch: int, height: int, width: int, seed: tf.Tensor) -> Latents:
        """Returns no latents: nothing about it is random."""
        del batch, height, width, seed
        return ()

    def apply(
        self, hr: tf.Tensor, *latents: tf.Tensor | None, training: bool = False
    ) -> Degraded:
        """Downsamples; in float64, with the very operations of `core.imresize`.

        Sums in another order differ in the last bit, and then values halfway between
        two levels of 8 bit fall to either side.
        """
        del latents, training
        border = self.margin // self.scale
        if hr.dtype == tf.float64 and self.grid == "half_pixel":
            images = [imresize(image, 1 / self.scale) for image in np.asarray(hr)]
            lr = tf.constant(np.stack(images))
        else:
            lr = bicubic_downsample(hr, self.scale, self.grid)
        lr = lr[:, border:-border, border:-border, :]
        return Degraded(lr, lr)
