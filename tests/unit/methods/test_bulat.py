"""Bulat et al.: pooled colours, both stages and the joint step, the release's slips."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.methods import BulatConfig
from pdm_tf.methods.base import FULL_BATCH
from pdm_tf.methods.bulat import pool
from pdm_tf.methods.steps import step_seed
from tests.unit.methods import tiny
from tests.unit.methods.tiny_degraders import LR_PATCH, NOUGHT, bulat


def mirrored(index, size):
    index = abs(index)
    return 2 * (size - 1) - index if index >= size else index


def pooled_by_hand(image, scale, grid):
    """Means over the pixels around each LR pixel, one after the other."""
    height, width, _ = image.shape
    result = np.zeros((height // scale, width // scale, 3))
    reach = (
        range(scale) if grid == "half_pixel" else range(-(scale // 2), scale // 2 + 1)
    )
    for y in range(height // scale):
        for x in range(width // scale):
            result[y, x] = np.mean(
                [
                    image[
                        mirrored(scale * y + dy, height),
                        mirrored(scale * x + dx, width),
                    ]
                    for dy in reach
                    for dx in reach
                ],
                axis=0,
            )
    return result


@pytest.mark.parametrize("grid", ["half_pixel", "pixel0"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_colours_are_means_around_each_lr_pixel(scale, grid):
    hr = np.random.default_rng(0).random((2, 6 * scale, 5 * scale, 3))
    found = pool(tf.constant(hr, tf.float32), scale, grid)
    assert found.shape == (2, 6, 5, 3)
    for image, mean in zip(hr, found, strict=True):
        wanted = pooled_by_hand(image, scale, grid)
        np.testing.assert_allclose(mean, wanted, atol=1e-6)


@pytest.mark.parametrize("grid", ["half_pixel", "pixel0"])
def test_the_grid_says_where_the_means_lie(grid):
    """On a ramp a mean is the value at its place, away from the edges."""
    ramp = np.broadcast_to(np.arange(24.0)[None, None, :, None], (1, 24, 24, 3))
    means = pool(tf.constant(ramp, tf.float32), 4, grid)[0, 0, 1:-1, 0]
    at = 4 * np.arange(1, 5) + (1.5 if grid == "half_pixel" else 0.0)
    np.testing.assert_allclose(means, at, rtol=1e-6)


def inner(method, batch):
    margin = method.networks["degradation"].margin
    return batch["hr"][:, margin:-margin, margin:-margin]


def fakes_of(method, batch, training=False):
    """The degrader's images of the step of index 0, with its latents."""
    network = method.networks["degradation"]
    seed = step_seed(0, "latents", NOUGHT)
    latents = network.draw(tiny.BATCH, LR_PATCH, LR_PATCH, seed)
    return network(batch["hr"], *latents, training=training).lr


def in_8_bits(image):
    """Rounded, with the gradient of no rounding at all."""
    rounded = tf.floor(tf.clip_by_value(image, 0.0, 1.0) * 255.0 + 0.5) / 255.0
    return image + tf.stop_gradient(rounded - image)


def assert_close(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        atol = 1e-5 * float(tf.reduce_max(tf.abs(other))) + 1e-9
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=atol)


def test_the_first_stage_is_the_plain_algorithm():
    """Hinge losses and alpha, beta as in the paper's equations, a tape for each."""
    method = bulat(colour_weight=2.0, adversarial_weight=0.3)
    batch = tiny.batch_for(method)
    result = method.train_step_for(0)(batch, NOUGHT, FULL_BATCH)
    g, d = method.networks["degradation"], method.networks["discriminator"]
    colours = np.stack(
        [pooled_by_hand(x, 2, "half_pixel") for x in inner(method, batch)]
    )
    with tf.GradientTape() as tape:
        fake = fakes_of(method, batch)
        loss = 2.0 * tf.reduce_mean((fake - colours) ** 2)
        loss -= 0.3 * tf.reduce_mean(d(in_8_bits(fake)))
    assert_close(
        result.gradients["degradation"], tape.gradient(loss, g.trainable_variables)
    )
    with tf.GradientTape() as tape:
        real, fake = d(batch["real_lr"]), d(tf.constant(in_8_bits(fake)))
        loss = tf.reduce_mean(tf.nn.relu(1 - real)) + tf.reduce_mean(
            tf.nn.relu(1 + fake)
        )
    halves = [x / 2 for x in tape.gradient(loss, d.trainable_variables)]
    assert_close(result.gradients["discriminator"], halves)
    assert set(result.gradients) == {"degradation", "discriminator"}


