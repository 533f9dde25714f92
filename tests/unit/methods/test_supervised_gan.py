"""Supervised training with a GAN: one GANSR on any pairs."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.degradations import DEGRADATIONS
from pdm_tf.methods import SupervisedGANConfig
from pdm_tf.methods.base import FULL_BATCH, NotNeeded
from pdm_tf.methods.supervised_gan import SupervisedGAN
from pdm_tf.models.discriminators import PatchGAN
from pdm_tf.models.features import VGGConfig
from pdm_tf.models.features.vgg import VGG
from tests.unit.methods import tiny
from tests.unit.methods.host_degradation import HostDegradation

STEP = tf.constant(0, tf.int64)


@pytest.mark.parametrize("pairs", ["synthetic", "real"])
def test_gradients_reach_exactly_the_sr_network_and_its_discriminator(pairs):
    features = tiny.FEATURES.build(name="features")
    fixed = tiny.snapshot(features)
    method = tiny.supervised_gan({"features": features}, pairs=pairs)
    assert set(method.networks) == set(method.optimizers) == {"sr", "hr_discriminator"}
    before = {name: tiny.snapshot(net) for name, net in method.networks.items()}
    (scalars,) = tiny.run(method, 1)
    assert all(np.isfinite(value) for value in scalars.values())
    for name, network in method.networks.items():
        assert tiny.moved(network, before[name]) >= tiny.trainable(network), name
    assert tiny.moved(features, fixed) == set()
    assert set(method.deployable()) == {"sr"} == set(method.ema_networks())


def test_without_a_weight_there_is_no_network():
    only_features = tiny.supervised_gan(gan_weight=0.0)
    assert set(only_features.networks) == {"sr"}
    (scalars,) = tiny.run(only_features, 1)
    assert "loss/sr_perceptual" in scalars and "loss/sr_adv" not in scalars
    roles = SupervisedGAN.roles(SupervisedGANConfig(perceptual_weight=0.0))
    assert isinstance(roles["features"], NotNeeded)
    assert list(roles) == ["sr", "degradation", "hr_discriminator", "features"]


def test_a_step_is_that_of_pdm_srgan_on_the_same_frozen_degradation():
    """Bicubic draws nothing, so both methods have the same pairs: equal to the bit."""
    ours = tiny.supervised_gan(perceptual="five_taps", gan_loss="relativistic")
    theirs = tiny.pdm_srgan(
        {"pdm": DEGRADATIONS["bicubic"](tiny.SCALE)},
        training="sr",
        perceptual="five_taps",
        gan_loss="relativistic",
    )
    for name, network in ours.networks.items():
        theirs.networks[name].set_weights(network.get_weights())
    features = ours._sr_part._features.get_weights()
    theirs._sr_part._features.set_weights(features)
    assert ours.patches == theirs.patches
    assert tiny.run(ours, 2) == tiny.run(theirs, 2)
    for name, network in ours.networks.items():
        for one, other in zip(
            network.get_weights(), theirs.networks[name].get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one, other)


class WatchingD(PatchGAN):
    """A discriminator that keeps what it is shown."""

    def call(self, image, training=False):
        self.__dict__.setdefault("seen", []).append(image)
        return super().call(image, training=training)


class WatchingF(VGG):
    """A feature network that keeps what it is shown."""

    def call(self, image, taps=None, training=False):
        self.__dict__.setdefault("seen", []).append(image)
        return super().call(image, taps)


def test_the_target_is_for_pixels_and_features_and_hr_for_the_discriminator():
    judge = WatchingD(tiny.DISCRIMINATOR, name="hr_discriminator")
    judge(np.zeros([1, 16, 16, 3], np.float32))
    features = WatchingF(VGGConfig(depth=19, filters=2), name="features")
    features(np.zeros([1, 16, 16, 3], np.float32))
    method = tiny.supervised_gan(
        {"hr_discriminator": judge, "features": features},
        degradation=HostDegradation(tiny.SCALE),
    )
    batch = method.prepare_batch(tiny.batch_for(method), STEP, FULL_BATCH)
    assert np.abs(batch["target"] - batch["hr"]).max() > 0.5
    for seen in (judge, features):
        seen.__dict__["seen"].clear()
    result = method.train_step_for(0)(batch, STEP, FULL_BATCH)
    fake, real = judge.__dict__["seen"]
    np.testing.assert_array_equal(real, batch["hr"])
    wanted, sr = features.__dict__["seen"]
    np.testing.assert_array_equal(wanted, batch["target"])
    l1 = np.mean(np.abs(sr - batch["target"]))
    assert float(result.scalars["loss/sr_l1"]) == pytest.approx(l1, rel=1e-5)
    np.testing.assert_allclose(fake, np.clip(sr, 0, 1), atol=0.5 / 255 + 1e-6)


def test_settings_that_cannot_work_are_refused():
    for settings, message in [
        ({"gan_loss": "wgan"}, "`gan_loss` of SupervisedGANConfig .*'wgan'"),
        ({"gan_weight": 0, "perceptual_weight": 0}, "it is --method=supervised. "),
        ({"pairs": "both"}, "one of synthetic, real. Received: 'both'"),
        ({"pixel_weight": -1.0}, "`pixel_weight` .* not be negative"),
    ]:
        with pytest.raises(UserError, match=message):
            SupervisedGANConfig(**settings)
    with pytest.raises(UserError, match="must be a VGG19, which has conv3_4"):
        few = VGGConfig(depth=16, filters=2).build(name="features")
        tiny.supervised_gan({"features": few}, perceptual="five_taps")
