"""Losses: known points, NumPy oracles, and where their gradients go."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.losses import (
    GAN_LOSSES,
    PERCEPTUAL_TAPS,
    anchor_loss,
    centroid_loss,
    l1_loss,
    lsgan_discriminator_loss,
    lsgan_generator_loss,
    mse_loss,
    noise_energy_loss,
    perceptual_loss,
    total_variation_loss,
)
from pdm_tf.models.features import VGGConfig
from tests.oracles import adversarial_oracle, features_oracle


def normal_images(seed, *shape):
    values = np.random.default_rng(seed).normal(size=shape)
    return tf.constant(values, tf.float32)


def test_l1_equals_numpy_and_known_values():
    sr, hr = normal_images(0, 2, 5, 7, 3), normal_images(1, 2, 5, 7, 3)
    np.testing.assert_allclose(l1_loss(sr, hr), np.mean(np.abs(sr - hr)), rtol=1e-6)
    assert l1_loss(tf.constant([[0.25, 1.5]]), tf.constant([[0.5, 0.5]])) == 0.625
    assert l1_loss(sr, sr) == 0.0


def test_a_duplicated_batch_costs_the_same_in_l1():
    sr, hr = normal_images(0, 2, 5, 7, 3), normal_images(1, 2, 5, 7, 3)
    twice = l1_loss(tf.concat([sr, sr], 0), tf.concat([hr, hr], 0))
    np.testing.assert_allclose(twice, l1_loss(sr, hr), rtol=1e-6)


def test_gradient_of_l1_is_the_sign_over_the_count():
    sr, hr = tf.constant([0.0, 1.0, 3.0, 1.0]), tf.constant([1.0, 0.0, 0.0, 1.0])
    with tf.GradientTape() as tape:
        tape.watch([sr])
        loss = l1_loss(sr, hr)
    np.testing.assert_array_equal(tape.gradient(loss, sr), [-0.25, 0.25, 0.25, 0])


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 4, 4, 3\) and \(2, 4, 4, 1\)"):
        l1_loss(tf.zeros([2, 4, 4, 3]), tf.zeros([2, 4, 4, 1]))


def test_mse_equals_numpy():
    sr, hr = normal_images(0, 2, 5, 7, 3), normal_images(1, 2, 5, 7, 3)
    np.testing.assert_allclose(mse_loss(sr, hr), np.mean((sr - hr) ** 2), rtol=1e-6)
    with pytest.raises(ValueError, match=r"\(2, 4, 4, 3\) and \(2, 4, 4, 1\)"):
        mse_loss(tf.zeros([2, 4, 4, 3]), tf.zeros([2, 4, 4, 1]))


@pytest.mark.parametrize("power", [1, 2])
def test_total_variation_of_known_images(power):
    """A ramp of slope 2 downwards, and noise by NumPy; flat images cost nothing."""
    ramp = tf.tile(2.0 * tf.range(5.0)[None, :, None, None], [1, 1, 4, 3])
    assert total_variation_loss(ramp, power) == 2.0**power
    assert total_variation_loss(tf.fill([1, 4, 4, 3], 0.3), power) == 0.0
    x = normal_images(2, 2, 5, 7, 3).numpy()
    expected = sum(np.mean(np.abs(np.diff(x, axis=axis)) ** power) for axis in (1, 2))
    found = total_variation_loss(tf.constant(x), power)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


SMALL = VGGConfig(depth=19, filters=2)


def photographs(seed, size=32):
    return np.random.default_rng(seed).random((2, size, size, 3)).astype(np.float32)


def weights_of(network):
    table = {v.path.split("/", 1)[1]: v.numpy() for v in network.variables}
    return lambda name: (table[f"{name}/kernel"], table[f"{name}/bias"])


# Written out from the papers' repositories, not read from the product.
WANTED = {
    "conv5_4": {"conv5_4": 1.0},
    "five_taps": {
        "conv1_2": 0.1, "conv2_2": 0.1, "conv3_4": 1.0, "conv4_4": 1.0, "conv5_4": 1.0,
    },
}  # fmt: skip


@pytest.mark.parametrize("setting", PERCEPTUAL_TAPS)
def test_equals_numpy_from_the_pixels_on(setting):
    """Normalisation, taps before the ReLU, their weights, L1, mean over everything."""
    network, (sr, hr) = SMALL.build(), (photographs(0), photographs(1))
    weights = PERCEPTUAL_TAPS[setting]
    taps = tuple(weights)
    found = perceptual_loss(network(sr, taps=taps), network(hr, taps=taps), weights)
    params, wanted = weights_of(network), 0.0
    sides = [[features_oracle.vgg(x, 19, params) for x in batch] for batch in (sr, hr)]
    for tap, weight in WANTED[setting].items():
        differences = [
            np.abs(a[tap] - b[tap]) for a, b in zip(sides[0], sides[1], strict=True)
        ]
        wanted += weight * np.mean(differences)
        assert any(a[tap].min() < 0 for a in sides[0])  # before the ReLU
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_the_gradient_reaches_the_result_and_not_the_target():
    """The release's reached neither (B1)."""
    network, (sr, hr) = (
        SMALL.build(),
        map(tf.constant, (photographs(0), photographs(1))),
    )
    taps = ("conv5_4",)
    with tf.GradientTape() as tape:
        tape.watch([sr, hr])
        loss = perceptual_loss(
            network(sr, taps=taps), network(hr, taps=taps), PERCEPTUAL_TAPS["conv5_4"]
        )
    to_sr, to_hr = tape.gradient(loss, [sr, hr])
    assert to_hr is None
    assert np.count_nonzero(to_sr) > 0.8 * to_sr.shape.num_elements()


