"""netK: from a normal latent to a distribution over blur kernels.

Luo et al. 2022 (arXiv:2203.04962), section 3.1, Eqs. 4 to 6. A latent z_k of f_k
channels runs through a residual trunk and a softmax over K*K taps, so kernels are
non-negative and sum to one. Spatially invariant: one latent and one kernel per image.
Spatially variant: one per LR pixel (the release defines it on the HR grid, which its
own blur cannot take when scale > 1); windows of 3x3 make neighbours correlated.

Initial value. The release wants a delta but adds only 1 to the centre's logit, which
after the softmax over 441 taps is a box blur (0.0061 in the centre, 0.0023 elsewhere).
Here the mean kernel at the start is set exactly: "delta" with `initial_centre` of the
mass in the middle tap, "gaussian" of `initial_sigma_px`, or the release's "box".
"""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.models.degradation.trunk import ResidualTrunk, pointwise_or_conv
from pdm_tf.models.network import Network, require_choice, require_positive

# The covariance's three coordinates are this many times a Dense layer's output, so that
# Adam, whose steps have the size of the learning rate, moves them this much faster than
# single taps: the overall width should settle before details do.
_COVARIANCE_GAIN = 3.0
_LEAST_SIGMA_PX = 0.4

INITIAL_KERNELS = ("delta", "gaussian", "gaussians", "box")


@dataclasses.dataclass(frozen=True)
class KernelModuleConfig:
    """Settings of `KernelModule`.

    Attributes:
      kernel_size: K, odd.
      latent_channels: f_k.
      latent: "normal", or "zero" for one kernel, learned without trunk (the paper's
        ablation).
      filters: n_f, width of the trunk.
      num_blocks: n_b, residual blocks.
      spatial: whether each LR pixel has its own kernel.
      conv_size: window of the trunk when `spatial` (1: independent pixels).
      normalization: "batch" (paper), "layer" or "none".
      initial: mean of the kernels at the start: "delta", "gaussian" or "box" (release);
        "gaussians" starts from a whole distribution of anisotropic Gaussians.
      initial_centre: mass of the middle tap for "delta", in (1/K^2, 1).
      initial_sigma_px: width for "gaussian", median width for "gaussians", HR px.
      initial_diversity: for "gaussians", standard deviation of the log-covariance's
        three coordinates (size and two of elongation).
      initial_std: standard deviation of the last layer's weights; 0 starts all latents
        at one kernel.
    """

    kernel_size: int = 21
    latent_channels: int = 64
    latent: str = "normal"
    filters: int = 64
    num_blocks: int = 16
    spatial: bool = False
    conv_size: int = 3
    normalization: str = "batch"
    initial: str = "gaussians"
    initial_centre: float = 0.5
    initial_sigma_px: float = 1.5
    initial_diversity: float = 0.7
    initial_std: float = 0.001

    def __post_init__(self) -> None:
        require_positive(
            self, "kernel_size", "latent_channels", "filters", "num_blocks", "conv_size"
        )
        require_choice(self, "latent", ("normal", "zero"))
        require_choice(self, "normalization", ("batch", "layer", "none"))
        require_choice(self, "initial", INITIAL_KERNELS)
        if self.kernel_size % 2 == 0 or self.conv_size % 2 == 0:
            raise ValueError(
                "`kernel_size` and `conv_size` of KernelModuleConfig must be odd. "
                f"Received: {self.kernel_size} and {self.conv_size}."
            )
        if not 1.0 / self.kernel_size**2 < self.initial_centre < 1.0:
            raise ValueError(
                "`initial_centre` of KernelModuleConfig must lie between 1/K^2 and 1. "
                f"Received: {self.initial_centre}."
            )
        if (
            self.initial_sigma_px <= 0
            or min(self.initial_std, self.initial_diversity) < 0
        ):
            raise ValueError(
                "`initial_sigma_px` of KernelModuleConfig must be positive, "
                "`initial_std` and `initial_diversity` not negative. Received: "
                f"{self.initial_sigma_px}, {self.initial_std} and "
                f"{self.initial_diversity}."
            )
        if self.initial == "gaussians" and self.latent_channels < 3:
            raise ValueError(
                "`latent_channels` of KernelModuleConfig must be at least 3 with "
                f'initial="gaussians". Received: {self.latent_channels}.'
            )

    @classmethod
    def paper(cls) -> "KernelModuleConfig":
        """The released start: last weights zero, and 1 on the middle logit."""
        return cls(initial="box", initial_std=0.0)

    @property
    def num_taps(self) -> int:
        """K * K."""
        return self.kernel_size**2

    def build(
        self, dtype: str = "float32", name: str | None = None, centre_px: float = 0.0
    ) -> "KernelModule":
        """The network, with its variables; `centre_px` as in `initial_logits`."""
        network = KernelModule(self, centre_px, dtype=dtype, name=name)
        network(np.zeros([2, 1, 1, self.latent_channels], np.float32))
        return network


