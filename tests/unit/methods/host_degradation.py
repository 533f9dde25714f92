"""A degradation as only a CPU computes it: libjpeg, sizes of its own for each image."""

import tensorflow as tf

from pdm_tf.degradations import Degradation, Degraded


class HostDegradation(Degradation):
    """Every scale-th pixel, resized there and back at random, then libjpeg.

    Its target is the negative of hr, so that a test sees who is given which.
    """

    on_host = True
    margin = 3
    grid_period = 8
    context = None

    def __init__(self, scale, config=None):
        self.scale, self.config = scale, config or self.config_class()

    def draw(self, batch, height, width, seed):
        """(factor [B], quality [B])."""
        del height, width
        one, two = tf.unstack(tf.random.split(tf.cast(seed, tf.int32), 2))
        factor = tf.random.stateless_uniform([batch], one, 0.5, 1.5)
        return factor, tf.random.stateless_uniform([batch], two, 30, 96, tf.int32)

    def apply(self, hr, *latents, training=False):
        """Image by image."""
        del training
        inner = hr[:, self.margin : -self.margin, self.margin : -self.margin]
        small = inner[:, :: self.scale, :: self.scale]

        def one(drawn):
            image, factor, quality = drawn
            size = tf.shape(image)[:2]
            other = tf.cast(tf.round(tf.cast(size, tf.float32) * factor), tf.int32)
            image = tf.image.resize(tf.image.resize(image, other), size)
            return tf.image.adjust_jpeg_quality(tf.clip_by_value(image, 0, 1), quality)

        lr = tf.map_fn(one, (small, *latents), fn_output_signature=tf.float32)
        lr = tf.ensure_shape(lr, small.shape)
        return Degraded(lr, lr, quality=latents[1], target=1.0 - inner)
