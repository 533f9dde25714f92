"""Noise of one image, for degradation chains."""

import tensorflow as tf

# Of R, G and B in the brightness whose noise all colours share (ITU-R BT.601).
_GREY = [0.2989, 0.587, 0.114]


def gaussian_noise(image: tf.Tensor, seed: tf.Tensor, is_grey: tf.Tensor) -> tf.Tensor:
    """White noise of variance 1.

    Args:
      image: [H, W, C], whose size the noise takes.
      seed: [2] int32.
      is_grey: scalar truth value: whether all colours share one field.

    Returns:
      [H, W, C] float32, or [H, W, 1] if they share it.
    """
    size = tf.shape(image)
    channels = tf.where(is_grey, 1, size[2])
    return tf.random.stateless_normal([size[0], size[1], channels], seed)


def poisson_noise(
    image: tf.Tensor,
    seed: tf.Tensor,
    is_grey: tf.Tensor,
    photons: tf.Tensor | None = None,
) -> tf.Tensor:
    """Shot noise: the deviation of a Poisson variable from its mean.

    With v photons for white, a pixel x of 8 bit becomes P(v x) / v. As in the code of
    Real-ESRGAN v is the number of different values in the image, rounded up to a power
    of two, unless it is given: an image of few values is the noisier for it.

    Args:
      image: [H, W, 3] float32 in about [0, 1]; clamped and rounded to 8 bit.
      seed: [2] int32.
      is_grey: scalar truth value: whether the noise is that of the brightness, for all
        colours.
      photons: scalar v, if it does not depend on the image.

    Returns:
      [H, W, 3] float32, or [H, W, 1] if they share it.
    """

    def brightness() -> tf.Tensor:
        return tf.tensordot(image, tf.constant(_GREY), 1)[..., None]

    light = tf.cond(is_grey, brightness, lambda: image)
    levels = tf.round(tf.clip_by_value(light, 0.0, 1.0) * 255.0)
    if photons is None:
        photons = _photons(levels)
    light = levels / 255.0
    arrived = tf.random.stateless_poisson(
        tf.shape(light), seed, light * photons, tf.float32
    )
    return arrived / photons - light


def _photons(levels: tf.Tensor) -> tf.Tensor:
    """Different values among levels of 8 bit, rounded up to a power of two."""
    used = tf.math.bincount(tf.cast(levels, tf.int32), minlength=256, maxlength=256)
    count = tf.cast(tf.math.count_nonzero(used), tf.int32)
    # The power of two by whole numbers: a logarithm may miss one.
    powers = 2 ** tf.range(9)
    power = tf.reduce_min(tf.where(powers >= count, powers, 256))
    return tf.cast(power, tf.float32)
