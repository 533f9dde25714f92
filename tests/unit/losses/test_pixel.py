"""L1 between images."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.losses.pixel import l1_loss


def images(seed, *shape):
    values = np.random.default_rng(seed).normal(size=shape)
    return tf.constant(values, tf.float32)


def test_equals_numpy_and_known_values():
    sr, hr = images(0, 2, 5, 7, 3), images(1, 2, 5, 7, 3)
    np.testing.assert_allclose(l1_loss(sr, hr), np.mean(np.abs(sr - hr)), rtol=1e-6)
    assert l1_loss(tf.constant([[0.25, 1.5]]), tf.constant([[0.5, 0.5]])) == 0.625
    assert l1_loss(sr, sr) == 0.0


def test_a_duplicated_batch_costs_the_same():
    sr, hr = images(0, 2, 5, 7, 3), images(1, 2, 5, 7, 3)
    twice = l1_loss(tf.concat([sr, sr], 0), tf.concat([hr, hr], 0))
    np.testing.assert_allclose(twice, l1_loss(sr, hr), rtol=1e-6)


def test_gradient_is_the_sign_over_the_count():
    sr, hr = tf.constant([0.0, 1.0, 3.0, 1.0]), tf.constant([1.0, 0.0, 0.0, 1.0])
    with tf.GradientTape() as tape:
        tape.watch([sr])
        loss = l1_loss(sr, hr)
    np.testing.assert_array_equal(tape.gradient(loss, sr), [-0.25, 0.25, 0.25, 0])


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 4, 4, 3\) and \(2, 4, 4, 1\)"):
        l1_loss(tf.zeros([2, 4, 4, 3]), tf.zeros([2, 4, 4, 1]))
