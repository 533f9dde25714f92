"""PDM-SR: kinds of training, switches, seeds, previews."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.degradations.pdm import Degraded
from pdm_tf.methods import METHODS, PDMSRConfig
from pdm_tf.methods.base import FULL_BATCH
from pdm_tf.models.discriminators import PatchGAN
from pdm_tf.ops.quantise import soft_quantise_8bit
from tests.support.weights import shake
from tests.unit.methods import tiny


def batch_normed():
    """A degradation model with moving statistics."""
    return tiny.pdm(
        dataclasses.replace(tiny.KERNEL, normalization="batch"),
        dataclasses.replace(tiny.NOISE, normalization="batch"),
    )


def test_sr_training_leaves_the_degradation_alone_to_the_last_bit():
    """Moving statistics included, over 5 steps (bug B18 of the release)."""
    pdm = batch_normed()
    shake(pdm, amount=0.1)
    method = tiny.pdm_sr({"pdm": pdm}, training="sr")
    assert set(method.networks) == {"pdm", "sr"} and set(method.optimizers) == {"sr"}
    assert set(method.patches) == {"hr"}  # no real LR photographs are needed
    before, sr_before = tiny.snapshot(pdm), tiny.snapshot(method.networks["sr"])
    traces = tiny.run(method, 5)
    assert set(traces[0]) == {"loss/sr_l1", "stat/grad_norm_sr"}
    assert tiny.moved(pdm, before) == set()
    sr = method.networks["sr"]
    assert tiny.moved(sr, sr_before) == tiny.trainable(sr)


def test_degradation_training_has_no_sr_network():
    method = tiny.pdm_sr(training="degradation")
    assert set(method.networks) == {"pdm", "discriminator"}
    assert set(method.deployable()) == {"pdm"}
    before = {k: tiny.snapshot(v) for k, v in method.networks.items()}
    (scalars,) = tiny.run(method, 1)
    assert not any("sr" in name for name in scalars)
    for name, network in method.networks.items():
        assert tiny.trainable(network) <= tiny.moved(network, before[name])
    assert "sr" not in method.previews(tiny.batch_for(method), 0)


def test_separate_training_switches_at_the_step_and_each_phase_moves_its_own():
    pdm = batch_normed()
    method = tiny.pdm_sr({"pdm": pdm}, training="separate", degradation_steps=2)
    functions = [method.train_step_for(step) for step in range(4)]
    assert functions[0] == functions[1] != functions[2] == functions[3]
    start = {k: tiny.snapshot(v) for k, v in method.networks.items()}
    first = tiny.run(method, 2)
    assert "loss/g_adv" in first[1] and "loss/sr_l1" not in first[1]
    assert tiny.moved(method.networks["sr"], start["sr"]) == set()
    assert tiny.moved(pdm, start["pdm"])
    middle = {k: tiny.snapshot(v) for k, v in method.networks.items()}
    second = tiny.run(method, 2, start=2)
    assert "loss/sr_l1" in second[0] and "loss/g_adv" not in second[0]
    assert tiny.moved(pdm, middle["pdm"]) == set()
    discriminator = method.networks["discriminator"]
    assert tiny.moved(discriminator, middle["discriminator"]) == set()
    assert tiny.moved(method.networks["sr"], middle["sr"])


def test_joint_training_moves_moving_statistics():
    pdm = batch_normed()
    method = tiny.pdm_sr({"pdm": pdm})
    before = tiny.snapshot(pdm)
    tiny.run(method, 1)
    statistics = {v.path for v in pdm.non_trainable_variables if "moving" in v.path}
    assert statistics and statistics <= tiny.moved(pdm, before)


def test_deployed_and_averaged_networks():
    joint = tiny.pdm_sr()
    assert set(joint.deployable()) == {"sr", "pdm"} == set(joint.ema_networks())
    assert joint.deployable()["sr"] is joint.networks["sr"]


@pytest.mark.parametrize(("border", "margin"), [("valid", 2), ("reflect", 0)])
def test_border_decides_how_much_hr_is_cut(border, margin):
    method = tiny.pdm_sr({"pdm": tiny.pdm(border=border)}, border=border)
    assert method.patches == {"hr": 16 + 2 * margin, "real_lr": 8}
    (scalars,) = tiny.run(method, 1)  # and the step's HR target is the inner part
    assert np.isfinite(scalars["loss/sr_l1"])


class Watching(PatchGAN):
    """A discriminator that keeps what it is shown."""

    def call(self, image, training=False):
        self.__dict__.setdefault("seen", []).append(image)
        return super().call(image, training=training)


def watching():
    network = Watching(tiny.DISCRIMINATOR, name="discriminator")
    network(np.zeros([1, 8, 8, 3], np.float32))
    network.__dict__["seen"].clear()
    return network


def loud_noise():
    """A degradation model whose noise leaves [0, 1] at some pixels."""
    pdm = tiny.pdm()
    shake(pdm.noise_module, amount=0.4)
    return pdm


def off_grid(image):
    levels = np.asarray(image, np.float64) * 255
    return np.abs(levels - np.round(levels)).max()


def test_the_average_of_the_papers_noise_module_is_its_last_weights():
    """And of nothing else: kernels are averaged, and noise of zero mean is."""
    pdm = tiny.pdm(noise=dataclasses.replace(tiny.NOISE, zero_mean=False))
    method = tiny.pdm_sr({"pdm": pdm})
    wanted = {id(v) for v in pdm.noise_module.trainable_variables}
    assert {id(v) for v in method.unaveraged()} == wanted and wanted
    assert not wanted & {id(v) for v in pdm.kernel_module.trainable_variables}
    assert not tiny.pdm_sr({"pdm": tiny.pdm(noise=None)}).unaveraged()
    assert not tiny.pdm_sr({"pdm": tiny.pdm()}).unaveraged()


@pytest.mark.parametrize("fakes", ["8bit", "8bit_unmasked", "release"])
def test_discriminator_sees_fakes_as_configured(fakes):
    watch, pdm = watching(), loud_noise()
    method = tiny.pdm_sr({"pdm": pdm, "discriminator": watch}, fakes=fakes)
    tiny.run(method, 1)
    fake, real = watch.__dict__["seen"]
    np.testing.assert_array_equal(real, tiny.batch_for(method, 0)["real_lr"])
    if fakes == "release":  # neither rounded nor clamped
        assert off_grid(fake) > 0.3
        assert np.min(fake) < 0 and np.max(fake) > 1
    else:
        assert off_grid(fake) < 1e-4
        assert np.min(fake) == 0 and np.max(fake) == 1


def test_released_fakes_without_noise_module_are_softly_rounded():
    watch, pdm = watching(), tiny.pdm(noise=None)
    method = tiny.pdm_sr({"pdm": pdm, "discriminator": watch}, fakes="release")
    batch = tiny.batch_for(method, 0)
    index = tf.constant(0, tf.int64)
    clean = method._pairs.degrade(batch["hr"], index, FULL_BATCH, training=False)[0].lr
    tiny.run(method, 1)
    fake = watch.__dict__["seen"][0]
    np.testing.assert_allclose(fake, soft_quantise_8bit(clean), rtol=0, atol=1e-6)
    assert off_grid(fake) > 0.05 and np.abs(fake - clean).max() > 5e-4


def test_8bit_fakes_stop_the_gradient_where_they_are_clamped():
    """With noise that whitens every pixel nothing can be learnt from the logits."""
    only = dict(adversarial_weight=1.0, noise_weight=0.0, centroid_weight=0.0)
    for fakes, moves in (("8bit", False), ("8bit_unmasked", True)):
        noise = dataclasses.replace(tiny.NOISE, zero_mean=False)
        pdm = tiny.pdm(noise=noise)
        pdm.noise_module.to_noise.bias.assign([2.0, 2.0, 2.0])
        method = tiny.pdm_sr({"pdm": pdm}, fakes=fakes, **only)
        before = tiny.snapshot(pdm)
        tiny.run(method, 1)
        assert bool(tiny.moved(pdm, before)) == moves, fakes


@pytest.mark.parametrize("fakes", ["8bit", "8bit_unmasked"])
def test_noise_gains_by_being_clamped_at_white_only_with_masked_gradients(fakes):
    """A loss that likes it dark, on white: stronger noise of zero mean darkens it."""
    method = tiny.pdm_sr(fakes=fakes)
    module = dataclasses.replace(tiny.NOISE, zero_mean=True).build()
    z_n = np.random.default_rng(0).normal(size=[4, 8, 8, 3]).astype(np.float32)
    z_n, white = np.concatenate([z_n, -z_n]), tf.ones([8, 8, 8, 3])
    weights = module.to_noise.trainable_variables[0]
    with tf.GradientTape() as tape:
        noise = module(z_n, white, training=True)
        degraded = Degraded(white + noise, white, None, noise)
        brightness = tf.reduce_mean(method._as_seen(degraded))
    gradient = tape.gradient(brightness, weights)
    by_strength = float(tf.reduce_sum(gradient * weights))
    spread = float(tf.math.reduce_std(noise))
    if fakes == "8bit":
        assert by_strength < -0.2 * spread
    else:
        assert abs(by_strength) < 1e-4 * spread


@pytest.mark.parametrize(("grid", "centre"), [("pixel0", 0.0), ("half_pixel", 0.5)])
def test_centroid_loss_pulls_to_where_the_grid_wants_it(grid, centre):
    kernel = dataclasses.replace(tiny.KERNEL, initial_std=0.0, kernel_size=15)
    pdm = tiny.pdm(kernel=kernel, noise=None, grid=grid)
    method = tiny.pdm_sr({"pdm": pdm}, grid=grid)
    (scalars,) = tiny.run(method, 1)
    # The start is a Gaussian on that centre.
    assert scalars["loss/centroid"] == pytest.approx(0.0, abs=1e-8)
    assert scalars["stat/kernel_offset"] == pytest.approx(centre * 2**0.5, abs=1e-4)
    assert scalars["stat/kernel_spread"] == pytest.approx(2**0.5, rel=1e-3)


def test_centroid_weight_brings_a_kernel_back():
    kernel = dataclasses.replace(tiny.KERNEL, initial_std=0.001, smoothing_px=0.0)
    pdm = tiny.pdm(kernel=kernel, noise=None)
    start = np.zeros(25, np.float32)
    start[2 * 5 + 4] = 4.0  # two pixels to the right
    pdm.kernel_module.to_logits.bias.assign(start)
    only = dict(adversarial_weight=0.0, centroid_weight=1.0, training="degradation")
    method = tiny.pdm_sr({"pdm": pdm}, learning_rate=0.05, **only)
    trace = [s["loss/centroid"] for s in tiny.run(method, 12)]
    assert trace[0] > 1.0 and trace[-1] < 0.3 * trace[0], trace


def test_adversarial_weight_scales_both_sides():
    grads = {}
    for weight in (1.0, 0.25):
        settings = dict(adversarial_weight=weight, noise_weight=0.0)
        method = tiny.pdm_sr(centroid_weight=0.0, **settings)
        tiny.run(method, 1)
        grads[weight] = {
            name: tiny.first_gradients(method.optimizers[name], network)
            for name, network in method.networks.items()
        }
    for name, factor in (("pdm", 0.25), ("discriminator", 0.25), ("sr", 1.0)):
        for full, part in zip(grads[1.0][name], grads[0.25][name], strict=True):
            atol = 1e-5 * np.abs(full).max()
            np.testing.assert_allclose(part, factor * full, rtol=1e-4, atol=atol)


def test_adversarial_beta_1_is_that_of_the_adversaries_only():
    method = tiny.pdm_sr(adversarial_beta_1=0.5)
    beta_1 = {name: o.beta_1 for name, o in method.optimizers.items()}
    assert beta_1 == {"pdm": 0.5, "discriminator": 0.5, "sr": 0.9}
    for optimizer in method.optimizers.values():
        assert optimizer.epsilon == 1e-8 and optimizer.beta_2 == 0.999


def test_paper_settings_are_as_documented():
    paper = PDMSRConfig.paper()
    assert paper.border == "reflect" and paper.fakes == "release"
    assert paper.grid == "pixel0" and paper.centroid_weight == 0.0
    assert paper.training == "joint" and paper.adversarial_beta_1 == 0.9
    assert (paper.adversarial_weight, paper.noise_weight) == (1.0, 100.0)
    assert paper.degradation_rate == 1.0


def test_same_seed_same_losses_other_seed_others():
    def trace(seed):
        return tiny.run(tiny.pdm_sr(seed=seed), 3)

    first = trace(0)
    assert first == trace(0)
    assert first != trace(1)


def test_latents_are_new_at_each_step_and_a_function_of_it():
    method = tiny.pdm_sr(training="sr", learning_rate=1e-12)
    batch = tiny.batch_for(method, 0)

    def loss(step):
        learned = method.train_step_for(step)(
            batch, tf.constant(step, tf.int64), FULL_BATCH
        )
        return float(learned.scalars["loss/sr_l1"])

    assert loss(3) == loss(3)
    assert len({loss(step) for step in (0, 1, 2, 2**31 - 1)}) == 4


def test_graph_and_eager_steps_agree():
    eager, compiled = tiny.pdm_sr(), tiny.pdm_sr()
    (wanted,) = tiny.run(eager, 1)
    step = tf.function(
        lambda batch, index: tiny.step(compiled, batch, index), autograph=False
    )
    found = step(tiny.batch_for(compiled, 0), tf.constant(0, tf.int64))
    for name, value in wanted.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-4, abs=1e-6), name
    for name in eager.networks:
        pairs = zip(
            eager.networks[name].variables,
            compiled.networks[name].variables,
            strict=True,
        )
        for one, other in pairs:
            # The size of a step is 1e-3; rounding of tiny gradients shows in its sign.
            assert np.mean(np.abs(one - other) > 1e-4) < 0.02, one.path


def contains(picture, part):
    """Whether `part` [h, w, 3] is somewhere in `picture`."""
    windows = np.lib.stride_tricks.sliding_window_view(picture, part.shape)
    return bool(np.any(np.all(windows == part, axis=(-3, -2, -1))))


@pytest.mark.parametrize("training", ["joint", "degradation", "sr"])
def test_previews_are_pictures_of_all_kinds_of_image(training):
    method = tiny.pdm_sr(training=training)
    batch = tiny.batch_for(method)
    before = {k: tiny.snapshot(v) for k, v in method.networks.items()}
    pictures = method.previews(batch, 3)
    assert set(pictures) == {"patches", "kernels"}
    for picture in pictures.values():
        assert picture.dtype == np.uint8 and picture.ndim == 3
        assert picture.shape[2] == 3 and picture.std() > 1
    # To the last bit: HR without the margin, LR with whole pixels enlarged.
    for row in (0, tiny.BATCH - 1):
        hr_u8 = np.round(batch["hr"].numpy()[row] * 255)[2:-2, 2:-2]
        assert contains(pictures["patches"], hr_u8)
        if "real_lr" in batch:
            lr_u8 = np.round(batch["real_lr"].numpy()[row] * 255)
            assert contains(
                pictures["patches"], lr_u8.repeat(2, axis=0).repeat(2, axis=1)
            )
    for name, network in method.networks.items():
        assert tiny.moved(network, before[name]) == set()  # looking changes nothing
    again = method.previews(batch, 900)  # same latents at every step
    np.testing.assert_array_equal(again["kernels"], pictures["kernels"])


def test_settings_that_cannot_work_are_refused():
    for changes, message in [
        ({"training": "both"}, "joint, separate, degradation, sr. Received: 'both'"),
        ({"fakes": "float"}, "`fakes` .* Received: 'float'"),
        ({"degradation_rate": 0.0}, "`degradation_rate` .* positive. Received: 0"),
        ({"noise_weight": -1.0}, "`noise_weight` .* not be negative. Received: -1"),
        ({"centroid_weight": -1.0}, "`centroid_weight` .* not be negative"),
        ({"degradation_steps": 0}, "`degradation_steps` .* at least 1. Received: 0"),
    ]:
        with pytest.raises(UserError, match=message):
            dataclasses.replace(tiny.METHOD, **changes)


def test_the_registry_names_methods_as_they_name_themselves():
    for name, method in METHODS.items():
        assert method.name == name


def test_one_kernel_is_the_same_in_training_and_in_use():
    """Batch statistics of equal latents once put it into a corner when it was used."""
    kernel = dataclasses.replace(tiny.KERNEL, latent="zero", normalization="batch")
    pdm = tiny.pdm(kernel)
    tiny.run(tiny.pdm_sr({"pdm": pdm}, training="degradation"), 20)
    z_k = pdm.draw(4, 8, 8, tf.constant([0, 0])).kernel
    trained = pdm.kernel_module(z_k, training=True).numpy()
    used = pdm.kernel_module(z_k, training=False).numpy()
    np.testing.assert_allclose(used, trained, atol=1e-6)
    assert np.ptp(used, axis=0).max() == 0.0  # one kernel for all images
    # The corner took thousands of steps; its cause is a moving statistic.
    assert not pdm.kernel_module.non_trainable_variables
