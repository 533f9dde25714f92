"""The classical degradation: MATLAB's antialiased bicubic, nothing else.

Networks trained with it are the "EDSR" row of the paper's Table 2 and the usual start
for everything else. Its sampling grid is "half_pixel" (see `ops.blur`).
"""

import tensorflow as tf

from pdm_tf.models.degradation import Degraded
from pdm_tf.ops.resize import bicubic_downsample


class BicubicDegradation:
    """hr [B, H, W, 3] with a margin -> Degraded, whose `lr` covers the inner part.

    Attributes:
      scale: downsampling factor.
      margin: HR pixels beyond each edge: the antialiased cubic reaches 2 * scale, so
        that inside the margin nothing depends on how borders are mirrored.
    """

    def __init__(self, scale: int) -> None:
        self.scale = scale
        self.margin = 2 * scale

    def __call__(self, hr: tf.Tensor, *, seed: tf.Tensor | None = None) -> Degraded:
        """Downsamples; `seed` is not needed.

        Args:
          hr: [B, H + 2 * margin, W + 2 * margin, 3] float32 in [0, 1].
          seed: ignored.
        """
        del seed
        border = self.margin // self.scale
        lr = bicubic_downsample(hr, self.scale)[:, border:-border, border:-border, :]
        return Degraded(lr, lr, None, None)
