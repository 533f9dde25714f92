"""Least-squares GAN losses: known points, a NumPy oracle, direction of gradients."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.losses.adversarial import lsgan_discriminator_loss, lsgan_generator_loss


@pytest.mark.parametrize(
    ("real", "fake", "discriminator", "generator"),
    [
        (1.0, 0.0, 0.0, 1.0),  # perfect
        (0.5, 0.5, 0.25, 0.25),  # answers 1/2
        (0.0, 1.0, 1.0, 0.0),  # exactly wrong
        (1.0, 1.0, 0.5, 0.0),  # fooled
        (3.0, -1.0, 2.5, 4.0),  # beyond the targets: logits are not clipped
    ],
)
def test_known_points(real, fake, discriminator, generator):
    real, fake = tf.fill([2, 4, 4, 1], real), tf.fill([2, 4, 4, 1], fake)
    assert lsgan_discriminator_loss(real, fake).numpy() == discriminator
    assert lsgan_generator_loss(fake).numpy() == generator


def test_equals_numpy_and_weighs_the_halves_equally():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(2, 5, 5, 1)).astype(np.float32)
    fake = rng.normal(size=(4, 3, 3, 1)).astype(np.float32)  # another count
    wanted = (np.mean((real - 1) ** 2) + np.mean(fake**2)) / 2
    np.testing.assert_allclose(lsgan_discriminator_loss(real, fake), wanted, rtol=1e-6)
    np.testing.assert_allclose(
        lsgan_generator_loss(fake), np.mean((fake - 1) ** 2), rtol=1e-6
    )


def test_a_duplicated_batch_costs_the_same():
    logits = np.random.default_rng(1).normal(size=(3, 4, 4, 1)).astype(np.float32)
    twice = np.concatenate([logits, logits])
    np.testing.assert_allclose(
        lsgan_generator_loss(twice), lsgan_generator_loss(logits), rtol=1e-6
    )
    np.testing.assert_allclose(
        lsgan_discriminator_loss(twice, twice),
        lsgan_discriminator_loss(logits, logits),
        rtol=1e-6,
    )


def test_gradients_pull_to_the_targets():
    real, fake = tf.constant([0.2, 1.7]), tf.constant([0.2, -0.6])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real, fake])
        d_loss = lsgan_discriminator_loss(real, fake)
        g_loss = lsgan_generator_loss(fake)
    np.testing.assert_allclose(tape.gradient(d_loss, real), [-0.4, 0.35], rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(d_loss, fake), [0.1, -0.3], rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(g_loss, fake), [-0.8, -1.6], rtol=1e-5)


def test_half_precision_logits_are_summed_in_float32():
    # 65536 values of 1/256: a bfloat16 sum would stop growing long before.
    logits = tf.cast(tf.fill([65536], 1.0 / 256), tf.bfloat16)
    loss = lsgan_discriminator_loss(tf.ones([4], tf.bfloat16), logits)
    assert loss.dtype == tf.float32
    np.testing.assert_allclose(loss, 0.5 / 65536, rtol=1e-5)
