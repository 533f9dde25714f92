"""netK: from a normal latent, the image, or both, to blur kernels.

Luo et al. 2022 (arXiv:2203.04962), section 3.1, Eqs. 4 to 6. A latent z_k of f_k
channels runs through a residual trunk and a softmax over K*K taps, so kernels are
non-negative and sum to one. Spatially invariant: one latent and one kernel per image.
Spatially variant: one per LR pixel (the release defines it on the HR grid, which its
own blur cannot take when scale > 1); windows of 3x3 make neighbours correlated.
Dependent on the image (table 5): netK(x) or netK(x, z_k), a kernel per LR pixel.

Initial value. The release wants a delta but adds only 1 to the centre's logit, which
after the softmax over 441 taps is a box blur (0.0061 in the centre, 0.0023 elsewhere).
Here the mean kernel at the start is set exactly: "delta" with `initial_centre` of the
mass in the middle tap, "gaussian" of `initial_sigma_px`, or the release's "box".

Few kernels (`KernelMixture`, not in the paper). A kernel per LR pixel (Eq. 5) is K*K
numbers at every pixel, several times over in training. Instead, N basis kernels may
blur the whole image, and each pixel weighs the N results: N numbers a pixel. Kernels
stay non-negative and sum to one, since the weights do.
"""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.core.source_estimate import THETA_FLOOR_PX2
from pdm_tf.degradations.gaussian_start import GaussianStart
from pdm_tf.degradations.trunk import GaussianLogits, ResidualTrunk, pointwise_or_conv
from pdm_tf.models.network import Network, require_choice, require_positive

INITIAL_KERNELS = ("delta", "gaussian", "gaussians", "box")
# Standard deviation of a mixture's logits over the latents at the start: about half of
# a pixel's weight is on one kernel, so mixtures begin nearly as different as the basis.
_INITIAL_SHARPNESS = 3.0