def test_it_is_zero_for_equal_images_and_grows_with_blur():
    network, hr = SMALL.build(), photographs(2)
    coarse = tf.image.resize(tf.image.resize(hr, [16, 16], "area"), [32, 32])
    coarser = tf.image.resize(tf.image.resize(hr, [8, 8], "area"), [32, 32])
    taps = PERCEPTUAL_TAPS["five_taps"]

    def loss(x):
        sides = (network(image, taps=tuple(taps)) for image in (x, hr))
        return float(perceptual_loss(*sides, taps))

    assert loss(hr) == 0.0
    assert 0.0 < loss(coarse) < loss(coarser)


def test_missing_taps_and_other_shapes_are_refused():
    a = {"conv1_2": tf.zeros([1, 4, 4, 2])}
    with pytest.raises(ValueError, match="tap conv5_4 are needed .* conv1_2 and"):
        perceptual_loss(a, a, {"conv5_4": 1.0})
    b = {"conv1_2": tf.zeros([1, 4, 5, 2])}
    with pytest.raises(ValueError, match=r"one shape.*conv1_2, \(1, 4, 4, 2\) and"):
        perceptual_loss(a, b, {"conv1_2": 1.0})


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


MEAN = np.array([1.2, 0.1, -0.1])
COVARIANCE = np.array([[0.3, 0.05, 0.0], [0.05, 0.2, 0.02], [0.0, 0.02, 0.1]])


def anchor(mean, covariance, error=COVARIANCE / 80, photographs=80.0):
    return float(
        anchor_loss(
            tf.constant(mean, tf.float32),
            tf.constant(covariance, tf.float32),
            target_mean=MEAN,
            target_covariance=COVARIANCE,
            mean_error=error,
            photographs=photographs,
        )
    )


def test_anchor_is_what_so_many_samples_lose_in_likelihood():
    """Expected, per sample of the target: the Kullback-Leibler divergence."""
    assert anchor(MEAN, COVARIANCE) == pytest.approx(0.0, abs=1e-4)
    offset = np.array([0.03, -0.02, 0.04])
    wanted = 80 * (offset @ np.linalg.solve(COVARIANCE, offset)) / 2
    assert anchor(MEAN + offset, COVARIANCE) == pytest.approx(wanted, rel=1e-3)
    change = np.array([[0.05, 0.02, -0.03], [0.02, -0.04, 0.01], [-0.03, 0.01, 0.03]])
    root = np.linalg.cholesky(COVARIANCE)
    other = root @ (np.eye(3) + change) @ root.T
    ratio = np.linalg.solve(other, COVARIANCE)
    wanted = 80 * (np.trace(ratio) - 3 - np.log(np.linalg.det(ratio))) / 2
    assert anchor(MEAN, other) == pytest.approx(wanted, rel=0.1)


def test_anchor_is_soft_where_the_photographs_say_little():
    """A mean error of 4 variances: 4 times softer, and 16 times for the spread."""
    error = COVARIANCE / 80
    axis = np.linalg.cholesky(COVARIANCE) @ np.array([0.0, 0.0, 1.0])
    vague = error + 3.0 / 80 * np.outer(axis, axis)
    for place, spread, times in (
        (MEAN + 0.1 * axis, COVARIANCE, 4.0),
        (MEAN, COVARIANCE + 0.1 * np.outer(axis, axis), 16.0),
    ):
        ratio = anchor(place, spread) / anchor(place, spread, vague)
        assert ratio == pytest.approx(times, rel=0.01)


def test_anchor_has_a_wall_before_a_single_kernel():
    losses = [anchor(MEAN, COVARIANCE * x) for x in (0.5, 0.1, 0.01)]
    assert losses[0] > 10 and np.all(np.diff(losses) > 100)


def test_anchor_leads_back_from_both_sides():
    mean, factor = (
        tf.Variable(MEAN + 0.2, dtype=tf.float32),
        tf.Variable(1.3 * np.linalg.cholesky(COVARIANCE), dtype=tf.float32),
    )
    with tf.GradientTape() as tape:
        loss = anchor_loss(
            tf.convert_to_tensor(mean),
            tf.matmul(factor, factor, transpose_b=True),
            target_mean=MEAN,
            target_covariance=COVARIANCE,
            mean_error=COVARIANCE / 80,
            photographs=80.0,
        )
    of_mean, of_factor = tape.gradient(loss, [mean, factor])
    assert np.dot(of_mean, np.full(3, 0.2)) > 0
    assert np.all(np.diag(of_factor) > 0)


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
def test_known_points_of_lsgan(real, fake, discriminator, generator):
    real, fake = tf.fill([2, 4, 4, 1], real), tf.fill([2, 4, 4, 1], fake)
    assert lsgan_discriminator_loss(real, fake).numpy() == discriminator
    assert lsgan_generator_loss(fake).numpy() == generator


def test_lsgan_equals_numpy_and_weighs_the_halves_equally():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(2, 5, 5, 1)).astype(np.float32)
    fake = rng.normal(size=(4, 3, 3, 1)).astype(np.float32)  # another count
    wanted = (np.mean((real - 1) ** 2) + np.mean(fake**2)) / 2
    np.testing.assert_allclose(lsgan_discriminator_loss(real, fake), wanted, rtol=1e-6)
    np.testing.assert_allclose(
        lsgan_generator_loss(fake), np.mean((fake - 1) ** 2), rtol=1e-6
    )


def test_a_duplicated_batch_costs_the_same_in_lsgan():
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
