"""Penalties on the noise's energy and on kernels that are off centre."""

import numpy as np
import tensorflow as tf

from pdm_tf.losses.regularisers import centroid_loss, noise_energy_loss


def delta(down, right, side=7):
    kernel = np.zeros((side, side), np.float32)
    kernel[side // 2 + down, side // 2 + right] = 1
    return kernel.reshape(1, 1, 1, -1)


def test_energy_equals_numpy_whatever_the_batch():
    noise = np.random.default_rng(0).normal(size=(2, 3, 5, 3)).astype(np.float32)
    wanted = np.mean(noise**2)
    np.testing.assert_allclose(noise_energy_loss(noise), wanted, rtol=1e-6)
    twice = np.concatenate([noise, noise])
    np.testing.assert_allclose(noise_energy_loss(twice), wanted, rtol=1e-6)
    # A mean, not a mean square: the sign must not cancel.
    assert noise_energy_loss(tf.constant([-0.5, 0.5])) == 0.25


def test_centroid_of_shifted_deltas_is_the_squared_distance():
    assert centroid_loss(delta(0, 0)) == 0.0
    assert centroid_loss(delta(2, 0)) == 4.0
    assert centroid_loss(delta(-1, 3)) == 10.0
    assert centroid_loss(delta(0, 0), 0.5) == 0.5
    assert centroid_loss(delta(1, 1), 0.5) == 0.5
    # Two kernels off to opposite sides: each counts, their mean does not.
    both = np.concatenate([delta(0, 2), delta(0, -2)])
    assert centroid_loss(both) == 4.0
    spatial = np.concatenate([delta(0, 2), delta(0, 0)], axis=2)
    assert centroid_loss(spatial) == 2.0


def test_centroid_gradient_takes_mass_from_the_far_side():
    logits = tf.Variable(tf.math.log(tf.constant(delta(0, 2)) * 0.5 + 0.5 / 49))
    with tf.GradientTape() as tape:
        loss = centroid_loss(tf.nn.softmax(logits))
    gradient = tape.gradient(loss, logits).numpy().reshape(7, 7)
    assert gradient[3, 5] > 0 and gradient[3, 0] < 0  # descent: less right, more left