@dataclasses.dataclass(frozen=True)
class KernelModuleConfig:
    """Settings of `KernelModule`.

    Attributes:
      kernel_size: K, odd.
      latent_channels: f_k.
      latent: "normal", or "zero" for one kernel, learned without trunk (the paper's
        ablation); with `use_image`, for kernels of the image alone: netK(x).
      use_image: whether the module sees the HR image too: netK(x, z_k), section 4.3 and
        table 5. Each LR pixel then has its own kernel.
      filters: n_f, width of the trunk.
      num_blocks: n_b, residual blocks.
      spatial: whether each LR pixel has its own latent, hence kernel. Without it z_k
        is one vector per image, and the trunk's windows are one pixel.
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
      smoothing_px: standard deviation, HR px, of the Gaussian that logits learned tap
        by tap are smoothed with; 0 (paper) leaves every tap to itself. A single bright
        tap lets through aliasing, which looks like noise to a discriminator, and lenses
        do not make it.
      basis: N > 1 makes every kernel a mixture of N learned ones (`KernelMixture`),
        which saves memory where each pixel has its own; 0 (paper) does not.
      start: for "gaussians", a measured distribution to start at, instead of
        `initial_sigma_px` and `initial_diversity`; no flag sets it.
    """

    kernel_size: int = 21
    latent_channels: int = 64
    latent: str = "normal"
    use_image: bool = False
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
    smoothing_px: float = 1.0
    basis: int = 0
    start: GaussianStart | None = None

    def __post_init__(self) -> None:
        if isinstance(self.start, dict):  # through JSON or Keras
            object.__setattr__(self, "start", GaussianStart(**self.start))
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
            or min(self.initial_std, self.initial_diversity, self.smoothing_px) < 0
        ):
            raise ValueError(
                "`initial_sigma_px` of KernelModuleConfig must be positive, "
                "`initial_std`, `initial_diversity` and `smoothing_px` not negative. "
                f"Received: {self.initial_sigma_px}, {self.initial_std}, "
                f"{self.initial_diversity} and {self.smoothing_px}."
            )
        if self.spatial and self.latent == "zero" and not self.use_image:
            raise ValueError(
                "`spatial` of KernelModuleConfig needs something that differs between "
                'pixels: latent="normal" or use_image=true. Received: latent="zero", '
                "use_image=false, which is one kernel for all."
            )
        if self.basis < 0 or self.basis == 1:
            raise ValueError(
                "`basis` of KernelModuleConfig must be 0 for none, or at least 2. "
                f"Received: {self.basis}."
            )
        if self.basis and self.latent == "zero" and not self.use_image:
            raise ValueError(
                "`basis` of KernelModuleConfig needs something to mix by: "
                'latent="normal" or use_image=true. Received: latent="zero", '
                "use_image=false, which is one kernel for all."
            )
        varied = self.initial == "gaussians" and self.latent == "normal"
        if varied and self.latent_channels < 3:
            raise ValueError(
                "`latent_channels` of KernelModuleConfig must be at least 3 with "
                f'initial="gaussians". Received: {self.latent_channels}.'
            )
        if self.start is not None and not (varied and self.takes_latent):
            raise ValueError(
                "`start` of KernelModuleConfig is a distribution of Gaussians: it "
                'needs initial="gaussians" and latent="normal". '
                f"Received: {self.initial!r} and {self.latent!r}."
            )

    @classmethod
    def paper(cls) -> "KernelModuleConfig":
        """The released start: last weights zero, and 1 on the middle logit."""
        return cls(initial="box", initial_std=0.0, smoothing_px=0.0)

    def at_scale(self, scale: int) -> "KernelModuleConfig":
        """These settings, made for x4, with window and widths for another scale.

        Blur is equally wide in LR pixels at any scale, so K and the initial sigma grow
        with the scale: K is 7, 11, 17, 21 and 41 for x1, x2, x3, x4 and x8.
        """
        radius = math.ceil(self.kernel_size // 2 * scale / 4)
        return dataclasses.replace(
            self,
            kernel_size=2 * radius + 1,
            initial_sigma_px=self.initial_sigma_px * scale / 4,
            smoothing_px=self.smoothing_px * scale / 4,
        )

    @property
    def num_taps(self) -> int:
        """K * K."""
        return self.kernel_size**2

    @property
    def per_pixel(self) -> bool:
        """Whether each LR pixel has its own kernel."""
        return self.spatial or self.use_image

    @property
    def radius(self) -> int:
        """LR pixels that the kernel of a pixel depends on, to each side.

        A trunk has one window at its head and two in each block (`trunk.py`).
        """
        reach = self.conv_size // 2 if self.spatial else 0
        return reach * (1 + 2 * self.num_blocks)

    @property
    def takes_latent(self) -> bool:
        """Whether the module takes a z_k; netK(x) has none."""
        return self.latent != "zero" or not self.use_image

    def latent_shape(self, batch: int, height: int, width: int) -> list[int] | None:
        """Shape of z_k for LR images of `height` x `width`; None: it takes none."""
        if not self.takes_latent:
            return None
        if self.spatial:
            return [batch, height, width, self.latent_channels]
        return [batch, 1, 1, self.latent_channels]

    def make(
        self, centre_px: float, image_channels: int, **kwargs: Any
    ) -> "KernelNetwork":
        """The `KernelModule` or `KernelMixture`, without variables."""
        network = KernelMixture if self.basis else KernelModule
        return network(self, centre_px, image_channels, **kwargs)

    def build(
        self,
        dtype: str = "float32",
        name: str | None = None,
        centre_px: float = 0.0,
        image_channels: int = 3,
    ) -> "KernelNetwork":
        """Builds the network with its variables; arguments as for `KernelModule`."""
        network = self.make(centre_px, image_channels, dtype=dtype, name=name)
        shape = self.latent_shape(2, 4, 4)
        network(
            None if shape is None else tf.zeros(shape),
            tf.zeros([2, 4, 4, image_channels]) if self.use_image else None,
        )
        return network


def smoothing_matrix(kernel_size: int, sigma_px: float) -> np.ndarray:
    """[K*K, K*K] that smooths a row of taps by a Gaussian of `sigma_px` HR pixels.

    Symmetric. Flat logits stay as they are, but for the taps near the border: beyond it
    the logits count as zero, so a learned change fades there.
    """
    place = np.arange(kernel_size)
    window = np.exp(-((place[:, None] - place) ** 2) / (2.0 * sigma_px**2))
    window /= window[kernel_size // 2].sum()
    return np.kron(window, window)


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


class KernelNetwork(Network):
    """Base of `KernelModule` and `KernelMixture`; computes in float32.

    Args:
      config: settings.
      centre_px: as in `initial_logits`.
      image_channels: of the image that the network sees with `use_image`.
    """

    config_class = KernelModuleConfig

    def __init__(
        self,
        config: KernelModuleConfig,
        centre_px: float = 0.0,
        image_channels: int = 3,
        **kwargs: Any,
    ) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(config, **kwargs)
        self.centre_px = centre_px
        self.image_channels = image_channels

    def get_config(self) -> dict[str, Any]:
        extras = {"centre_px": self.centre_px, "image_channels": self.image_channels}
        return {**super().get_config(), **extras}

    def latent_shape(self, batch: int, height: int, width: int) -> list[int] | None:
        """Shape of z_k for LR images of `height` x `width`; None: it takes none."""
        return self.config.latent_shape(batch, height, width)

    # A method, since Keras saves what properties hold.
    def single(self) -> "KernelModule":
        """The module that makes single kernels: itself, or that of a basis."""
        raise NotImplementedError


@keras.saving.register_keras_serializable("pdm_tf")
class KernelModule(KernelNetwork):
    """(z_k, image) -> kernel [B, h, w, K*K] float32, summing to 1 (Eq. 4).

    z_k is [B, h, w, f_k] when `spatial`, else [B, 1, 1, f_k], or None where
    `config.takes_latent` says so; image, for `use_image` alone, is the HR image on the
    LR grid, [B, h, w, image_channels] (`ops.blur.hr_footprint`). Kernels are
    [B, 1, 1, K*K] unless `config.per_pixel`. Always computes in float32: softmax wants
    the precision.

    Args: as of `KernelNetwork`.
    """

    def __init__(self, config: KernelModuleConfig, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        window = config.conv_size if config.spatial else 1
        # A constant latent makes the trunk a constant, which the last bias can
        # represent alone. If trained all the same, its weights add up to steps so large
        # that the kernel is a delta before step 100, and softmax cannot recover from
        # it.
        self.trunk = None
        if config.latent != "zero" or config.use_image:
            self.trunk = ResidualTrunk(
                config.filters,
                config.num_blocks,
                window,
                config.normalization,
                dtype="float32",
                name="trunk",
            )
        start = initial_logits(config, self.centre_px).astype("float32")
        self._start = self._smoothing = None
        if config.smoothing_px:  # smooths the learned part, not the initial one
            self._start = start
            smoothing = smoothing_matrix(config.kernel_size, config.smoothing_px)
            self._smoothing = smoothing.astype("float32")
            start = 0.0 * start
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
                config.initial_diversity if config.latent == "normal" else 0.0,
                self.centre_px,
                window if config.takes_latent else 1,
                config.start,
                dtype="float32",
                name="gaussians",
            )

    def call(
        self,
        z_k: tf.Tensor | None,
        image: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        features = trunk_inputs(self.config, z_k, image)
        if self.trunk is not None:
            features = self.trunk(features, training=training)
        logits = self._tap_logits(features)
        if self.gaussians is not None:
            # netK(x) has no latent; its Gaussian follows the trunk's input.
            logits += self.gaussians(z_k if self.config.takes_latent else features)
        return tf.nn.softmax(logits, axis=-1)

    def single(self) -> "KernelModule":
        return self

    def gaussian_distribution(self) -> tuple[tf.Tensor, tf.Tensor] | None:
        """Mean and covariance of its Gaussians' (m, d1, d2), of `GaussianLogits`.

        None for kernels that do not start as Gaussians of many shapes.
        """
        varied = self.gaussians is not None and self.config.takes_latent
        return self.gaussians.distribution() if varied else None

    def moved_distribution(self, z_k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`gaussian_distribution`, and what is learned tap by tap added to it.

        Taps move a kernel's width too, and sooner than its Gaussian does. How far is
        seen on a few latents, by log-covariances of kernels with and without them; the
        Gaussians' own part stays exact, whatever the latents.

        Args:
          z_k: [N, 1, 1, f_k] draws of N(0, I), N some dozens; their mean is taken off.
            For a module whose kernels depend on z_k alone.

        Returns:
          Mean [3] and covariance [3, 3] of (m, d1, d2), differentiable.
        """
        z_k -= tf.reduce_mean(z_k, axis=0)
        logits = self.gaussians(z_k)
        # As in use, with the statistics that it is saved with.
        taps = self._tap_logits(self.trunk(z_k, training=False))
        moved = log_covariance(tf.nn.softmax(logits + taps))
        moved -= log_covariance(tf.nn.softmax(logits))
        mean, covariance = self.gaussians.distribution()
        shift = tf.reduce_mean(moved, axis=0)
        own = self.gaussians.coordinates(z_k)[:, 0, 0] - mean
        before, after = (
            tf.linalg.cholesky(tf.matmul(x, x, transpose_a=True) / x.shape[0])
            for x in (own, own + moved - shift)
        )
        # By how much the draws' spread grew is how much the exact one did.
        grown = tf.linalg.matmul(
            tf.linalg.cholesky(covariance),
            tf.linalg.triangular_solve(before, after),
        )
        return mean + shift, tf.matmul(grown, grown, transpose_b=True)

    def tap_energy(self) -> tf.Tensor:
        """How much is learned tap by tap: 0 where kernels are as they started.

        The mean square over taps of what is added to the logits, if the trunk's
        features had mean square 1 and no correlation; differentiable.
        """
        weights, bias = self._taps()
        if self._smoothing is None:
            bias -= initial_logits(self.config, self.centre_px).astype("float32")
        return tf.reduce_mean(tf.reduce_sum(tf.square(weights), 0) + tf.square(bias))

    def _taps(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Weights [features, K*K] and bias [K*K] of what is learned tap by tap."""
        layer = self.to_logits
        kernel, bias = (tf.convert_to_tensor(x) for x in (layer.kernel, layer.bias))
        if self._smoothing is None:
            return kernel, bias
        # Smooth weights instead of smoothed logits: the same, once for all pixels.
        return (
            tf.matmul(kernel, self._smoothing),
            tf.linalg.matvec(self._smoothing, bias),
        )

    def _tap_logits(self, features: tf.Tensor) -> tf.Tensor:
        """[B, h, w, K*K], learned tap by tap."""
        if self._smoothing is None:
            return self.to_logits(features)
        if not self.to_logits.built:
            self.to_logits.build(features.shape)
        weights, bias = self._taps()
        return tf.tensordot(features, weights, 1) + bias + self._start


def log_covariance(kernels: tf.Tensor) -> tf.Tensor:
    """Kernels [N, 1, 1, K*K] of sum 1 -> theta [N, 3], see `core.source_estimate`."""
    side = round(kernels.shape[-1] ** 0.5)
    offsets = np.arange(side) - side // 2
    y, x = (part.ravel() for part in np.meshgrid(offsets, offsets, indexing="ij"))
    places = np.stack([y, x, y * y, x * x, x * y], axis=1).astype(np.float32)
    y, x, yy, xx, xy = tf.unstack(tf.matmul(kernels[:, 0, 0], places), axis=-1)
    yy, xx, xy = yy - y * y, xx - x * x, xy - x * y
    half, turn = (yy + xx) / 2.0 + THETA_FLOOR_PX2, (yy - xx) / 2.0
    r = tf.sqrt(tf.square(turn) + tf.square(xy) + 1e-6)
    large, small = (
        tf.math.log(tf.maximum(x, 0.5 * THETA_FLOOR_PX2)) for x in (half + r, half - r)
    )
    stretch = (large - small) / (2.0 * r)
    return tf.stack([(large + small) / 2.0, stretch * turn, stretch * xy], axis=-1)


def trunk_inputs(
    config: KernelModuleConfig, z_k: tf.Tensor | None, image: tf.Tensor | None
) -> tf.Tensor:
    """Joins the trunk's inputs, latent and image; one latent serves all pixels."""
    if not config.use_image:
        return z_k
    if image is None:
        raise ValueError(
            "`image` must be given: use_image=true makes kernels of the HR image. "
            "Received: None."
        )
    image = tf.cast(image, tf.float32)
    if not config.takes_latent:
        return image
    shape = tf.concat([tf.shape(image)[:3], tf.shape(z_k)[3:]], axis=0)
    return tf.concat([image, tf.broadcast_to(z_k, shape)], axis=-1)


@keras.saving.register_keras_serializable("pdm_tf")
class KernelMixture(KernelNetwork):
    """(z_k, image) -> weights [B, h, w, N] and basis [N, K*K], with N = config.basis.

    Inputs as of `KernelModule`; h = w = 1 unless `config.per_pixel`. Rows of both sum
    to 1, so the kernels `weights @ basis` are like those of that module; images are
    blurred without making them (`ops.blur.blur_mixture`).

    Args: as for `KernelNetwork`.
    """

    def __init__(self, config: KernelModuleConfig, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        single = dataclasses.replace(
            config, basis=0, latent="normal", use_image=False, spatial=False
        )
        self.basis_module = KernelModule(single, self.centre_px, name="basis_module")
        # Each kernel of the basis is the module's output for one learned latent.
        self.anchors = self.add_weight(
            shape=(config.basis, 1, 1, config.latent_channels),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            name="anchors",
        )
        window = config.conv_size if config.spatial else 1
        self.trunk = ResidualTrunk(
            config.filters,
            config.num_blocks,
            window,
            config.normalization,
            dtype="float32",
            name="trunk",
        )
        self.to_weights = pointwise_or_conv(
            config.basis,
            1,
            dtype="float32",
            name="to_weights",
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        )
        channels = config.latent_channels if config.takes_latent else config.filters
        self.direct = pointwise_or_conv(
            config.basis,
            window if config.takes_latent else 1,
            dtype="float32",
            name="direct",
            kernel_initializer=keras.initializers.RandomNormal(
                stddev=_INITIAL_SHARPNESS / (window * channels**0.5)
            ),
        )

    def call(
        self,
        z_k: tf.Tensor | None,
        image: tf.Tensor | None = None,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        features = self.trunk(trunk_inputs(self.config, z_k, image), training=training)
        logits = self.to_weights(features)
        logits += self.direct(z_k if self.config.takes_latent else features)
        basis = self.basis_module(tf.convert_to_tensor(self.anchors), training=training)
        return tf.nn.softmax(logits, axis=-1), tf.squeeze(basis, axis=[1, 2])

    def single(self) -> KernelModule:
        return self.basis_module
