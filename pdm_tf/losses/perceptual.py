"""Perceptual loss: distance between activations of a fixed network (Johnson 2016).

Johnson et al. 2016 (arXiv:1603.08155), with the changes of ESRGAN (Wang et al. 2018,
arXiv:1809.00219): activations before the ReLU, and L1. The PDM release compares conv5_4
of VGG19; Real-ESRGAN (Wang et al. 2021, arXiv:2107.10833) and BSRGAN compare five taps
with the weights .1, .1, 1, 1, 1. Taps are those of `models.features.VGG`, which does
the normalisation.

The release gives (HR, SR) to a function that detaches its second argument, so its
perceptual term never reached the SR network (B1 of the list of mistakes). Here the
target is detached, and named so.
"""

from collections.abc import Mapping

import tensorflow as tf

# Name of a setting -> tap -> weight.
PERCEPTUAL_TAPS: Mapping[str, Mapping[str, float]] = {
    "conv5_4": {"conv5_4": 1.0},
    "five_taps": {
        "conv1_2": 0.1,
        "conv2_2": 0.1,
        "conv3_4": 1.0,
        "conv4_4": 1.0,
        "conv5_4": 1.0,
    },
}


def perceptual_loss(
    sr_features: Mapping[str, tf.Tensor],
    hr_features: Mapping[str, tf.Tensor],
    weights: Mapping[str, float],
) -> tf.Tensor:
    """sum over taps of weight * mean|sr - hr|; no gradient through `hr_features`.

    Args:
      sr_features: tap -> [B, h, w, C] activations of the result.
      hr_features: the same of the target.
      weights: tap -> weight; every tap must be in both.

    Returns:
      Scalar float32.

    Raises:
      ValueError: a tap is missing or the shapes of a pair differ.
    """
    total = tf.constant(0.0)
    for tap, weight in weights.items():
        if tap not in sr_features or tap not in hr_features:
            raise ValueError(
                f"Features of tap {tap} are needed of both images. Received: "
                f"{', '.join(sr_features)} and {', '.join(hr_features)}."
            )
        sr, hr = sr_features[tap], tf.stop_gradient(hr_features[tap])
        if not sr.shape.is_compatible_with(hr.shape):
            raise ValueError(
                "Features must have one shape. Received: "
                f"{tap}, {tuple(sr.shape)} and {tuple(hr.shape)}."
            )
        distance = tf.abs(tf.cast(sr, tf.float32) - tf.cast(hr, tf.float32))
        total += weight * tf.reduce_mean(distance)
    return total
