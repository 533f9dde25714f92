"""The two networks of KernelGAN, one pair per photograph, many pairs side by side.

Bell-Kligler et al. 2019 (arXiv:1909.06581), with the sizes of the authors' code. Every
variable has a first axis P: entry p belongs to a GAN of its own, which shares nothing
with the others, so that one graph trains P of them and keeps the processor busy.

*Generator.* Convolutions of 7, 5, 3, 1, 1, 1 taps a side and 64 channels without biases
or activations, R, G and B each as a picture of one channel, every second pixel kept.
Being linear it is one kernel of 13 x 13 taps. Here that kernel is computed from the
weights in every step, and applied to the picture: the same function of the weights,
with the same gradients, at a small part of the work.

*Discriminator.* A convolution of 7 x 7 taps, five of 1 x 1 with BatchNorm and ReLU, and
one to a single channel, all with spectral norm: it judges patches of 7 x 7 pixels.
BatchNorm takes its statistics from the picture at hand, as in training, always.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.models.network import Network, require_positive
from pdm_tf.ops.blur import blur_downsample

_GAIN = 0.1  # of Xavier's normal distribution
_EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class LinearGeneratorConfig:
    """Settings of `LinearGenerator`.

    Attributes:
      stack: P, how many generators.
      filters: channels between the convolutions.
      sides: taps a side of each convolution; at least two, the first not 1.
    """

    stack: int = 1
    filters: int = 64
    sides: tuple[int, ...] = (7, 5, 3, 1, 1, 1)

    def __post_init__(self) -> None:
        require_positive(self, "stack", "filters")

    @property
    def kernel_side(self) -> int:
        """K of the kernel that the convolutions are together."""
        return sum(self.sides) - len(self.sides) + 1

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """(side, side, in, out) of each convolution."""
        last = len(self.sides) - 1
        return tuple(
            (side, side, self.filters if i else 1, self.filters if i < last else 1)
            for i, side in enumerate(self.sides)
        )

    def build(
        self, dtype: str = "float32", name: str | None = None
    ) -> "LinearGenerator":
        """The network, with its variables."""
        return LinearGenerator(self, dtype=dtype, name=name)


@dataclasses.dataclass(frozen=True)
class StackedDiscriminatorConfig:
    """Settings of `StackedDiscriminator`.

    Attributes:
      stack: P, how many discriminators.
      filters: channels.
      side: taps a side of the first convolution, and so of the patches judged.
      depth: convolutions of 1 x 1 with BatchNorm and ReLU.
    """

    stack: int = 1
    filters: int = 64
    side: int = 7
    depth: int = 5

    def __post_init__(self) -> None:
        require_positive(self, "stack", "filters", "side", "depth")

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """(side, side, in, out) of each convolution."""
        first = (self.side, self.side, 3, self.filters)
        middle = (1, 1, self.filters, self.filters)
        return (first, *[middle] * self.depth, (1, 1, self.filters, 1))

    def build(
        self, dtype: str = "float32", name: str | None = None
    ) -> "StackedDiscriminator":
        """The network, with its variables."""
        return StackedDiscriminator(self, dtype=dtype, name=name)


@keras.saving.register_keras_serializable("pdm_tf")
class LinearGenerator(Network):
    """pictures [P, H, W, 3] -> [P, h, w, 3] of half the size, without any padding.

    What it does is known from `composed`, its kernels.
    """

    config_class = LinearGeneratorConfig

    def __init__(self, config: LinearGeneratorConfig, **kwargs: object) -> None:
        super().__init__(config, **kwargs)
        self.kernels = [
            self.add_weight(
                name=f"kernel_{i}", shape=(config.stack, *shape), initializer="zeros"
            )
            for i, shape in enumerate(config.shapes)
        ]
        self.built = True

    def start(self, randoms: list[np.random.Generator]) -> None:
        """Sets the initial weights, those of entry p from `randoms[p]`."""
        _start(self.kernels, self.config.shapes, randoms)

    def composed(self) -> tf.Tensor:
        """Returns the kernels [P, K, K]: correlated, of any sum and sign."""
        return composed_kernels([tf.convert_to_tensor(k) for k in self.kernels])

    def call(self, pictures: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Blurs each picture with its kernel and keeps every second pixel."""
        del training
        return downscaled(pictures, self.composed())


