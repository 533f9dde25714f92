"""Blur, optional noise, and JPEG, as in most photographs on the web.

`awgn_blur` followed by JPEG whose quality is uniform among the whole numbers of an
interval, one draw for each image, as in the second-to-last steps of BSRGAN (Zhang et
al. 2021, arXiv:2103.14006, which takes 30 to 95). The default has no noise, so that a
data set made with it differs from `awgn_blur`'s by JPEG alone.

The grid of blocks starts at the image's first pixel, as in a file.
"""

import dataclasses

import tensorflow as tf

from pdm_tf.degradations.awgn_blur import AwgnBlurConfig, AwgnBlurDegradation
from pdm_tf.degradations.base import Degraded, Latents
from pdm_tf.degradations.draws import folded
from pdm_tf.ops.jpeg import grid_period, jpeg


@dataclasses.dataclass(frozen=True)
class GaussianJpegConfig(AwgnBlurConfig):
    """Settings of `GaussianJpegDegradation`, in addition to those of `awgn_blur`.

    Attributes:
      quality_min, quality_max: interval of the JPEG quality, both ends in it.
      subsampling: "444" or "420", see ops.jpeg.

    Raises:
      ValueError: an interval outside 1..100 or empty, or unknown subsampling.
    """

    noise_max_255: float = 0.0
    quality_min: int = 30
    quality_max: int = 95
    subsampling: str = "420"

    def __post_init__(self) -> None:
        super().__post_init__()
        grid_period(self.subsampling)
        if not 1 <= self.quality_min <= self.quality_max <= 100:
            raise ValueError(
                "`quality_min` of GaussianJpegConfig must be 1 or more and not above "
                "`quality_max`, which must be 100 or less. Received: "
                f"{self.quality_min} and {self.quality_max}."
            )


class GaussianJpegDegradation(AwgnBlurDegradation):
    """hr with a margin of K//2 -> Degraded; latents are (kernel, noise, quality)."""

    config_class = GaussianJpegConfig

    def __init__(self, scale: int, config: GaussianJpegConfig | None = None) -> None:
        super().__init__(scale, config or GaussianJpegConfig())
        self.grid_period = grid_period(self.config.subsampling)
        # Windows begin at multiples of 16, so blocks are whole; triangle upsampling of
        # chroma reaches one sample into the next.
        self.context = 2 if self.config.subsampling == "420" else 0

    def draw(self, batch: int, height: int, width: int, seed: tf.Tensor) -> Latents:
        """Draws the latents of `awgn_blur`, and quality [B]."""
        key = folded(seed, 4)
        quality = tf.random.stateless_uniform(
            [batch],
            key,
            self.config.quality_min,
            self.config.quality_max + 1,
            tf.int32,
        )
        return *super().draw(batch, height, width, seed), tf.cast(quality, tf.float32)

    def apply(
        self, hr: tf.Tensor, *latents: tf.Tensor | None, training: bool = False
    ) -> Degraded:
        """Blurs, subsamples, adds the noise, compresses."""
        *others, quality = latents
        degraded = super().apply(hr, *others, training=training)
        lr = jpeg(degraded.lr, quality, subsampling=self.config.subsampling)
        return degraded._replace(lr=lr, quality=quality)
