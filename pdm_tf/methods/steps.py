"""Shared parts of training steps: optimisers, seeds, crops, previews."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.core.draw import enlarge, kernel_gallery, text_block, tile_grid
from pdm_tf.core.images import to_u8
from pdm_tf.core.seeds import stream_seed

_PREVIEW_IMAGES = 4
_PREVIEW_KERNELS = 24
Optimizers = Mapping[str, keras.optimizers.Optimizer]


class ReducedAdam(keras.optimizers.Adam):
    """Adam that takes gradients as they are.

    Keras sums them over replicas after clipping each replica's own. Here they come in
    summed (`training.step_function`), so that the global batch's gradient is clipped.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars: Any) -> Any:
        return grads_and_vars


def make_adam(
    network: keras.Model,
    *,
    learning_rate: float,
    clip_norm: float,
    beta_1: float = 0.9,
) -> keras.optimizers.Optimizer:
    """Makes Adam with PyTorch's epsilon, clipping by this network's global norm.

    For a network that computes in float16 it scales the loss (and skips steps whose
    gradients overflow), one scale per network.

    Args:
      network: built; the optimiser's slots are made for its trainable variables.
      learning_rate: initial; the loop sets it by step.
      clip_norm: ceiling of the global norm of the network's gradients.
      beta_1: decay of the first moment.
    """
    optimizer: keras.optimizers.Optimizer = ReducedAdam(
        learning_rate, beta_1=beta_1, epsilon=1e-8, global_clipnorm=clip_norm
    )
    if network.compute_dtype == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(network.trainable_variables)
    return optimizer


def step_seed(seed: int, stream: str, step: tf.Tensor) -> tf.Tensor:
    """Returns the seed, [2] int32, of this stream's random numbers at this step."""
    base = tf.constant(stream_seed(seed, stream), tf.int32)
    # One fold takes 32 bits; no run has 2**31 steps.
    low = tf.cast(tf.bitwise.bitwise_and(step, 0x7FFFFFFF), tf.int32)
    return tf.random.experimental.stateless_fold_in(base, low)


def crop_margin(image: tf.Tensor, margin: int) -> tf.Tensor:
    """Takes `margin` pixels off each side of [B, H, W, C]."""
    return image[:, margin:-margin, margin:-margin, :] if margin else image


def patch_rows(
    columns: Mapping[str, tf.Tensor], scale: int, count: int = _PREVIEW_IMAGES
) -> np.ndarray:
    """Draws one row per sample and one column per kind of image.

    Args:
      columns: name -> [B, H, W, 3] float in [0, 1]; those of LR size are enlarged by
        whole pixels.
      scale: factor between the sizes.
      count: rows.
    """
    images = {name: to_u8(np.asarray(x[:count])) for name, x in columns.items()}
    largest = max(x.shape[1] for x in images.values())

    def shown(picture: np.ndarray) -> np.ndarray:
        return enlarge(picture, scale) if picture.shape[0] < largest else picture

    rows = min(count, *(len(x) for x in images.values()))
    header = [text_block([name], largest) for name in images]
    tiles = [[shown(x[row]) for x in images.values()] for row in range(rows)]
    return tile_grid([header, *tiles], gap=4)


def kernel_picture(kernels: np.ndarray) -> np.ndarray:
    """Draws a gallery of kernels [N, K, K] with cross hairs to judge centring."""
    return kernel_gallery(kernels, columns=8, cross_hair=True)


def sampled_kernels(
    pdm: keras.Model, count: int = _PREVIEW_KERNELS, hr: tf.Tensor | None = None
) -> np.ndarray:
    """Samples kernels with the same latents at every call, so that pictures compare.

    `hr` [B, H, W, 3], with margin, is for forms whose kernels depend on the image.
    """
    return pdm.sample_kernels(count, seed=0, hr=hr)


def optimizers_for(
    networks: Mapping[str, keras.Model],
    names: Sequence[str],
    *,
    learning_rate: float,
    clip_norm: float,
    beta_1: Mapping[str, float] | None = None,
) -> dict[str, keras.optimizers.Optimizer]:
    """Calls `make_adam` for each of the named networks."""
    return {
        name: make_adam(
            networks[name],
            learning_rate=learning_rate,
            clip_norm=clip_norm,
            beta_1=(beta_1 or {}).get(name, 0.9),
        )
        for name in names
    }
