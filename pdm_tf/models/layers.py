"""Layers and initial values shared by the networks.

Everything that differs silently between PyTorch, where these networks come from, and
Keras is set here once: initial weights, BatchNorm's constants, the LeakyReLU slope,
symmetric padding for strided convolutions.
"""

import keras
import tensorflow as tf

_PIXELS_WORTH_A_CALL = 64


def fan_in_uniform() -> keras.initializers.Initializer:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)): what PyTorch gives a convolution."""
    return keras.initializers.VarianceScaling(
        scale=1.0 / 3.0, mode="fan_in", distribution="uniform"
    )


def conv(
    filters: int, kernel_size: int, *, dtype: str, name: str, **kwargs: object
) -> keras.layers.Conv2D:
    """Convolution with fan-in uniform weights, zero biases, and "same" zero padding.

    The defaults of the weights and of the padding can be replaced.
    """
    settings = {"kernel_initializer": fan_in_uniform(), "padding": "same", **kwargs}
    return keras.layers.Conv2D(filters, kernel_size, dtype=dtype, name=name, **settings)


def batch_norm(*, dtype: str, name: str) -> keras.layers.BatchNormalization:
    """BatchNorm with PyTorch's epsilon and decay, over the batches of all replicas."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return keras.layers.BatchNormalization(
        momentum=0.9,
        epsilon=1e-5,
        # On one device the two formulas for the variance differ in rounding.
        synchronized=replicas > 1,
        dtype=dtype,
        name=name,
    )


@keras.saving.register_keras_serializable("pdm_tf")
class InstanceNorm(keras.layers.Layer):
    """Zero mean and unit variance per image and channel; no parameters, no state.

    Ulyanov et al. 2016 (arXiv:1607.08022). Equals PyTorch's InstanceNorm2d with its
    defaults. Statistics are float32 whatever the compute type.
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """[B, h, w, C] -> same shape and type."""
        if _norm_by_image(x):
            return self._by_image(x)
        wide = tf.cast(x, tf.float32)
        mean, variance = tf.nn.moments(wide, axes=[1, 2], keepdims=True)
        return tf.cast((wide - mean) * tf.math.rsqrt(variance + self.epsilon), x.dtype)

    def _by_image(self, x: tf.Tensor) -> tf.Tensor:
        # oneDNN's batch normalisation of each image by itself: a few passes over the
        # pixels instead of a dozen (0.6 of the time in float32, 0.4 in bfloat16).
        channels = x.shape[-1]
        ones, zeros = tf.ones([channels]), tf.zeros([channels])
        normed = [
            tf.compat.v1.nn.fused_batch_norm(image, ones, zeros, epsilon=self.epsilon)[
                0
            ]
            for image in tf.split(x, x.shape[0])
        ]
        return tf.concat(normed, 0)

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "epsilon": self.epsilon}


def _norm_by_image(x: tf.Tensor) -> bool:
    """Whether one call per image pays off: on CPUs, for large enough images."""
    return (
        x.shape.is_fully_defined()
        and x.dtype in (tf.float32, tf.bfloat16)
        and x.shape[1] * x.shape[2] >= _PIXELS_WORTH_A_CALL
        and not tf.config.list_physical_devices("GPU")
    )


@keras.saving.register_keras_serializable("pdm_tf")
class PaddedConv2D(keras.layers.Layer):
    """Convolution with symmetric zero padding and, on request, spectral normalisation.

    With stride 2 Keras's "same" pads one side only, PyTorch's padding=1 both; the
    difference shifts the result by a pixel. Spectral normalisation (Miyato et al. 2018,
    arXiv:1802.05957) divides the weights by an estimate of their largest singular
    value, by one power iteration per training call. Unlike
    `keras.layers.SpectralNormalization` the stored weights stay as they are, so the
    optimiser's moments keep their meaning.

    Args:
      filters: output channels.
      kernel_size: side of the window.
      strides: step of the window.
      spectral: whether to normalise the weights.
      use_bias: whether to add one number per channel.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        spectral: bool = False,
        use_bias: bool = True,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.spectral = spectral
        self.use_bias = use_bias

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.kernel_size, self.kernel_size, input_shape[-1], self.filters),
            initializer=fan_in_uniform(),
            autocast=False,  # the power iteration wants the float32 weights
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.filters,), initializer="zeros"
            )
        if self.spectral:
            self.left_vector = self.add_weight(
                name="left_vector",
                shape=(1, self.filters),
                initializer=keras.initializers.RandomNormal(stddev=1.0),
                trainable=False,
                dtype="float32",
                autocast=False,
                aggregation="only_first_replica",  # all compute the same
            )
        super().build(input_shape)

    def _normalised_kernel(self, training: bool) -> tf.Tensor:
        kernel = tf.convert_to_tensor(self.kernel.value)
        matrix = tf.reshape(tf.cast(kernel, tf.float32), [-1, self.filters])
        frozen = tf.stop_gradient(matrix)
        left = tf.convert_to_tensor(self.left_vector.value)
        right = tf.math.l2_normalize(tf.matmul(left, frozen, transpose_b=True))
        if training:
            left = tf.math.l2_normalize(tf.matmul(right, frozen))
            self.left_vector.assign(left)
        else:
            left = tf.math.l2_normalize(left)
            right = tf.math.l2_normalize(tf.matmul(left, frozen, transpose_b=True))
        sigma = tf.reduce_sum(tf.matmul(right, matrix) * left)
        return tf.reshape(matrix / sigma, tf.shape(kernel))

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[B, H, W, Cin] -> [B, ~H/strides, ~W/strides, filters]."""
        if self.spectral:
            kernel = self._normalised_kernel(bool(training))
        else:
            kernel = tf.convert_to_tensor(self.kernel)
        kernel = tf.cast(kernel, x.dtype)
        if self.strides == 1 and self.kernel_size % 2:
            out = tf.nn.conv2d(x, kernel, strides=1, padding="SAME")
        else:
            # Padding by hand, then "VALID": TensorFlow's explicit padding leaves
            # oneDNN's path and takes 20 times as long in bfloat16 on CPU.
            before = (self.kernel_size - 1) // 2
            pad = [before, before]
            x = tf.pad(x, [[0, 0], pad, pad, [0, 0]])
            out = tf.nn.conv2d(x, kernel, strides=self.strides, padding="VALID")
        if not self.use_bias:
            return out
        bias = tf.cast(tf.convert_to_tensor(self.bias), x.dtype)
        return tf.nn.bias_add(out, bias)

    def get_config(self) -> dict[str, object]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "spectral": self.spectral,
            "use_bias": self.use_bias,
        }
