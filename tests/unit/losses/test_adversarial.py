"""GAN losses: known points, NumPy oracles, direction of gradients."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.losses.adversarial import (
    GAN_LOSSES,
    lsgan_discriminator_loss,
    lsgan_generator_loss,
)
from tests.oracles import adversarial_oracle

every_family = pytest.mark.parametrize("family", GAN_LOSSES)


def normal(seed, *shape, spread=2.0):
    draw = np.random.default_rng(seed).normal(size=shape) * spread
    return draw.astype(np.float32)


@every_family
def test_every_family_equals_numpy(family):
    """Of different counts, so that each half must be a mean of its own."""
    real, fake = normal(0, 2, 5, 5, 1) + 0.7, normal(1, 4, 3, 3, 1)
    g, d = getattr(adversarial_oracle, family)(real, fake)
    losses = GAN_LOSSES[family]
    np.testing.assert_allclose(losses.generator(real, fake), g, rtol=1e-5)
    np.testing.assert_allclose(losses.discriminator(real, fake), d, rtol=1e-5)


# family -> (generator, discriminator) where all logits are 0.
NEUTRAL = {
    "lsgan": (1.0, 0.5),
    "vanilla": (np.log(2), np.log(2)),
    "hinge": (0.0, 1.0),
    "relativistic": (np.log(2), np.log(2)),
}


@every_family
def test_zero_logits_cost_what_the_papers_say(family):
    zeros, losses = tf.zeros([2, 4, 4, 1]), GAN_LOSSES[family]
    found = losses.generator(zeros, zeros), losses.discriminator(zeros, zeros)
    np.testing.assert_allclose(found, NEUTRAL[family], rtol=1e-6)


@every_family
def test_losses_fall_in_the_right_direction(family):
    """The generator wants fakes up, the discriminator real up and fakes down.

    Logits between the targets of least squares, which pulls back what is beyond them.
    ESRGAN's generator also wants real down, which counts only if the caller lets it.
    """
    losses = GAN_LOSSES[family]
    real, fake = tf.constant([0.3, 0.2, 0.9]), tf.constant([0.4, 0.1, 0.8])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([real, fake])
        g, d = losses.generator(real, fake), losses.discriminator(real, fake)
    assert np.all(tape.gradient(g, fake) < 0)
    assert np.all(tape.gradient(d, real) < 0) and np.all(tape.gradient(d, fake) > 0)
    through_real = tape.gradient(g, real)
    if family == "relativistic":
        assert np.all(through_real > 0)
    else:
        assert through_real is None


@every_family
def test_a_duplicated_batch_costs_the_same_in_every_family(family):
    real, fake = normal(2, 3, 4, 4, 1), normal(3, 3, 4, 4, 1)
    twice = np.concatenate([real, real]), np.concatenate([fake, fake])
    for loss in GAN_LOSSES[family]:
        # Hinge's generator loss is a mean of either sign, near 0 here.
        np.testing.assert_allclose(loss(*twice), loss(real, fake), atol=1e-6)


@every_family
def test_extreme_logits_stay_finite_and_halves_are_float32(family):
    """A sigmoid followed by a logarithm would be infinite at 100."""
    far = tf.constant([-300.0, 300.0])
    for loss in GAN_LOSSES[family]:
        for dtype in (tf.float32, tf.float16):
            value = loss(tf.cast(far, dtype), tf.cast(-far, dtype))
            assert value.dtype == tf.float32 and np.isfinite(value)


def test_only_the_relativistic_loss_ignores_a_common_offset():
    real, fake = normal(4, 6), normal(5, 6)
    for family, losses in GAN_LOSSES.items():
        for loss in losses:
            moved = np.abs(loss(real + 5.0, fake + 5.0) - loss(real, fake))
            assert (moved < 1e-5) == (family == "relativistic"), family


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
