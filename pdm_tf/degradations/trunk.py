"""Parts of the kernel and the noise module: a residual trunk, Gaussian logits.

The trunk, which both share: conv -> norm -> ReLU, then blocks of
x + conv(ReLU(norm(conv(x)))), as in the authors' code. 1x1 convolutions are Dense
layers, which do the same sums on the last axis and are faster on the 1x1 maps of the
spatially invariant kernel module.
"""

import dataclasses
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.degradations.gaussian_start import GaussianStart
from pdm_tf.models.layers import batch_norm, conv, fan_in_uniform

# The covariance's three coordinates are this many times a Dense layer's output, so that
# Adam, whose steps have the size of the learning rate, moves them this much faster than
# single taps: the overall width should settle before details do.
_COVARIANCE_GAIN = 3.0
LEAST_SIGMA_PX = 0.4


def pointwise_or_conv(
    filters: int, kernel_size: int, *, dtype: str, name: str, **kwargs: Any
) -> keras.layers.Layer:
    """A convolution on [B, h, w, C]; a Dense layer when its window is one pixel."""
    if kernel_size > 1:
        return conv(filters, kernel_size, dtype=dtype, name=name, **kwargs)
    kwargs.setdefault("kernel_initializer", fan_in_uniform())
    return keras.layers.Dense(filters, dtype=dtype, name=name, **kwargs)


def normalization_layer(
    kind: str, *, dtype: str, name: str
) -> keras.layers.Layer | None:
    """The layer for "batch", "layer" or "none" (None)."""
    if kind == "batch":
        return batch_norm(dtype=dtype, name=name)
    if kind == "layer":
        return keras.layers.LayerNormalization(epsilon=1e-5, dtype=dtype, name=name)
    return None


@keras.saving.register_keras_serializable("pdm_tf")
class ResidualTrunk(keras.layers.Layer):
    """[B, h, w, C] -> [B, h, w, filters].

    Args:
      filters: channels throughout.
      num_blocks: residual blocks.
      kernel_size: 1 (each position by itself) or larger (neighbours correlated).
      normalization: "batch", "layer" or "none".
    """

    def __init__(
        self,
        filters: int,
        num_blocks: int,
        kernel_size: int,
        normalization: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings = {
            "filters": filters,
            "num_blocks": num_blocks,
            "kernel_size": kernel_size,
            "normalization": normalization,
        }
        dtype = self.dtype_policy.name

        def layer(name: str) -> keras.layers.Layer:
            return pointwise_or_conv(filters, kernel_size, dtype=dtype, name=name)

        def norm(name: str) -> keras.layers.Layer | None:
            return normalization_layer(normalization, dtype=dtype, name=name)

        self.head, self.head_norm = layer("head"), norm("head_norm")
        self.firsts = [layer(f"first_{i}") for i in range(num_blocks)]
        self.norms = [norm(f"norm_{i}") for i in range(num_blocks)]
        self.seconds = [layer(f"second_{i}") for i in range(num_blocks)]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        inner = (*input_shape[:-1], self.settings["filters"])
        self.head.build(input_shape)
        for layer in [self.head_norm, *self.firsts, *self.norms, *self.seconds]:
            if layer is not None:
                layer.build(inner)
        super().build(input_shape)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        x = _normalise(self.head_norm, self.head(x), training)
        x = tf.nn.relu(x)
        for first, norm, second in zip(
            self.firsts, self.norms, self.seconds, strict=True
        ):
            x = x + second(tf.nn.relu(_normalise(norm, first(x), training)))
        return x

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.settings}