@keras.saving.register_keras_serializable("pdm_tf")
class StackedDiscriminator(Network):
    """pictures [P, B, h, w, 3] in [-1, 1] -> logits [P, B, h-6, w-6]."""

    config_class = StackedDiscriminatorConfig
    role = "discriminator"

    def __init__(self, config: StackedDiscriminatorConfig, **kwargs: object) -> None:
        super().__init__(config, **kwargs)
        stack, width = config.stack, config.filters
        self.kernels, self.biases, self.vectors, self.gammas, self.betas = (
            [] for _ in range(5)
        )
        for i, shape in enumerate(config.shapes):
            out = shape[-1]
            self.kernels.append(
                self.add_weight(
                    name=f"kernel_{i}", shape=(stack, *shape), initializer="zeros"
                )
            )
            self.biases.append(
                self.add_weight(
                    name=f"bias_{i}", shape=(stack, out), initializer="zeros"
                )
            )
            self.vectors.append(
                self.add_weight(
                    name=f"vector_{i}",
                    shape=(stack, out),
                    initializer="ones",
                    trainable=False,
                )
            )
        for i in range(config.depth):
            for name, start, into in (
                ("gamma", "ones", self.gammas),
                ("beta", "zeros", self.betas),
            ):
                into.append(
                    self.add_weight(
                        name=f"{name}_{i}", shape=(stack, width), initializer=start
                    )
                )
        self.built = True

    def start(self, randoms: list[np.random.Generator]) -> None:
        """Sets the initial weights, those of entry p from `randoms[p]`."""
        _start(self.kernels, self.config.shapes, randoms)
        for variable in [*self.biases, *self.betas]:
            variable.assign(tf.zeros(variable.shape))
        for variables, mean, sigma in ((self.vectors, 0, 1), (self.gammas, 1, 0.02)):
            for variable in variables:
                size = variable.shape[1:]
                drawn = [mean + sigma * r.standard_normal(size) for r in randoms]
                variable.assign(np.stack(drawn).astype(np.float32))

    def call(self, pictures: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Judges all patches; `training` moves spectral norm one iteration on."""
        config = self.config
        stack, batch, height, width, _ = pictures.shape
        height, width = height - config.side + 1, width - config.side + 1
        x = _patches(tf.reshape(pictures, [-1, *pictures.shape[2:]]), config.side)
        x = tf.reshape(x, [stack, batch * height * width, -1])
        for i in range(config.depth + 2):
            x = tf.matmul(x, self._weights(i, training))
            x += tf.convert_to_tensor(self.biases[i])[:, None]
            if 0 < i <= config.depth:
                x = self._normed(x, i - 1, batch)
        return tf.reshape(x, [stack, batch, height, width])

    def _weights(self, index: int, training: bool) -> tf.Tensor:
        """[P, taps * in, out], divided by the estimate of their largest singular value.

        Miyato et al. 2018 (arXiv:1802.05957), as `layers.PaddedConv2D` does.
        """
        kernel = tf.convert_to_tensor(self.kernels[index])
        matrix = tf.reshape(kernel, [kernel.shape[0], -1, kernel.shape[-1]])
        frozen = tf.stop_gradient(matrix)
        left = tf.convert_to_tensor(self.vectors[index])[:, None]  # [P, 1, out]
        right = tf.math.l2_normalize(tf.matmul(left, frozen, transpose_b=True), -1)
        if training:
            left = tf.math.l2_normalize(tf.matmul(right, frozen), -1)
            self.vectors[index].assign(left[:, 0])
        else:
            left = tf.math.l2_normalize(left, -1)
        product = tf.matmul(tf.matmul(right, matrix), left, transpose_b=True)
        return matrix / product

    def _normed(self, x: tf.Tensor, index: int, batch: int) -> tf.Tensor:
        """BatchNorm by the statistics of each picture, and ReLU: [P, B*N, C]."""
        shape = x.shape
        x = tf.reshape(x, [shape[0] * batch, -1, shape[2]])
        mean, variance = tf.nn.moments(x, axes=[1], keepdims=True)
        gamma = tf.repeat(tf.convert_to_tensor(self.gammas[index]), batch, axis=0)
        beta = tf.repeat(tf.convert_to_tensor(self.betas[index]), batch, axis=0)
        scale = gamma[:, None] * tf.math.rsqrt(variance + _EPSILON)
        x = tf.nn.relu(x * scale + (beta[:, None] - mean * scale))
        return tf.reshape(x, shape)


def composed_kernels(kernels: list[tf.Tensor]) -> tf.Tensor:
    """The one kernel that convolutions in a row are together.

    From the last to the first, so that there is one output channel throughout: the
    product of two layers is the sum of their taps' positions.

    Args:
      kernels: [P, k, k, in, out] of each layer; 1 channel goes in and comes out.

    Returns:
      [P, K, K], K the sum of (k - 1), plus 1.
    """
    stack, side = kernels[-1].shape[:2]
    found = tf.reshape(kernels[-1], [stack, side, side, -1])  # [P, n, n, in]
    for kernel in reversed(kernels[:-1]):
        side, channels, n = kernel.shape[1], kernel.shape[3], found.shape[1]
        taps = tf.reshape(kernel, [stack, side * side * channels, -1])
        parts = tf.matmul(taps, tf.reshape(found, [stack, n * n, -1]), transpose_b=True)
        parts = tf.reshape(parts, [stack, side, side, channels, n, n])
        found = _overlapped(parts)
    return found[..., 0]


def downscaled(pictures: tf.Tensor, kernels: tf.Tensor) -> tf.Tensor:
    """[P, H, W, C] correlated with [P, K, K], every second pixel -> [P, h, w, C]."""
    taps = kernels.shape[1] * kernels.shape[2]
    kernels = tf.reshape(kernels, [-1, 1, 1, taps])
    return blur_downsample(pictures, kernels, 2, border="valid")


def _overlapped(parts: tf.Tensor) -> tf.Tensor:
    """[P, m, m, C, n, n] -> [P, m+n-1, m+n-1, C], tap (a, b) + (c, d) summed."""
    n = parts.shape[-1]
    if n == 1:
        return parts[..., 0, 0]
    rows = tf.add_n(
        [
            tf.pad(parts[..., c, :], [[0, 0], [c, n - 1 - c], *[[0, 0]] * 3])
            for c in range(n)
        ]
    )
    return tf.add_n(
        [
            tf.pad(rows[..., d], [[0, 0], [0, 0], [d, n - 1 - d], [0, 0]])
            for d in range(n)
        ]
    )


def _patches(pictures: tf.Tensor, side: int) -> tf.Tensor:
    """[N, H, W, C] -> [N, h, w, side*side*C], the pixels under each window.

    Taken apart by columns, then by rows, because the gradient of
    `tf.image.extract_patches` is slow.
    """
    height, width = (size - side + 1 for size in pictures.shape[1:3])
    columns = [pictures[:, :, b : b + width] for b in range(side)]
    strips = tf.concat(columns, -1)
    return tf.concat([strips[:, a : a + height] for a in range(side)], -1)


def _start(
    variables: list[keras.Variable],
    shapes: tuple[tuple[int, ...], ...],
    randoms: list[np.random.Generator],
) -> None:
    """Xavier's normal distribution of gain 0.1."""
    for variable, shape in zip(variables, shapes, strict=True):
        fans = shape[0] * shape[1] * (shape[2] + shape[3])
        sigma = _GAIN * np.sqrt(2.0 / fans)
        drawn = [sigma * random.standard_normal(shape) for random in randoms]
        variable.assign(np.stack(drawn).astype(np.float32))
