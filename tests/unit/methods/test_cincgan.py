"""CinCGAN: its step against the plain algorithm, its stages, and what it ships."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.methods import CinCGAN, CinCGANConfig
from pdm_tf.methods.base import FULL_BATCH, NotNeeded
from pdm_tf.ops.resize import bicubic_downsample
from tests.unit.methods import tiny
from tests.unit.methods.tiny_cycles import cincgan

INNER = {"translator", "degradation", "clean_discriminator"}
OUTER = {"sr", "hr_degradation", "hr_discriminator"}


def result_of(method, index, batch=None):
    """Scalars and gradients of the step of this index."""
    batch = tiny.batch_for(method, index) if batch is None else batch
    step = method.train_step_for(index)
    return step(batch, tf.constant(index, tf.int64), FULL_BATCH)


def rounded(image):
    """In 8 bits, with slope 1."""
    levels = tf.floor(tf.clip_by_value(image, 0.0, 1.0) * 255.0 + 0.5) / 255.0
    return image + tf.stop_gradient(levels - image)


def least_squares(logits, target):
    return tf.reduce_mean(tf.square(logits - target))


def absolute(one, other):
    return tf.reduce_mean(tf.abs(one - other))


def variation(image):
    down, right = image[:, 1:] - image[:, :-1], image[:, :, 1:] - image[:, :, :-1]
    return tf.reduce_mean(down**2) + tf.reduce_mean(right**2)


def plain_gradients(method, batch):
    """Each network's gradient in stage two, by a tape of its own, at full weights.

    The paper updates in turn: D1, then G1 and G2 by the inner losses; D2, then G1, SR
    and G3 by the outer ones. All at one point here, so G1 gets the sum of its two.
    """
    g1, g2, d1, sr, g3, d2 = (method.networks[name] for name in method.networks)
    scale, margin = tiny.SCALE, 2 * tiny.SCALE
    x, z = batch["real_lr"], batch["hr"][:, margin:-margin, margin:-margin]
    y = bicubic_downsample(batch["hr"], scale)[:, 2:-2, 2:-2]
    y = tf.constant(rounded(y).numpy())

    def inner():
        clean = g1(x)
        return (
            1.0 * least_squares(d1(rounded(clean)), 1.0)
            + 10.0 * absolute(g2.translate(clean), x)
            + 5.0 * absolute(g1(y), y)
            + 0.5 * variation(clean)
        )

    def outer():
        result = sr(g1(x))
        again, edge = g3.apply(result).lr, g3.margin // scale
        return (
            1.0 * least_squares(d2(rounded(result)), 1.0)
            + 10.0 * absolute(again, x[:, edge:-edge, edge:-edge])
            + 5.0 * absolute(sr(y), z)
            + 2.0 * variation(result)
        )

    def judged(network, real, fake):
        fake = tf.constant(rounded(fake).numpy())
        halves = least_squares(network(real), 1.0), least_squares(network(fake), 0.0)
        return (halves[0] + halves[1]) / 2

    plans = {
        "translator": lambda: inner() + outer(),
        "degradation": inner,
        "clean_discriminator": lambda: judged(d1, y, g1(x)),
        "sr": outer,
        "hr_degradation": outer,
        "hr_discriminator": lambda: judged(d2, z, sr(g1(x))),
    }
    found = {}
    for name, loss in plans.items():
        with tf.GradientTape() as tape:
            value = loss()
        found[name] = tape.gradient(value, method.networks[name].trainable_variables)
    return found


def assert_same(found, wanted):
    largest = max(float(tf.reduce_max(tf.abs(x))) for x in wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6 * largest)


def test_a_step_of_stage_two_equals_the_plain_algorithm():
    method = cincgan()
    batch = tiny.batch_for(method)
    found, wanted = (
        result_of(method, 2, batch).gradients,
        plain_gradients(method, batch),
    )
    assert found.keys() == wanted.keys() == INNER | OUTER
    for name, gradients in wanted.items():
        assert_same(found[name], gradients)


def test_stage_one_is_the_inner_cycle_alone():
    method = cincgan()
    assert [method.train_step_for(i) for i in (0, 1)] == [method.train_step_for(0)] * 2
    assert method.train_step_for(2) == method.train_step_for(9)
    first, second = result_of(method, 1), result_of(method, 2)
    assert first.gradients.keys() == INNER
    assert first.scalars.keys() == {
        "loss/g_adv",
        "loss/cycle",
        "loss/identity",
        "loss/tv",
        "loss/d_clean",
    }
    assert first.scalars.keys() < second.scalars.keys()


def test_networks_that_rest_do_not_move_and_those_that_learn_do():
    method = cincgan()
    start = {name: tiny.snapshot(net) for name, net in method.networks.items()}
    tiny.run(method, 2)
    moving = {n for n, net in method.networks.items() if tiny.moved(net, start[n])}
    assert moving == INNER
    tiny.run(method, 1, start=2)
    moving = {n for n, net in method.networks.items() if tiny.moved(net, start[n])}
    assert moving == INNER | OUTER


def test_every_network_is_clipped_by_its_own_norm():
    """The release clipped G1 a second time where D1 was meant."""
    method = cincgan(training="second", clip_norm=1e-3)
    (scalars,) = tiny.run(method, 1)
    for name, network in method.networks.items():
        assert scalars[f"stat/grad_norm_{name}"] > 1e-3
        seen = tiny.first_gradients(method.optimizers[name], network)
        assert tiny.norm_of(seen) == pytest.approx(1e-3, rel=1e-4), name


def test_paper_settings_are_as_documented():
    """The comparison's, with the SR network's identity loss that it left out."""
    paper = CinCGANConfig.paper()
    assert (paper.adversarial_weight, paper.cycle_weight) == (1.0, 10.0)
    assert (paper.identity_weight, paper.tv_weight) == (5.0, 0.5)
    assert (paper.hr_adversarial_weight, paper.hr_cycle_weight) == (0.5, 10.0)
    assert (paper.hr_identity_weight, paper.hr_tv_weight) == (5.0, 2.0)
    assert not paper.identity_in_second and paper.buffer_size == 16
    assert paper.adversarial_beta_1 == 0.5 and paper.first_steps == 100_000
    own = CinCGANConfig()
    assert own.hr_adversarial_weight == 1.0 and own.identity_in_second


def test_inner_identity_may_end_with_stage_one_and_the_outer_one_stays():
    method = cincgan(identity_in_second=False)
    assert "loss/identity" in result_of(method, 1).scalars
    second = result_of(method, 2)
    assert "loss/identity" not in second.scalars and "loss/sr_l1" in second.scalars


def test_both_buffers_are_used_in_stage_two_and_are_state():
    method = cincgan(buffer_size=4)
    tiny.run(method, 2)
    assert set(method.extra_state) == {
        "clean_discriminator_buffer",
        "hr_discriminator_buffer",
    }

    def contents():
        return {
            name: [v.numpy().copy() for v in buffer.variables]
            for name, buffer in method.extra_state.items()
        }

    before = contents()
    tiny.run(method, 2, start=2)
    for name, after in contents().items():
        assert any(np.any(a != b) for a, b in zip(after, before[name], strict=True))


def test_what_ships_is_translator_and_sr_network_in_one_with_their_weights():
    method = cincgan()
    shipped = method.deployable()
    assert set(shipped) == {"sr", "degradation"} == set(method.ema_networks())
    image = tf.random.stateless_uniform([1, 9, 7, 3], [1, 2])
    before = shipped["sr"](image)
    assert before.shape == (1, 9 * tiny.SCALE, 7 * tiny.SCALE, 3)
    networks = method.networks
    np.testing.assert_array_equal(before, networks["sr"](networks["translator"](image)))
    tiny.run(method, 1, start=2)
    after = method.deployable()["sr"](image)
    assert np.any(after != before)
    np.testing.assert_array_equal(after, networks["sr"](networks["translator"](image)))
    # By default the shipped network is for images on the grid of bicubic ones.
    assert method.grid == "half_pixel"


def test_stage_one_alone_ships_what_stage_two_goes_on_from():
    method = cincgan(training="first")
    assert set(method.networks) == INNER == set(method.deployable())
    assert set(method.previews(tiny.batch_for(method), 0)) == {"patches", "degraded"}
    roles = CinCGAN.roles(CinCGANConfig(training="first"))
    assert {n for n, role in roles.items() if isinstance(role, NotNeeded)} == OUTER
    roles = CinCGAN.roles(CinCGANConfig(training="second"))
    assert {n for n, role in roles.items() if role.goes_on} == INNER


def test_settings_that_cannot_work_are_refused():
    for settings, message in [
        ({"tv_weight": -1.0}, "`tv_weight` .* not be negative"),
        ({"training": "joint"}, "`training` .* Received: 'joint'"),
        ({"fakes": "8bit"}, "`fakes` .* Received: '8bit'"),
        ({"second_rate": 0.0}, "`second_rate` .* positive. Received: 0"),
    ]:
        with pytest.raises(UserError, match=message):
            CinCGANConfig(**settings)


@pytest.mark.parametrize("grid", ["half_pixel", "pixel0"])
def test_the_sr_network_learns_from_the_grid_of_the_settings(grid):
    """On pixel0 the second degrader begins as the pixels that lie there."""
    method = cincgan(grid=grid, fakes="raw")
    batch = tiny.batch_for(method)
    side = batch["hr"].shape[1]
    ramp = tf.broadcast_to(tf.range(side, dtype=tf.float32) / 255, [1, side, side])
    ramp = tf.stack([ramp] * 3, axis=-1)
    pair = method._pairs.pair({"hr": ramp}, tf.constant(0, tf.int64), FULL_BATCH)
    between = 0.0 if grid == "pixel0" else (tiny.SCALE - 1) / 2
    offset = 255 * float(pair.lr[0, 0, 3, 0] - pair.hr[0, 0, 3 * tiny.SCALE, 0])
    assert offset == pytest.approx(between, abs=1e-3)
    assert method.grid == grid
    role = CinCGAN.roles(CinCGANConfig(grid=grid))["hr_degradation"]
    reduction = role.paper.get("reduction", "bicubic")
    assert reduction == ("conv" if grid == "pixel0" else "bicubic")
