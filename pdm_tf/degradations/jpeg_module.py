"""netJ: from a normal latent to a distribution over JPEG quality, and JPEG itself.

It is not in Luo et al. 2022 (arXiv:2203.04962), who say that their model lacks
compression. In the last stage of the PDM an LR image is rounded to 8 bit, stored as
JPEG of a quality of its own and read again, as in `ops.jpeg`.

Quality is 1 + 99 * sigmoid(v) with v = a . z_q + b + MLP(z_q): a logistic-normal
distribution on [1, 100] with location and scale; a small network adds shapes that a
normal cannot have, two humps for instance. It is rounded to a whole number, straight-
through: encoders take no others.

There is no probability of "no JPEG at all". At quality 100 and full chroma only the
rounding of YCbCr is left (under a level on average), and the distribution reaches that
end; a source without JPEG is learned without this module.

Where the qualities of a source are known, because they were measured
(`estimation.jpeg_traces`), nothing is learned: each image takes one of them, all
equally likely, by z_q's first number.
"""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.core.jpeg_tables import SUBSAMPLINGS
from pdm_tf.models.network import Network, require_choice, require_positive
from pdm_tf.ops.jpeg import grid_period, jpeg
from pdm_tf.ops.quantise import quantise_8bit, round_half_up

# v is this many times the layers' output, so that Adam, whose steps have the size of
# the learning rate, can cross the range of qualities in some thousand steps.
_GAIN = 5.0


@dataclasses.dataclass(frozen=True)
class JPEGModuleConfig:
    """Settings of `JPEGModule`.

    Attributes:
      subsampling: chroma at full ("444") or half ("420") resolution.
      latent_channels: length of z_q.
      latent: "normal", or "zero" for one quality, learned.
      filters: width of the small network; 0 leaves location and scale alone.
      initial_median: median quality at the start, between 1 and 100.
      initial_spread: standard deviation of v at the start; 1 puts two thirds of the
        qualities between 53 and 89 around 75.
      qualities: those of a source's photographs, each 1..100, or 0 for one that was
        stored without JPEG. Images draw from them, and the module has no variables; of
        the settings above only `subsampling` and `latent_channels` count. Empty: the
        qualities are learned.

    Raises:
      ValueError: a setting that cannot work.
    """

    subsampling: str = "420"
    latent_channels: int = 2
    latent: str = "normal"
    filters: int = 16
    initial_median: float = 75.0
    initial_spread: float = 1.0
    qualities: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        # A config that went through JSON arrives with a list.
        object.__setattr__(self, "qualities", tuple(self.qualities))
        require_positive(self, "latent_channels")
        require_choice(self, "subsampling", SUBSAMPLINGS)
        require_choice(self, "latent", ("normal", "zero"))
        if self.filters < 0:
            raise ValueError(
                "`filters` of JPEGModuleConfig must not be negative. "
                f"Received: {self.filters}."
            )
        if not 1.0 < self.initial_median < 100.0 or self.initial_spread <= 0.0:
            raise ValueError(
                "`initial_median` of JPEGModuleConfig must lie between 1 and 100 and "
                f"`initial_spread` be positive. Received: {self.initial_median} and "
                f"{self.initial_spread}."
            )
        wrong = [quality for quality in self.qualities if not 0 <= quality <= 100]
        if wrong:
            raise ValueError(
                "`qualities` of JPEGModuleConfig must be 1 to 100, or 0 for no JPEG. "
                f"Received: {wrong[0]}."
            )
        if self.qualities and self.latent == "zero":
            raise ValueError(
                '`latent` of JPEGModuleConfig must be "normal" with `qualities`, which '
                'are drawn by it. Received: "zero".'
            )

    @property
    def period(self) -> int:
        """LR pixels after which the grid of blocks repeats: 8 or 16."""
        return grid_period(self.subsampling)

    def build(self, dtype: str = "float32", name: str | None = None) -> "JPEGModule":
        """The network, with its variables."""
        network = JPEGModule(self, dtype=dtype, name=name)
        network(
            np.zeros([1, self.latent_channels], np.float32),
            np.zeros([1, 8, 8, 3], np.float32),
        )
        return network


@keras.saving.register_keras_serializable("pdm_tf")
class JPEGModule(Network):
    """(z_q [B, n], image [B, h, w, 3]) -> (decoded [B, h, w, 3], quality [B]).

    A quality of 0 says that the image was rounded to 8 bit alone.
    """

    config_class = JPEGModuleConfig

    def __init__(self, config: JPEGModuleConfig, **kwargs: Any) -> None:
        kwargs["dtype"] = "float32"  # a few hundred multiplications
        super().__init__(config, **kwargs)
        self.linear = self.hidden = self.bend = None
        if config.qualities:
            return
        share = (config.initial_median - 1.0) / 99.0
        start = np.zeros([config.latent_channels, 1], np.float32)
        start[0] = config.initial_spread / _GAIN
        self.linear = keras.layers.Dense(
            1,
            kernel_initializer=keras.initializers.Constant(start),
            bias_initializer=keras.initializers.Constant(
                math.log(share / (1.0 - share)) / _GAIN
            ),
            name="linear",
        )
        if config.filters and config.latent != "zero":
            self.hidden = keras.layers.Dense(
                config.filters, activation="tanh", name="hidden"
            )
            self.bend = keras.layers.Dense(
                1,
                use_bias=False,
                kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),
                name="bend",
            )

    def build(self, *input_shapes: tuple[int | None, ...]) -> None:
        latents = (None, self.config.latent_channels)
        if self.linear is not None:
            self.linear.build(latents)
        if self.hidden is not None:
            self.hidden.build(latents)
            self.bend.build((None, self.config.filters))
        self.built = True

    def call(
        self, z_q: tf.Tensor, image: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        del training  # the same in both
        quality = self.quality(z_q)
        decoded = jpeg(image, quality, subsampling=self.config.subsampling)
        if 0 in self.config.qualities:
            is_stored = quality[:, None, None, None] > 0.0
            decoded = tf.where(is_stored, decoded, quantise_8bit(image))
        return decoded, quality

    def quality(self, z_q: tf.Tensor) -> tf.Tensor:
        """z_q [B, n] -> [B] float32, whole numbers 1..100; 0: stored without JPEG."""
        if self.config.qualities:
            return self._drawn(z_q)
        value = self.linear(z_q)
        if self.hidden is not None:
            value += self.bend(self.hidden(z_q))
        return round_half_up(1.0 + 99.0 * tf.sigmoid(_GAIN * value[:, 0]))

    def _drawn(self, z_q: tf.Tensor) -> tf.Tensor:
        """One of `qualities`: the normal's distribution function is even in [0, 1]."""
        known = tf.constant(sorted(self.config.qualities), tf.float32)
        count = len(self.config.qualities)
        share = 0.5 * tf.math.erfc(-z_q[:, 0] / math.sqrt(2.0))
        index = tf.cast(tf.floor(share * count), tf.int32)
        return tf.gather(known, tf.minimum(index, count - 1))

    def latent_shape(self, batch: int | tf.Tensor) -> list[int | tf.Tensor]:
        """Shape of z_q for `batch` images."""
        return [batch, self.config.latent_channels]
