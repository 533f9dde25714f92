"""Noise of a sensor, with few numbers: n = sqrt(read^2 + shot y) times smoothed white.

The alternative to netN (`noise_module.py`) where noise has been measured. Variance
grows linearly with the signal, as in every sensor (Foi et al. 2008, "Practical
Poissonian-Gaussian noise modeling", Eq. 4); the levels (read, shot) are log-normal over
images; the field is white or smoothed by one Gaussian, with one correlation between
colours. Blotches, tints and redrawn edges cannot arise, and any `NoisePopulation` can
be written down as it is.
"""

import dataclasses
import math
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.models.network import Network

# Levels are this many times their variables, so that Adam, whose steps have the size of
# the learning rate, moves them by a few per cent in some hundred steps.
_GAIN = 5.0
_REACH = 3.0  # standard deviations at which the smoothing Gaussian is cut


@dataclasses.dataclass(frozen=True)
class ParametricNoiseConfig:
    """Settings of `ParametricNoise`; lists may come nested, and are kept row by row.

    Attributes:
      log_mean: mean of (log read, log shot) over images; signal and noise in [0, 1].
      log_covariance: its 2 x 2 covariance.
      correlation_px: standard deviation, LR px, of the Gaussian that white noise was
        smoothed with; 0: white. The levels are those after it.
      colour: 3 x 3 correlation between R, G and B.
      learned: whether training moves the levels; smoothing and colour stay.

    Raises:
      ValueError: another number of values, or matrices that are no covariance.
    """

    # What whoever knows `NoiseModuleConfig` asks of either.
    form: ClassVar[str] = "parametric"
    latent: ClassVar[str] = "normal"
    latent_channels: ClassVar[int] = 3
    level_channels: ClassVar[int] = 2
    zero_mean: ClassVar[bool] = True

    log_mean: tuple[float, ...] = (-4.6, -6.5)
    log_covariance: tuple[float, ...] = (0.16, 0.0, 0.0, 0.25)
    correlation_px: float = 0.0
    colour: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    learned: bool = False

    def __post_init__(self) -> None:
        for name, count in (("log_mean", 2), ("log_covariance", 4), ("colour", 9)):
            flat = tuple(np.asarray(getattr(self, name), np.float64).ravel().tolist())
            object.__setattr__(self, name, flat)
            if len(flat) != count or not np.all(np.isfinite(flat)):
                raise ValueError(
                    f"`{name}` of ParametricNoiseConfig must be {count} finite "
                    f"numbers. Received: {flat}."
                )
        for name, side in (("log_covariance", 2), ("colour", 3)):
            if not _is_covariance(_square(getattr(self, name), side)):
                raise ValueError(
                    f"`{name}` of ParametricNoiseConfig must be symmetric, without "
                    f"negative eigenvalues. Received: {getattr(self, name)}."
                )
        if not np.allclose(np.diag(_square(self.colour, 3)), 1.0):
            raise ValueError(
                "`colour` of ParametricNoiseConfig must have ones on its diagonal. "
                f"Received: {self.colour}."
            )
        if not 0.0 <= self.correlation_px < math.inf:
            raise ValueError(
                "`correlation_px` of ParametricNoiseConfig must be 0 or more. "
                f"Received: {self.correlation_px}."
            )

    @property
    def radius(self) -> int:
        """LR pixels that the noise of a pixel depends on, to each side."""
        return math.ceil(_REACH * self.correlation_px)

    def make(self, **kwargs: Any) -> "ParametricNoise":
        """The `ParametricNoise`, without variables."""
        return ParametricNoise(self, **kwargs)

    def build(
        self, dtype: str = "float32", name: str | None = None
    ) -> "ParametricNoise":
        """The network, with its variables."""
        network = self.make(dtype=dtype, name=name)
        network(
            np.zeros([1, 8, 8, 3], np.float32),
            np.zeros([1, 8, 8, 3], np.float32),
            np.zeros([1, 2], np.float32),
        )
        return network


@keras.saving.register_keras_serializable("pdm_tf")
class ParametricNoise(Network):
    """(z_n [B, h, w, 3], clean_lr [B, h, w, 3], z_l [B, 2]) -> noise [B, h, w, 3].

    z_n belongs to places, z_l gives each image its levels; both N(0, I). Computes in
    float32. The noise does not pass a gradient back to `clean_lr`.
    """

    config_class = ParametricNoiseConfig

    def __init__(self, config: ParametricNoiseConfig, **kwargs: Any) -> None:
        kwargs["dtype"] = "float32"  # a few multiplications a pixel
        super().__init__(config, **kwargs)

        def level(name: str, value: np.ndarray) -> keras.Variable:
            return self.add_weight(
                shape=value.shape,
                initializer=keras.initializers.Constant(value / _GAIN),
                trainable=config.learned,
                name=name,
            )

        self.log_mean = level("log_mean", np.asarray(config.log_mean))
        self.root = level("root", _root(_square(config.log_covariance, 2)))
        self._mix = _root(_square(config.colour, 3)).astype(np.float32)
        offsets = np.arange(-config.radius, config.radius + 1)
        window = np.exp(-(offsets**2) / (2.0 * max(config.correlation_px, 1e-9) ** 2))
        window = np.outer(window, window)
        window /= np.sqrt(np.square(window).sum())
        self._window = window.astype(np.float32)[:, :, None, None]

    def build(self, *input_shapes: Any) -> None:
        self.built = True

    def call(
        self,
        z_n: tf.Tensor,
        clean_lr: tf.Tensor,
        z_l: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        del training  # the same in both
        signal = tf.clip_by_value(tf.stop_gradient(clean_lr), 0.0, 1.0)
        read, shot = tf.split(self.levels(z_l)[:, None, None, :], 2, axis=-1)
        field = tf.tensordot(self._smoothed(z_n), self._mix, 1)
        return tf.sqrt(tf.square(read) + shot * tf.cast(signal, tf.float32)) * field

    def levels(self, z_l: tf.Tensor) -> tf.Tensor:
        """z_l [B, 2] -> [B, 2]: read and shot of each image, in units of [0, 1]."""
        shift = tf.matmul(z_l, tf.convert_to_tensor(self.root), transpose_b=True)
        return tf.exp(_GAIN * (self.log_mean + shift))

    def _smoothed(self, white: tf.Tensor) -> tf.Tensor:
        """Smooths, with variance 1 everywhere, at the border too."""
        if not self.config.radius:
            return white
        window = tf.constant(self._window)
        smooth = tf.nn.depthwise_conv2d(
            white, tf.tile(window, [1, 1, 3, 1]), [1, 1, 1, 1], "SAME"
        )
        # Beyond the border there is nothing: fewer pixels are added up there.
        inside = tf.ones_like(white[:1, :, :, :1])
        share = tf.nn.conv2d(inside, tf.square(window), [1, 1, 1, 1], "SAME")
        return smooth * tf.math.rsqrt(share)

    def latent_shape(self, batch: int, height: int, width: int) -> list[int]:
        """Shape of z_n for LR images of `height` x `width`."""
        return [batch, height, width, self.config.latent_channels]


def _square(values: Any, side: int) -> np.ndarray:
    return np.reshape(np.asarray(values, np.float64), [side, side])


def _is_covariance(matrix: np.ndarray) -> bool:
    return bool(np.allclose(matrix, matrix.T) and np.linalg.eigvalsh(matrix)[0] > -1e-6)


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric root, which exists for singular matrices too (grey noise)."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(0.0))) @ vectors.T
