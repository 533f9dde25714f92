"""Maeda: its step against the plain algorithm, its ensemble, and what it ships."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.methods import Maeda, MaedaConfig
from pdm_tf.methods.base import FULL_BATCH, BatchShard, NotNeeded
from pdm_tf.methods.maeda import geometric_ensemble
from pdm_tf.methods.steps import step_seed
from pdm_tf.models.discriminators import PatchGAN
from pdm_tf.ops.resize import bicubic_downsample
from tests.oracles import geometric_oracle
from tests.unit.methods import tiny
from tests.unit.methods.tiny_cycles import maeda

# Weights that differ, so that none can stand in for another.
OWN = MaedaConfig(
    adversarial_weight=0.7,
    cycle_weight=3.0,
    identity_weight=2.0,
    geometric_weight=5.0,
    hr_adversarial_weight=0.4,
)
COMPARISON = dataclasses.replace(
    MaedaConfig.paper(),
    adversarial_weight=0.7,
    cycle_weight=3.0,
    identity_weight=2.0,
    real_cycle_weight=4.0,
    real_identity_weight=6.0,
    hr_adversarial_weight=0.4,
)


def result_of(method, batch=None, shard=FULL_BATCH):
    """Scalars and gradients of the first step."""
    batch = tiny.batch_for(method) if batch is None else batch
    return method.train_step_for(0)(batch, tf.constant(0, tf.int64), shard)


def rounded(image):
    """In 8 bits, with slope 1."""
    levels = tf.floor(tf.clip_by_value(image, 0.0, 1.0) * 255.0 + 0.5) / 255.0
    return image + tf.stop_gradient(levels - image)


def least_squares(logits, target):
    return tf.reduce_mean(tf.square(logits - target))


def absolute(one, other):
    return tf.reduce_mean(tf.abs(one - other))


def turned_mean(mapping, image):
    """By TensorFlow's own turns, one after the other."""
    parts = []
    for flip in (False, True):
        for turns in range(4):
            x = tf.image.flip_left_right(image) if flip else image
            x = tf.image.rot90(mapping(tf.image.rot90(x, turns)), 4 - turns)
            parts.append(tf.image.flip_left_right(x) if flip else x)
    return tf.add_n(parts) / 8.0


def plain_gradients(method, batch, config):
    """Each network's gradient by a tape of its own, every image made anew."""
    f, g, u, d, c, e = (method.networks[name] for name in method.networks)
    scale, margin = tiny.SCALE, 2 * tiny.SCALE
    seen = rounded if config.fakes == "8bit_unmasked" else tf.identity
    x, z = batch["real_lr"], batch["hr"][:, margin:-margin, margin:-margin]
    y = tf.constant(seen(bicubic_downsample(batch["hr"], scale)[:, 2:-2, 2:-2]).numpy())

    def degraded(lr, stream="noise"):
        shape = [*lr.shape[:3], 1]
        seed = step_seed(0, stream, tf.constant(0, tf.int64))
        (noise,) = g.draw(shape[0], shape[1], shape[2], seed)
        assert noise.shape == shape
        return g.translate(lr, noise)

    def translation():
        fake, cleaned = degraded(y), f(x)
        total = 0.7 * least_squares(d(seen(fake)), 1.0)
        total += 0.7 * least_squares(c(seen(cleaned)), 1.0)
        total += 3.0 * absolute(f(fake), y) + 2.0 * absolute(f(y), y)
        total += 0.4 * least_squares(e(seen(u(cleaned))), 1.0)
        if config.joint:
            total += 4.0 * absolute(degraded(f(x), "noise of real cycle"), x)
            total += 6.0 * absolute(degraded(x, "noise of real identity"), x)
        else:
            total += 5.0 * absolute(f(x), turned_mean(f, x))
        return total

    def pixels():
        return absolute(u(f(degraded(y))), z)

    def judged(weight, network, real, fake):
        real, fake = (tf.constant(seen(image).numpy()) for image in (real, fake))
        halves = least_squares(network(real), 1.0), least_squares(network(fake), 0.0)
        return weight * (halves[0] + halves[1]) / 2

    def everything():
        return translation() + pixels()

    generator = everything if config.joint else translation
    plans = {
        "translator": generator,
        "degradation": generator,
        "sr": everything if config.joint else pixels,
        "discriminator": lambda: judged(0.7, d, x, degraded(y)),
        "clean_discriminator": lambda: judged(0.7, c, y, f(x)),
        "hr_discriminator": lambda: judged(
            0.4, e, z if config.joint else u(f(degraded(y))), u(f(x))
        ),
    }
    found = {}
    for name, loss in plans.items():
        with tf.GradientTape() as tape:
            value = loss()
        found[name] = tape.gradient(value, method.networks[name].trainable_variables)
    return found


@pytest.mark.parametrize("config", [OWN, COMPARISON], ids=["own", "comparison"])
def test_a_step_equals_the_plain_algorithm(config):
    method = maeda(config)
    batch = tiny.batch_for(method)
    found = result_of(method, batch).gradients
    wanted = plain_gradients(method, batch, config)
    assert found.keys() == wanted.keys()
    for name, gradients in wanted.items():
        largest = max(float(tf.reduce_max(tf.abs(x))) for x in gradients)
        assert largest > 0, name
        for one, other in zip(found[name], gradients, strict=True):
            np.testing.assert_allclose(
                one, other, rtol=1e-3, atol=1e-5 * largest, err_msg=name
            )