def initial_logits(config: KernelModuleConfig, centre_px: float = 0.0) -> np.ndarray:
    """[K*K] logits whose softmax is the kernel to start from.

    Args:
      config: the module's settings.
      centre_px: centre of the "gaussian" start, HR pixels right of and below the
        middle tap.
    """
    side = config.kernel_size
    if config.initial == "gaussian":
        offsets = np.arange(side) - side // 2 - centre_px
        squares = offsets[:, None] ** 2 + offsets[None, :] ** 2
        return (-squares / (2.0 * config.initial_sigma_px**2)).ravel()
    logits = np.zeros(config.num_taps)
    if config.initial == "box":
        logits[config.num_taps // 2] = 1.0
    elif config.initial == "delta":
        p = config.initial_centre
        logits[config.num_taps // 2] = math.log(p / (1.0 - p) * (config.num_taps - 1))
    return logits


@keras.saving.register_keras_serializable("pdm_tf")
class GaussianLogits(keras.layers.Layer):
    """Logits of anisotropic Gaussian kernels, linear in the latent.

    The covariance is the matrix exponential of m * I + d1 * diag(1, -1) + d2 * offdiag,
    so every (m, d1, d2) is a valid one and a rotation of (d1, d2) rotates the kernel.
    The three are a Dense layer of z_k that starts with one latent channel each; it is
    trained like all else, and the trunk's logits are added to these.

    Args:
      kernel_size: K.
      sigma_px: width where m = d1 = d2 = 0, HR pixels.
      diversity: standard deviation of each of the three at the start.
      centre_px: centre of the Gaussians, HR pixels right of and below the middle tap.
    """

    def __init__(
        self,
        kernel_size: int,
        sigma_px: float,
        diversity: float,
        centre_px: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings = {
            "kernel_size": kernel_size,
            "sigma_px": sigma_px,
            "diversity": diversity,
            "centre_px": centre_px,
        }
        offsets = np.arange(kernel_size) - kernel_size // 2 - centre_px
        y, x = np.meshgrid(offsets, offsets, indexing="ij")
        # Quadratic forms of I, diag(1, -1) and the off-diagonal matrix, [3, K*K].
        forms = np.stack([y**2 + x**2, y**2 - x**2, 2.0 * y * x])
        self._forms = forms.reshape(3, -1).astype(np.float32)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        start = np.zeros([input_shape[-1], 3], np.float32)
        start[:3] = self.settings["diversity"] / _COVARIANCE_GAIN * np.eye(3)
        self.to_covariance = keras.layers.Dense(
            3,
            kernel_initializer=keras.initializers.Constant(start),
            bias_initializer=keras.initializers.Constant(
                [2.0 * math.log(self.settings["sigma_px"]) / _COVARIANCE_GAIN, 0.0, 0.0]
            ),
            dtype="float32",
            name="to_covariance",
        )
        self.to_covariance.build(input_shape)
        super().build(input_shape)

    def call(self, z_k: tf.Tensor) -> tf.Tensor:
        """z_k [B, h, w, f_k] -> logits [B, h, w, K*K]."""
        coordinates = _COVARIANCE_GAIN * self.to_covariance(z_k)
        m, d1, d2 = tf.split(coordinates, 3, axis=-1)
        r = tf.sqrt(tf.square(d1) + tf.square(d2) + 1e-6)
        # exp(S) of the symmetric S above is even * I + odd * (d1, d2); the floor keeps
        # kernels from shrinking into a delta, where softmax passes no gradient back.
        floor, size = _LEAST_SIGMA_PX**2, tf.exp(m)
        even = size * tf.cosh(r) + floor
        odd = size * tf.sinh(r) / r
        # even^2 - (odd * r)^2 without the difference of two large numbers, which costs
        # long, thin kernels their digits.
        determinant = size * (size + 2.0 * floor * tf.cosh(r)) + floor**2
        inverse = tf.concat([even, -odd * d1, -odd * d2], -1) / determinant
        return -0.5 * tf.tensordot(inverse, tf.constant(self._forms), axes=1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.settings}


@keras.saving.register_keras_serializable("pdm_tf")
class KernelModule(Network):
    """z_k [B, h, w, f_k] -> kernel [B, h, w, K*K] float32, summing to 1 (Eq. 4).

    The spatially invariant form expects h = w = 1. Always computes in float32: it is a
    thousandth of a training step, and softmax wants the precision.
    """

    config_class = KernelModuleConfig

    def __init__(
        self, config: KernelModuleConfig, centre_px: float = 0.0, **kwargs: Any
    ) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(config, **kwargs)
        self.centre_px = centre_px
        # A constant latent makes a constant of the trunk, which the last bias can be
        # alone. Trained all the same, its weights add up to steps so large that the
        # kernel is a delta before step 100, whence softmax never leads back.
        self.trunk = None
        if config.latent != "zero":
            self.trunk = ResidualTrunk(
                config.filters,
                config.num_blocks,
                config.conv_size if config.spatial else 1,
                config.normalization,
                dtype="float32",
                name="trunk",
            )
        start = initial_logits(config, centre_px).astype(np.float32)
        self.to_logits = pointwise_or_conv(
            config.num_taps,
            1,
            dtype="float32",
            name="to_logits",
            kernel_initializer=keras.initializers.RandomNormal(
                stddev=config.initial_std
            )
            if config.initial_std
            else "zeros",
            bias_initializer=keras.initializers.Constant(start),
        )
        self.gaussians = None
        if config.initial == "gaussians":
            self.gaussians = GaussianLogits(
                config.kernel_size,
                config.initial_sigma_px,
                config.initial_diversity,
                centre_px,
                dtype="float32",
                name="gaussians",
            )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        features = input_shape
        if self.trunk is not None:
            self.trunk.build(input_shape)
            features = (*input_shape[:-1], self.config.filters)
        self.to_logits.build(features)
        if self.gaussians is not None:
            self.gaussians.build(input_shape)
        super().build(input_shape)

    def call(self, z_k: tf.Tensor, training: bool = False) -> tf.Tensor:
        features = z_k
        if self.trunk is not None:
            features = self.trunk(z_k, training=training)
        logits = self.to_logits(features)
        if self.gaussians is not None:
            logits += self.gaussians(z_k)
        return tf.nn.softmax(logits, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "centre_px": self.centre_px}

    def latent_shape(self, batch: int, height: int, width: int) -> list[int]:
        """Shape of z_k for `batch` LR images of `height` x `width`."""
        if self.config.spatial:
            return [batch, height, width, self.config.latent_channels]
        return [batch, 1, 1, self.config.latent_channels]
