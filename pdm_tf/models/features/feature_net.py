"""Base of feature networks: a chain of named stages, each of which can be tapped.

All take RGB in [0, 1] and normalise it by ImageNet's mean and standard deviation, as
torchvision's weights expect. A tap is the output of the stage of that name: `conv3_4`
is before the ReLU, `relu3_4` after it. Nothing beyond the deepest tap is computed.
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.models.network import Network, to_compute

# Of ImageNet's RGB in [0, 1]; NumPy constants so that exporters fold them.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)

Stage = tuple[str, Callable[[tf.Tensor], tf.Tensor]]


class FeatureNet(Network):
    """image [B, H, W, 3] float32 in [0, 1] -> {tap: [B, h, w, C] float32}.

    Subclasses make their layers and list them in `stages`.
    """

    role = "features"

    def stages(self) -> list[Stage]:
        """Lists the chain from the normalised image on: (name, function) in order."""
        raise NotImplementedError

    @property
    def tap_names(self) -> tuple[str, ...]:
        """Names of all taps, from the image to the deepest."""
        return tuple(name for name, _ in self.stages())

    def call(
        self,
        image: tf.Tensor,
        taps: Sequence[str] | None = None,
        training: bool = False,
    ) -> dict[str, tf.Tensor]:
        """Returns activations of the named stages, in that order; all if None.

        Raises:
          ValueError: an unknown tap, none at all, or an image smaller than
            `config.min_size`.
        """
        del training  # frozen features: nothing behaves differently
        stages = self.stages()
        wanted = self._checked(tuple(self.tap_names if taps is None else taps))
        self._check_size(image)
        x = to_compute(self, (tf.cast(image, tf.float32) - MEAN) / STD)
        found = {}
        for name, stage in stages:
            x = stage(x)
            if name in wanted:
                found[name] = tf.cast(x, tf.float32)
            if len(found) == len(set(wanted)):
                break
        return {name: found[name] for name in wanted}

    def _checked(self, taps: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in taps if name not in self.tap_names]
        if unknown or not taps:
            raise ValueError(
                f"`taps` of {type(self).__name__} must be among "
                f"{', '.join(self.tap_names)}. Received: "
                f"{', '.join(unknown) or 'none'}."
            )
        return taps

    def _check_size(self, image: tf.Tensor) -> None:
        sides = [side for side in image.shape[1:3] if side is not None]
        smallest = self.config.min_size
        if any(side < smallest for side in sides):
            raise ValueError(
                f"{type(self).__name__} needs images of at least {smallest}x{smallest} "
                f"pixels. Received: shape={tuple(image.shape)}."
            )


def feature_conv(
    filters: int,
    kernel_size: int,
    *,
    strides: int = 1,
    same: bool = True,
    dtype: str,
    name: str,
) -> keras.layers.Conv2D:
    """Makes a convolution with He-normal weights, as torchvision starts its VGGs.

    With fan-in uniform weights the signal of a random network would vanish after a
    dozen ReLUs, and tests and smoke runs use random networks.

    Args:
      same: zero padding that keeps the size (stride 1); else none.
    """
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same" if same else "valid",
        kernel_initializer="he_normal",
        dtype=dtype,
        name=name,
    )


def max_pool(x: tf.Tensor, size: int, stride: int = 2) -> tf.Tensor:
    """Takes the maximum of each full window: PyTorch's MaxPool2d without padding."""
    return tf.nn.max_pool2d(x, size, stride, "VALID")


def max_pool_ceil(x: tf.Tensor) -> tf.Tensor:
    """Pools 3x3 windows at stride 2; the last one may hang over the border.

    This is PyTorch's MaxPool2d(3, 2, ceil_mode=True) for x >= 0: the missing row is
    filled with zeros, which are never larger than the window's values.
    """
    shape = tf.shape(x)
    # Of even sides one row or column is left over; odd ones fit.
    below, right = (shape[1] + 1) % 2, (shape[2] + 1) % 2
    return max_pool(tf.pad(x, [[0, 0], [0, below], [0, right], [0, 0]]), 3)
