"""PDM-SRGAN: which loss reaches which network, and what one step amounts to."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.losses import GAN_LOSSES
from pdm_tf.methods import PDMSRGANConfig
from pdm_tf.methods.base import FULL_BATCH, BatchShard
from pdm_tf.methods.pairs import Pair
from pdm_tf.models.discriminators import (
    PatchGAN,
    UNetDiscriminatorConfig,
    VGGDiscriminatorConfig,
)
from pdm_tf.models.features import VGGConfig
from tests.oracles import adversarial_oracle
from tests.unit.methods import tiny

OFF = dict(pixel_weight=0.0, perceptual_weight=0.0, gan_weight=0.0)


def features():
    return tiny.FEATURES.build(name="features")


def test_one_joint_step_moves_every_trainable_variable_and_no_feature():
    vgg = features()
    fixed = tiny.snapshot(vgg)
    method = tiny.pdm_srgan({"features": vgg})
    names = {"pdm", "discriminator", "sr", "hr_discriminator"}
    assert set(method.networks) == set(method.optimizers) == names
    before = {k: tiny.snapshot(v) for k, v in method.networks.items()}
    (scalars,) = tiny.run(method, 1)
    assert all(np.isfinite(value) for value in scalars.values())
    for name, network in method.networks.items():
        stays = tiny.trainable(network) - tiny.moved(network, before[name])
        assert not stays, f"{name} keeps {stays}"
    assert tiny.moved(vgg, fixed) == set()
    assert not any(network is vgg for network in method.networks.values())


@pytest.mark.parametrize(
    ("weights", "moving"),
    [
        ({"perceptual_weight": 1.0}, {"sr"}),
        ({"gan_weight": 1.0}, {"sr", "hr_discriminator"}),
    ],
    ids=["perceptual", "adversarial"],
)
def test_each_loss_alone_moves_all_of_its_networks(weights, moving):
    """In the release the perceptual loss alone would move nothing (B1)."""
    zero = dict(adversarial_weight=0.0, centroid_weight=0.0, noise_weight=0.0)
    method = tiny.pdm_srgan(**{**zero, **OFF, **weights})
    before = {k: tiny.snapshot(v) for k, v in method.networks.items()}
    tiny.run(method, 1)
    for name, network in method.networks.items():
        wanted = tiny.trainable(network) if name in moving else set()
        assert tiny.moved(network, before[name]) == wanted, name


def straightforward(method, vgg, lr, hr, family):
    """Losses and gradients with a pass of D for each, in five tapes.

    Returns {network: (loss, gradients)} for the weights 0.5, 2, 0.3 and both halves of
    the GAN loss by the oracle's formulas in TensorFlow.
    """
    sr_net, d = method.networks["sr"], method.networks["hr_discriminator"]

    def quantised(x):
        clamped = tf.clip_by_value(x, 0.0, 1.0)
        rounded = tf.floor(clamped * 255.0 + 0.5) / 255.0
        return clamped + tf.stop_gradient(rounded - clamped)

    sr = sr_net(lr)
    fakes = tf.constant(quantised(sr).numpy())
    variables = sr_net.trainable_variables
    sums = [tf.zeros_like(v) for v in variables]
    target = vgg(hr, taps=("conv5_4",))["conv5_4"]
    total = 0.0
    for weight, loss_of in [
        (0.5, lambda sr: tf.reduce_mean(tf.abs(sr - hr))),
        (2.0, lambda sr: tf.reduce_mean(tf.abs(vgg(sr)["conv5_4"] - target))),
        (0.3, lambda sr: GAN_LOSSES[family].generator(d(hr), d(quantised(sr)))),
    ]:
        with tf.GradientTape() as tape:
            loss = weight * loss_of(sr_net(lr))
        gradients = tape.gradient(loss, variables)
        sums = [a + b for a, b in zip(sums, gradients, strict=True)]
        total += float(loss)
    with tf.GradientTape() as tape:
        d_loss = 0.3 * GAN_LOSSES[family].discriminator(d(hr), d(fakes))
    d_gradients = tape.gradient(d_loss, d.trainable_variables)
    return {"sr": (total, sums), "hr_discriminator": (float(d_loss), d_gradients)}


@pytest.mark.parametrize("family", ["lsgan", "relativistic"])
def test_a_step_equals_the_plain_algorithm(family):
    """One shared pass of D gives the gradients of separate ones; weights are meant."""
    vgg = features()
    method = tiny.pdm_srgan(
        {"features": vgg},
        gan_loss=family,
        pixel_weight=0.5,
        perceptual_weight=2.0,
        gan_weight=0.3,
    )
    rng = np.random.default_rng(3)
    hr = tf.constant(rng.integers(0, 256, (3, 16, 16, 3)) / 255, tf.float32)
    lr = tf.constant(rng.integers(0, 256, (3, 8, 8, 3)) / 255, tf.float32)
    wanted = straightforward(method, vgg, lr, hr, family)
    learned = method._sr_part.learn(Pair(lr, hr), method.optimizers)
    scalars = learned.scalars
    total = 0.5 * scalars["loss/sr_l1"] + 2.0 * scalars["loss/sr_perceptual"]
    total += 0.3 * scalars["loss/sr_adv"]
    assert float(total) == pytest.approx(wanted["sr"][0], rel=1e-5)
    assert float(scalars["loss/d_hr"]) * 0.3 == pytest.approx(
        wanted["hr_discriminator"][0], rel=1e-5
    )
    assert set(learned.gradients) == {"sr", "hr_discriminator"}
    for name, (_, gradients) in wanted.items():
        largest = max(float(tf.reduce_max(tf.abs(g))) for g in gradients)
        for found, value in zip(learned.gradients[name], gradients, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-3, atol=1e-5 * largest)


@pytest.mark.parametrize("family", GAN_LOSSES)
def test_the_logged_losses_are_those_of_the_family(family):
    """Real and fake are not exchanged: the statistics say which is which."""
    bare = tiny.DISCRIMINATOR.build(name="hr_discriminator")
    method = tiny.pdm_srgan({"hr_discriminator": bare}, gan_loss=family)
    batch = tiny.batch_for(method)
    learned = method.train_step_for(0)(batch, tf.constant(0, tf.int64), FULL_BATCH)
    hr = batch["hr"][:, 2:-2, 2:-2]
    real = bare(hr).numpy()
    assert float(learned.scalars["stat/d_hr_real"]) == pytest.approx(
        float(real.mean()), rel=1e-5
    )
    degraded, _ = method._pairs.degrade(
        batch["hr"], tf.constant(0, tf.int64), FULL_BATCH, training=True
    )
    lr = np.round(np.clip(degraded.lr, 0, 1) * 255) / 255
    sr = method.networks["sr"](tf.constant(lr, tf.float32)).numpy()
    seen = np.floor(np.clip(sr, 0, 1) * 255 + 0.5) / 255
    fake = bare(seen.astype(np.float32)).numpy()
    g, d = getattr(adversarial_oracle, family)(real, fake)
    assert float(learned.scalars["loss/sr_adv"]) == pytest.approx(g, rel=1e-3)
    assert float(learned.scalars["loss/d_hr"]) == pytest.approx(d, rel=1e-3)


class Watching(PatchGAN):
    """A discriminator that keeps what it is shown."""

    def call(self, image, training=False):
        self.__dict__.setdefault("seen", []).append(image)
        return super().call(image, training=training)


@pytest.mark.parametrize("hr_fakes", ["8bit", "raw"])
def test_the_hr_discriminator_sees_results_as_configured(hr_fakes):
    watch = Watching(tiny.DISCRIMINATOR, name="hr_discriminator")
    watch(np.zeros([1, 16, 16, 3], np.float32))
    watch.__dict__["seen"].clear()
    method = tiny.pdm_srgan({"hr_discriminator": watch}, hr_fakes=hr_fakes)
    tiny.run(method, 1)
    fake, real = (x.numpy() for x in watch.__dict__["seen"])
    np.testing.assert_array_equal(
        real, tiny.batch_for(method)["hr"].numpy()[:, 2:-2, 2:-2]
    )
    off_grid = np.abs(fake * 255.0 - np.round(fake * 255.0)).max()
    assert (off_grid < 1e-3) == (hr_fakes == "8bit")


def test_a_weight_of_zero_does_without_the_network():
    without_d = tiny.pdm_srgan(gan_weight=0.0)
    assert "hr_discriminator" not in without_d.networks
    (scalars,) = tiny.run(without_d, 1)
    assert "loss/sr_perceptual" in scalars and "loss/sr_adv" not in scalars
    (scalars,) = tiny.run(tiny.pdm_srgan(perceptual_weight=0.0), 1)
    assert "loss/sr_perceptual" not in scalars and "loss/sr_adv" in scalars


@pytest.mark.parametrize(
    "config",
    [
        UNetDiscriminatorConfig(filters=4),
        VGGDiscriminatorConfig(input_size=32, filters=4, hidden=4),
    ],
    ids=["unet", "vgg"],
)
def test_every_kind_of_discriminator_trains(config, monkeypatch):
    monkeypatch.setattr(tiny, "LR_PATCH", 16)
    network = config.build(name="hr_discriminator")
    method = tiny.pdm_srgan({"hr_discriminator": network}, gan_loss="vanilla")
    before = tiny.snapshot(network)
    (scalars,) = tiny.run(method, 1)
    assert all(np.isfinite(value) for value in scalars.values())
    assert tiny.trainable(network) <= tiny.moved(network, before)


def test_frozen_degradation_stays_and_phases_switch():
    pdm = tiny.pdm(dataclasses.replace(tiny.KERNEL, normalization="batch"))
    frozen = tiny.pdm_srgan({"pdm": pdm}, training="sr")
    before = tiny.snapshot(pdm)
    assert set(frozen.optimizers) == {"sr", "hr_discriminator"}
    assert set(frozen.patches) == {"hr"}
    tiny.run(frozen, 3)
    assert tiny.moved(pdm, before) == set()
    separate = tiny.pdm_srgan(training="separate", degradation_steps=1)
    hr_d = separate.networks["hr_discriminator"]
    start = tiny.snapshot(hr_d)
    first, second = tiny.run(separate, 1), None
    assert tiny.moved(hr_d, start) == set() and "loss/g_adv" in first[0]
    (second,) = tiny.run(separate, 1, start=1)
    assert "loss/sr_adv" in second and "loss/g_adv" not in second
    assert tiny.moved(hr_d, start)


def test_its_bundles_are_those_of_pdm_sr():
    method = tiny.pdm_srgan()
    assert set(method.deployable()) == {"sr", "pdm"} == set(method.ema_networks())
    batch = tiny.batch_for(method)
    assert set(method.previews(batch, 0)) == {"patches", "kernels"}
    health = method.health(lambda: batch)
    assert health is not None and "alarm/kernels_alike" in health.numbers


def test_parts_of_a_batch_sum_up_to_the_whole():
    """What several devices rely on; the relativistic loss says why it does not."""
    method = tiny.pdm_srgan()
    rows = {n: x[:2] for n, x in tiny.batch_for(method).items()}
    step, index = method.train_step_for(0), tf.constant(0, tf.int64)
    whole = step(rows, index, FULL_BATCH)
    parts = [
        step({n: x[i : i + 1] for n, x in rows.items()}, index, BatchShard(i, 2))
        for i in (0, 1)
    ]
    for name, gradients in whole.gradients.items():
        largest = max(float(tf.reduce_max(tf.abs(g))) for g in gradients)
        for i, gradient in enumerate(gradients):
            mean = (parts[0].gradients[name][i] + parts[1].gradients[name][i]) / 2
            np.testing.assert_allclose(mean, gradient, rtol=0, atol=2e-5 * largest)


def test_float16_keeps_losses_in_float32_and_scales_each():
    policy = "mixed_float16"
    reference = tiny.pdm_srgan()
    half = {
        "pdm": tiny.pdm(policy=policy),
        "discriminator": tiny.discriminator(policy),
        "sr": tiny.sr(policy),
        "hr_discriminator": tiny.DISCRIMINATOR.build(policy, name="hr_discriminator"),
        "features": tiny.FEATURES.build(policy, name="features"),
    }
    half["features"].set_weights(reference._sr_part._features.get_weights())
    for name, network in reference.networks.items():
        half[name].set_weights(network.get_weights())
    method = tiny.pdm_srgan(half)
    batch = tiny.batch_for(method)
    learned = method.train_step_for(0)(batch, tf.constant(0, tf.int64), FULL_BATCH)
    losses = {k: v for k, v in learned.scalars.items() if k.startswith("loss/")}
    assert {v.dtype for v in losses.values()} == {tf.float32}
    (wanted,) = tiny.run(reference, 1)
    for name, value in losses.items():
        assert float(value) == pytest.approx(wanted[name], rel=0.1, abs=2e-3), name
    assert method.optimizers["hr_discriminator"].dynamic_scale > 1
    (scalars,) = tiny.run(method, 1)
    for name in ("sr", "hr_discriminator"):
        norm = f"stat/grad_norm_{name}"  # of the unscaled gradient
        assert scalars[norm] == pytest.approx(wanted[norm], rel=0.1)


def test_the_losses_fall_on_one_batch():
    """30 steps: pixels and features come nearer, with the discriminator at work."""
    vgg = VGGConfig(depth=19, filters=8).build()
    method = tiny.pdm_srgan(
        {"features": vgg},
        training="sr",
        learning_rate=3e-3,
        perceptual="five_taps",
        perceptual_weight=1.0,
    )
    batch, step = tiny.batch_for(method), tf.function(tiny.step, autograph=False)
    smooth = tf.image.resize(tf.image.resize(batch["hr"], [5, 5]), [20, 20])
    batch = {"hr": tf.round(smooth * 255) / 255}
    traces = [step(method, batch, tf.constant(i, tf.int64)) for i in range(30)]
    for name in ("loss/sr_l1", "loss/sr_perceptual"):
        assert float(traces[-1][name]) < 0.85 * float(traces[0][name]), name


def test_settings_that_cannot_work_are_refused():
    for changes, message in [
        ({"gan_loss": "wgan"}, "`gan_loss` of PDMSRGANConfig .*relativistic.*'wgan'"),
        ({"perceptual": "conv9"}, "conv5_4, five_taps. Received: 'conv9'"),
        ({"hr_fakes": "float"}, "8bit, raw. Received: 'float'"),
        ({"perceptual_weight": -1.0}, "`perceptual_weight` .* not be negative"),
        ({"training": "degradation"}, "degradation alone is --method=pdm_sr"),
        ({**OFF, "pixel_weight": 1.0}, "without both it is --method=pdm_sr"),
        ({"noise_weight": -1.0}, "`noise_weight` of PDMSRGANConfig .* negative"),
    ]:
        with pytest.raises(UserError, match=message):
            dataclasses.replace(tiny.SRGAN, **changes)


def test_defaults_are_the_releases_weights_and_paper_its_behaviour():
    for config in (PDMSRGANConfig(), PDMSRGANConfig.paper()):
        assert (config.pixel_weight, config.perceptual_weight) == (1.0, 0.05)
        assert (config.gan_weight, config.gan_loss) == (0.05, "lsgan")
        assert config.perceptual == "conv5_4"
    assert PDMSRGANConfig().hr_fakes == "8bit"
    paper = PDMSRGANConfig.paper()
    assert (paper.hr_fakes, paper.fakes, paper.border) == ("raw", "release", "reflect")
    assert paper.noise_weight == 100.0