def test_the_second_stage_learns_by_squares_on_a_degrader_that_rests():
    method = bulat(gan_weight=0.3)
    batch = tiny.batch_for(method)
    before = tiny.snapshot(method.networks["degradation"])
    result = method.train_step_for(2)(batch, NOUGHT, FULL_BATCH)
    sr, d = method.networks["sr"], method.networks["hr_discriminator"]
    lr, hr = tf.constant(in_8_bits(fakes_of(method, batch))), inner(method, batch)
    with tf.GradientTape() as tape:
        made = sr(lr)
        loss = tf.reduce_mean((made - hr) ** 2)
        inside = tf.cast((made >= 0) & (made <= 1), tf.float32)
        seen = tf.stop_gradient(in_8_bits(made)) + inside * (
            made - tf.stop_gradient(made)
        )
        loss -= 0.3 * tf.reduce_mean(d(seen))
    assert_close(result.gradients["sr"], tape.gradient(loss, sr.trainable_variables))
    assert set(result.gradients) == {"sr", "hr_discriminator"}
    assert not tiny.moved(method.networks["degradation"], before)


def test_the_joint_step_is_both_at_one_point():
    """The SR network sees the very fakes of the step, as constants."""
    settings = dict(training="joint", adversarial_loss="lsgan", pixel="l1")
    method = bulat(**settings, gan_weight=0.0)
    assert method.train_step_for(0) == method.train_step_for(10**6)
    batch = tiny.batch_for(method)
    result = method.train_step_for(0)(batch, NOUGHT, FULL_BATCH)
    first, _, _ = method._learn_degradation(batch, NOUGHT, FULL_BATCH)
    for name, gradients in first.gradients.items():
        assert_close(result.gradients[name], gradients)
    sr = method.networks["sr"]
    lr = tf.constant(in_8_bits(tf.clip_by_value(fakes_of(method, batch), 0, 1)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.abs(sr(lr) - inner(method, batch)))
    assert_close(result.gradients["sr"], tape.gradient(loss, sr.trainable_variables))
    assert float(result.scalars["loss/sr_l1"]) == pytest.approx(float(loss), rel=1e-5)


def test_each_discriminator_learns_from_its_own_loss():
    """In the release the HR discriminator back-propagated the other one's loss."""
    method = bulat(training="joint")
    batch = tiny.batch_for(method)
    others = {**batch, "real_lr": 1.0 - batch["real_lr"]}
    one, other = (
        method.train_step_for(0)(x, NOUGHT, FULL_BATCH).gradients
        for x in (batch, others)
    )
    assert_close(one["hr_discriminator"], other["hr_discriminator"])
    assert any(
        np.abs(a - b).max() > 1e-4
        for a, b in zip(one["discriminator"], other["discriminator"], strict=True)
    )


def test_no_loss_of_the_degrader_replaces_another():
    """In the release a further term took the place of the sum of all before it."""
    zero = dict(adversarial_weight=0.0, colour_weight=0.0)

    def gradients(**weights):
        method = bulat(training="joint", **{**zero, **weights})
        result = method.train_step_for(0)(tiny.batch_for(method), NOUGHT, FULL_BATCH)
        return result.gradients["degradation"]

    alone = gradients(adversarial_weight=0.7), gradients(colour_weight=3.0)
    for found in alone:  # a loss that was replaced would have none
        assert any(np.abs(gradient).max() > 0 for gradient in found)
    both = gradients(adversarial_weight=0.7, colour_weight=3.0)
    assert_close(both, [a + b for a, b in zip(*alone, strict=True)])


def test_earlier_fakes_are_for_the_discriminator_alone():
    """A full buffer changes what D learns from, and nothing of the degrader."""
    with_buffer, without = bulat(buffer_size=tiny.BATCH), bulat()
    batches = [tiny.batch_for(with_buffer, index) for index in range(2)]
    results = []
    for method in (with_buffer, without):
        step = method.train_step_for(0)
        step(batches[0], NOUGHT, FULL_BATCH)  # fills it
        results.append(step(batches[1], NOUGHT, FULL_BATCH).gradients)
    assert_close(results[0]["degradation"], results[1]["degradation"])
    assert any(
        np.abs(a - b).max() > 1e-6
        for a, b in zip(
            results[0]["discriminator"], results[1]["discriminator"], strict=True
        )
    )
    assert with_buffer.extra_state["buffer"].variables


def test_the_paper_preset_is_the_comparison_and_wrong_settings_are_named():
    paper = BulatConfig.paper()
    assert (paper.training, paper.buffer_size, paper.gan_weight) == ("joint", 16, 0.0)
    assert (paper.colour_weight, paper.adversarial_weight) == (1.0, 1.0)
    assert (paper.pixel_weight, paper.pixel, paper.adversarial_loss) == (
        1.0,
        "l1",
        "lsgan",
    )
    own = BulatConfig()
    assert (own.adversarial_weight, own.gan_weight, own.pixel) == (0.05, 0.05, "l2")
    assert own.adversarial_loss == own.gan_loss == "hinge"
    for settings, message in [
        ({"training": "all"}, "one of both, first, second, joint. Received: 'all'"),
        ({"grid": "pixel1"}, "`grid` of BulatConfig must be one of pixel0"),
        ({"colour_weight": -1.0}, "`colour_weight` .* not be negative"),
        ({"adversarial_loss": "wgan"}, "`adversarial_loss` .*'wgan'"),
        ({"second_rate": 0.0}, "`second_rate` of BulatConfig must be positive"),
    ]:
        with pytest.raises(UserError, match=message):
            BulatConfig(**settings)