def test_the_ensemble_is_the_mean_over_the_eight_symmetries():
    """Of a mapping that knows up from down and left from right."""
    rng = np.random.default_rng(0)
    images = rng.random([3, 6, 6, 3]).astype(np.float32)
    ramp = np.arange(6, dtype=np.float32)[:, None, None] ** 2 / 9
    ramp = ramp + np.arange(6, dtype=np.float32)[None, :, None] / 5

    found = geometric_ensemble(lambda x: x * ramp + x**2, tf.constant(images))
    wanted = geometric_oracle.ensemble(lambda x: x * ramp + x**2, images)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert np.abs(wanted - (images * ramp + images**2)).max() > 0.1
    given = geometric_ensemble(
        lambda x: x * ramp + x**2, tf.constant(images), images * ramp + images**2
    )
    np.testing.assert_allclose(given, wanted, rtol=1e-5)


def test_the_ensemble_of_a_symmetric_mapping_is_itself():
    """So the loss is 0 where the direction does not matter."""
    image = tf.random.stateless_uniform([2, 5, 5, 3], [1, 2])
    pooled = geometric_ensemble(
        lambda x: tf.nn.avg_pool2d(x, 3, 1, "SAME"), tf.constant(image)
    )
    np.testing.assert_allclose(pooled, tf.nn.avg_pool2d(image, 3, 1, "SAME"), atol=1e-6)


class Watching(PatchGAN):
    """A discriminator that keeps what it is shown."""

    def call(self, image, training=False):
        self.__dict__.setdefault("seen", []).append(image)
        return super().call(image, training=training)


@pytest.mark.parametrize("config", [OWN, COMPARISON], ids=["own", "comparison"])
def test_the_hr_discriminator_compares_with_pseudo_pairs_or_photographs(config):
    watch = Watching(tiny.DISCRIMINATOR, name="hr_discriminator")
    watch(np.zeros([1, 16, 16, 3], np.float32))
    watch.__dict__["seen"].clear()
    method = maeda(config, hr_discriminator=watch)
    batch = tiny.batch_for(method)
    result_of(method, batch)
    fake, real = watch.__dict__["seen"]
    cleaned = method.networks["translator"](batch["real_lr"])
    off = 0.51 / 255 if config.fakes == "8bit_unmasked" else 1e-5
    sr = np.clip(method.networks["sr"](cleaned), 0, 1) if off > 1e-3 else None
    wanted = method.networks["sr"](cleaned) if sr is None else sr
    np.testing.assert_allclose(fake, wanted, rtol=0, atol=off)
    margin = 2 * tiny.SCALE
    photographs = batch["hr"][:, margin:-margin, margin:-margin]
    is_photograph = np.abs(real - photographs).max() < 1e-6
    assert is_photograph == (config.hr_reals == "photographs")


def test_it_ships_the_translator_and_the_sr_network_as_one():
    """Which follow their training: the chain has no weights of its own."""
    method = maeda()
    shipped = method.deployable()
    assert set(shipped) == {"sr", "degradation"} == set(method.ema_networks())
    image = tf.random.stateless_uniform([1, 6, 7, 3], [1, 2])
    before = shipped["sr"](image).numpy()
    tiny.run(method, 2)
    after = shipped["sr"](image).numpy()
    assert np.abs(after - before).max() > 1e-4
    parts = method.networks
    np.testing.assert_array_equal(after, parts["sr"](parts["translator"](image)))
    assert shipped["sr"].scale == tiny.SCALE


def test_a_weight_of_zero_does_without_the_hr_discriminator():
    config = MaedaConfig(hr_adversarial_weight=0.0)
    assert isinstance(Maeda.roles(config)["hr_discriminator"], NotNeeded)
    (scalars,) = tiny.run(maeda(config), 1)
    assert "loss/d_hr" not in scalars and "loss/d_clean" in scalars


def test_halves_of_a_batch_average_to_the_whole():
    """Noise is drawn for the whole batch; every loss is a mean over images."""
    method = maeda(COMPARISON)
    batch = tiny.batch_for(method)
    batch = {name: images[:2] for name, images in batch.items()}
    whole = result_of(method, batch)
    halves = [
        result_of(method, {k: v[i : i + 1] for k, v in batch.items()}, BatchShard(i, 2))
        for i in range(2)
    ]
    for name, value in whole.scalars.items():
        mean = (halves[0].scalars[name] + halves[1].scalars[name]) / 2
        assert float(mean) == pytest.approx(float(value), rel=1e-4), name


def test_settings_of_the_comparison():
    paper = MaedaConfig.paper()
    weights = (paper.adversarial_weight, paper.hr_adversarial_weight)
    assert weights == (1.0, 0.1)
    assert paper.cycle_weight == paper.real_cycle_weight == 1.0
    assert paper.identity_weight == paper.real_identity_weight == 1.0
    assert paper.geometric_weight == 0.0 and paper.buffer_size == 0
    roles = Maeda.roles(paper)
    assert roles["degradation"].paper == {"noise_channels": 1, "num_blocks": 16}
    strides = {roles[name].paper["strides"] for name in roles if "disc" in name}
    assert strides == {(2, 2, 2, 1, 1)}


def test_settings_that_cannot_work_are_refused():
    for changes, message in [
        ({"hr_reals": "fakes"}, "pseudo, photographs. Received: 'fakes'"),
        ({"geometric_weight": -1.0}, "`geometric_weight` .* not be negative"),
        ({"real_cycle_weight": -1.0}, "`real_cycle_weight` .* not be negative"),
    ]:
        with pytest.raises(UserError, match=message):
            MaedaConfig(**changes)
