"""Penalties on what the degradation model produces."""

import tensorflow as tf

from pdm_tf.ops.blur import kernel_centroid


def noise_energy_loss(noise: tf.Tensor) -> tf.Tensor:
    """mean(noise^2) over all elements: l_reg, Eq. 12 of Luo et al. 2022.

    The paper weighs it with lambda = 100 so that the noise module leaves the image's
    content to the kernel module.
    """
    return tf.reduce_mean(tf.square(tf.cast(noise, tf.float32)))


def centroid_loss(kernel: tf.Tensor, target_px: float = 0.0) -> tf.Tensor:
    """Mean squared distance of the kernels' centres of mass from where they belong.

    Unpaired training cannot see a translation: a kernel and its shifted copy give LR
    crops that are equally real, and the SR network then learns to undo the shift.
    Not in the paper.

    Args:
      kernel: [B, h, w, K*K], sums to 1 over the last axis.
      target_px: wanted centre, in HR pixels down and right of the middle tap (see
        `ops.blur.grid_geometry`).

    Returns:
      Scalar float32 in squared HR pixels.
    """
    offset = kernel_centroid(kernel) - target_px
    return tf.reduce_mean(tf.reduce_sum(tf.square(offset), axis=-1))