def _normalise(
    norm: keras.layers.Layer | None, x: tf.Tensor, training: bool
) -> tf.Tensor:
    if norm is None:
        return x
    if isinstance(norm, keras.layers.BatchNormalization):
        return norm(x, training=training)
    return norm(x)


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
      window: side of the window of latents that a pixel's covariance depends on. All
        its places start with the same weights, 1 / window of those of a single one, so
        away from the border every pixel's distribution is that of window 1, and
        neighbours are correlated.
      start: distribution of the three at the start, instead of `sigma_px` and
        `diversity`.
    """

    def __init__(
        self,
        kernel_size: int,
        sigma_px: float,
        diversity: float,
        centre_px: float,
        window: int = 1,
        start: GaussianStart | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(start, dict):
            start = GaussianStart(**start)
        self._start = start
        self.settings = {
            "kernel_size": kernel_size,
            "sigma_px": sigma_px,
            "diversity": diversity,
            "centre_px": centre_px,
            "window": window,
        }
        offsets = np.arange(kernel_size) - kernel_size // 2 - centre_px
        y, x = np.meshgrid(offsets, offsets, indexing="ij")
        # Quadratic forms of I, diag(1, -1) and the off-diagonal matrix, [3, K*K].
        forms = np.stack([y**2 + x**2, y**2 - x**2, 2.0 * y * x])
        self._forms = forms.reshape(3, -1).astype(np.float32)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        window, diversity = self.settings["window"], self.settings["diversity"]
        mean = np.asarray([2.0 * math.log(self.settings["sigma_px"]), 0.0, 0.0])
        root = diversity * np.eye(3)
        if self._start is not None:
            mean = np.asarray(self._start.mean)
            root = np.linalg.cholesky(np.asarray(self._start.covariance))
        start = np.zeros([input_shape[-1], 3], np.float32)
        if root.any():  # one latent channel each
            start[:3] = root.T / _COVARIANCE_GAIN / window
        if window > 1:
            start = np.tile(start, [window, window, 1, 1])
        self.to_covariance = pointwise_or_conv(
            3,
            window,
            kernel_initializer=keras.initializers.Constant(start),
            bias_initializer=keras.initializers.Constant(mean / _COVARIANCE_GAIN),
            dtype="float32",
            name="to_covariance",
        )
        self.to_covariance.build(input_shape)
        super().build(input_shape)

    def call(self, z_k: tf.Tensor) -> tf.Tensor:
        """z_k [B, h, w, f_k] -> logits [B, h, w, K*K]."""
        m, d1, d2 = tf.split(self.coordinates(z_k), 3, axis=-1)
        r = tf.sqrt(tf.square(d1) + tf.square(d2) + 1e-6)
        # exp(S) of the symmetric S above is even * I + odd * (d1, d2); the floor keeps
        # kernels from shrinking into a delta, where softmax passes no gradient back.
        floor, size = LEAST_SIGMA_PX**2, tf.exp(m)
        even = size * tf.cosh(r) + floor
        odd = size * tf.sinh(r) / r
        # even^2 - (odd * r)^2 without the difference of two large numbers, which costs
        # long, thin kernels their digits.
        determinant = size * (size + 2.0 * floor * tf.cosh(r)) + floor**2
        inverse = tf.concat([even, -odd * d1, -odd * d2], -1) / determinant
        return -0.5 * tf.tensordot(inverse, tf.constant(self._forms), axes=1)

    def coordinates(self, z_k: tf.Tensor) -> tf.Tensor:
        """z_k [B, h, w, f_k] -> (m, d1, d2) [B, h, w, 3]."""
        return _COVARIANCE_GAIN * self.to_covariance(z_k)

    def distribution(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean [3] and covariance [3, 3] of (m, d1, d2) over z_k ~ N(0, I), exactly.

        Differentiable with respect to the layer's weights.
        """
        weights = tf.reshape(self.to_covariance.kernel, [-1, 3])
        mean = _COVARIANCE_GAIN * tf.convert_to_tensor(self.to_covariance.bias)
        covariance = tf.matmul(weights, weights, transpose_a=True)
        return mean, _COVARIANCE_GAIN**2 * covariance

    def get_config(self) -> dict[str, Any]:
        start = None if self._start is None else dataclasses.asdict(self._start)
        return {**super().get_config(), **self.settings, "start": start}
