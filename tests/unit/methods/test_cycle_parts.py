"""Losses of translation in cycles, by hand, and who learns from them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.core.seeds import stream_seed
from pdm_tf.methods import cycle_parts
from pdm_tf.methods.cycle_parts import Adversary, CycleConfig
from pdm_tf.methods.image_buffer import ImageBuffer
from pdm_tf.methods.steps import make_adam
from tests.unit.methods import tiny

SHAPE = (2, 2, 3)


class Judge(keras.Model):
    """logits = slope * mean of each image, and how often it was asked."""

    def __init__(self, slope):
        super().__init__()
        self.slope = self.add_weight(shape=(), initializer="zeros", name="slope")
        self.slope.assign(slope)
        self.passes = 0

    def call(self, image, training=False):
        assert training
        self.passes += 1
        return self.slope * tf.reduce_mean(image, axis=[1, 2, 3])


def images(*levels):
    """Images of one level each, in 255ths."""
    return tf.stack([tf.fill(SHAPE, level / 255) for level in levels])


def adversary(judge, **settings):
    config = CycleConfig(**settings)
    return Adversary(judge, "judge", SHAPE, config, seed=3)


def least_squares(real, fake):
    """Generator's and discriminator's loss by Mao et al. 2017, of levels in [0, 1]."""
    real, fake = np.array(real), np.array(fake)
    generator = np.mean((fake - 1) ** 2)
    return generator, (np.mean((real - 1) ** 2) + np.mean(fake**2)) / 2


def test_losses_are_those_of_lsgan():
    judge = Judge(2.0)
    verdict = adversary(judge, buffer_size=0).judge(images(255, 51), images(102, 0))
    generator, discriminator = least_squares([2.0, 0.4], [0.8, 0.0])
    assert float(verdict.generator) == pytest.approx(generator)
    assert float(verdict.discriminator) == pytest.approx(discriminator)
    assert judge.passes == 2  # one on the fakes serves both losses


def test_the_discriminator_also_sees_earlier_fakes_and_the_generator_does_not():
    judge = Judge(1.0)
    games = adversary(judge, buffer_size=2)
    twin = ImageBuffer(2, SHAPE)
    seed = tf.constant(stream_seed(3, "buffer of judge"), tf.int32)
    older = set()
    for level in range(0, 200, 20):
        fakes = images(level, level + 10)
        verdict = games.judge(images(255), fakes)
        shown = twin.exchange(fakes, seed).numpy()[:, 0, 0, 0]
        now = np.array([level, level + 10]) / 255
        older |= set(shown.tolist()) - set(now.astype(np.float32).tolist())
        generator, _ = least_squares([1.0], now)
        _, discriminator = least_squares([1.0], shown)
        assert float(verdict.generator) == pytest.approx(generator, rel=1e-5)
        assert float(verdict.discriminator) == pytest.approx(discriminator, rel=1e-5)
    assert older and judge.passes == 3 * 10


@pytest.mark.parametrize("size", [0, 2])
def test_each_side_learns_from_its_own_loss_alone(size):
    judge, games = Judge(0.5), None
    games = adversary(judge, buffer_size=size)
    fake, real = tf.Variable(images(102, 200)), tf.Variable(images(25, 250))
    with tf.GradientTape(persistent=True) as tape:
        verdict = games.judge(real, fake)
    by_hand = 2 * (0.5 * np.array([102, 200]) / 255 - 1) * 0.5 / 12 / 2
    found = tape.gradient(verdict.generator, fake)
    np.testing.assert_allclose(found[:, 0, 0, 0], by_hand, rtol=1e-5)
    assert tape.gradient(verdict.generator, real) is None
    assert tape.gradient(verdict.discriminator, real) is None
    assert tape.gradient(verdict.discriminator, judge.slope.value) is not None


@pytest.mark.parametrize("fakes", cycle_parts.FAKES)
def test_what_discriminators_see(fakes):
    """Rounded and clamped like files, with slope 1 everywhere; or as it comes."""
    image = tf.Variable([-0.2, 0.5011, 1.3])
    with tf.GradientTape() as tape:
        seen = cycle_parts.as_seen(image, fakes)
        total = tf.reduce_sum(seen)
    wanted = [0.0, 128 / 255, 1.0] if fakes == "8bit_unmasked" else [-0.2, 0.5011, 1.3]
    np.testing.assert_allclose(seen, wanted, rtol=1e-6)
    np.testing.assert_array_equal(tape.gradient(total, image), 1.0)


def test_cycle_and_identity_by_hand():
    """|F(G(x)) - x| is 0 for inverse translations, the offset otherwise."""
    x = tf.random.stateless_uniform([2, 3, 4, 3], [1, 2])
    fake = x + 0.25
    assert float(cycle_parts.cycle_loss(lambda y: y - 0.25, fake, x)) < 1e-6
    assert float(cycle_parts.cycle_loss(lambda y: y, fake, x)) == pytest.approx(0.25)
    assert float(cycle_parts.identity_loss(lambda y: y - 0.5, x)) == pytest.approx(0.5)
    assert float(cycle_parts.identity_loss(lambda y: y, x)) == 0.0


def test_weighted_sum_and_what_is_logged():
    terms = {"loss/a": (2.0, tf.constant(3.0)), "loss/b": (0.0, tf.constant(5.0))}
    assert float(cycle_parts.weighted_sum(terms)) == 6.0
    logged = cycle_parts.scalars_of(terms, {"loss/c": (9.0, tf.constant(7.0))})
    assert {k: float(v) for k, v in logged.items()} == {
        "loss/a": 3.0,
        "loss/b": 5.0,
        "loss/c": 7.0,
    }


def networks(policy="float32"):
    keras.utils.set_random_seed(1)
    return {"sr": tiny.sr(policy), "discriminator": tiny.discriminator(policy)}


def recorded(nets):
    """A tape, a loss that depends on both networks, and one for D alone."""
    image = tf.random.stateless_uniform([1, 8, 8, 3], [1, 2])
    with tf.GradientTape(persistent=True) as tape:
        logits = nets["discriminator"](nets["sr"](image))
        shared, own = tf.reduce_mean(logits**2), tf.reduce_mean(logits)
    return tape, shared, own


def adams(nets):
    return {
        name: make_adam(net, learning_rate=1e-3, clip_norm=1.0)
        for name, net in nets.items()
    }


def assert_close(found, wanted, factor=1.0, rtol=1e-5):
    for one, other in zip(found, wanted, strict=True):
        other = factor * np.asarray(other)
        np.testing.assert_allclose(one, other, rtol, rtol * np.abs(other).max())


def test_networks_that_share_a_loss_get_the_gradients_of_passes_of_their_own():
    nets = networks()
    (tape, shared, own), optimizers = recorded(nets), adams(nets)
    both = {("sr", "discriminator"): shared}
    found = cycle_parts.gradients_of(tape, both, nets, optimizers)
    for name, net in nets.items():
        assert_close(found[name], tape.gradient(shared, net.trainable_variables))
    each = {("sr",): shared, ("discriminator",): own}
    apart = cycle_parts.gradients_of(tape, each, nets, optimizers)
    assert_close(apart["sr"], found["sr"])
    judge = nets["discriminator"].trainable_variables
    assert_close(apart["discriminator"], tape.gradient(own, judge))


def test_float16_scales_the_loss_of_each_network_by_its_own_scale():
    """On the way back: unscaled, these gradients would be 0 in float16."""
    nets, exact = networks("mixed_float16"), networks()
    scales, optimizers = {"sr": 4096.0, "discriminator": 512.0}, adams(nets)
    for name, scale in scales.items():
        nets[name].set_weights(exact[name].get_weights())
        optimizers[name].dynamic_scale.assign(scale)
    (tape, shared, _), (plain, wanted, _) = recorded(nets), recorded(exact)
    both = {("sr", "discriminator"): shared}
    found = cycle_parts.gradients_of(tape, both, nets, optimizers)
    for name, scale in scales.items():
        reference = plain.gradient(wanted, exact[name].trainable_variables)
        assert_close(found[name], reference, scale, rtol=0.05)


def test_settings_that_cannot_work_are_refused():
    for settings, message in [
        ({"fakes": "8bit"}, "`fakes` .* Received: '8bit'"),
        ({"parts": "ours"}, "`parts` .* Received: 'ours'"),
        ({"cycle_weight": -1.0}, "`cycle_weight` .* not be negative"),
        ({"buffer_size": -1}, "`buffer_size` .* not be negative"),
    ]:
        with pytest.raises(UserError, match=message):
            CycleConfig(**settings)
