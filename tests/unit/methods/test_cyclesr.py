"""CycleSR: its steps against the plain algorithm, its stages, and what it ships."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.errors import UserError
from pdm_tf.methods import CycleSR, CycleSRConfig
from pdm_tf.methods.base import NotNeeded
from pdm_tf.ops.resize import bicubic_downsample
from tests.unit.methods import tiny
from tests.unit.methods.test_cincgan import (
    absolute,
    assert_same,
    least_squares,
    result_of,
    rounded,
)
from tests.unit.methods.tiny_cycles import cyclesr

FIRST = {"translator", "degradation", "discriminator", "clean_discriminator"}


def plain_gradients(method, batch, feedback):
    """Each network's gradient in stage two, by a tape of its own.

    SR learns from fakes that are constants, and the degradation from the same loss
    through an SR network that is a constant function.
    """
    names = ("translator", "degradation", "discriminator", "clean_discriminator", "sr")
    f, g, d, c, sr = (method.networks[name] for name in names)
    margin = 2 * tiny.SCALE
    x, z = batch["real_lr"], batch["hr"][:, margin:-margin, margin:-margin]
    y = bicubic_downsample(batch["hr"], tiny.SCALE)[:, 2:-2, 2:-2]
    y = tf.constant(rounded(y).numpy())

    def cycles():
        fake, clean = g.translate(y), f(x)
        return (
            1.0 * least_squares(d(rounded(fake)), 1.0)
            + 1.0 * least_squares(c(rounded(clean)), 1.0)
            + 10.0 * (absolute(f(fake), y) + absolute(g.translate(clean), x))
            + 5.0 * (absolute(g.translate(x), x) + absolute(f(y), y))
        )

    def fed_back():
        fake = tf.clip_by_value(g.translate(y), 0.0, 1.0)  # no slope where clamped
        return feedback * tf.reduce_mean((sr(rounded(fake)) - z) ** 2)

    def pixel():
        lr = tf.constant(rounded(g.translate(y)).numpy())
        return tf.reduce_mean((sr(lr) - z) ** 2)

    def judged(network, real, fake):
        fake = tf.constant(rounded(fake).numpy())
        halves = least_squares(network(real), 1.0), least_squares(network(fake), 0.0)
        return (halves[0] + halves[1]) / 2

    plans = {
        "translator": cycles,
        "degradation": lambda: cycles() + fed_back(),
        "discriminator": lambda: judged(d, x, g.translate(y)),
        "clean_discriminator": lambda: judged(c, y, f(x)),
        "sr": pixel,
    }
    found = {}
    for name, loss in plans.items():
        with tf.GradientTape() as tape:
            value = loss()
        found[name] = tape.gradient(value, method.networks[name].trainable_variables)
    return found


def test_a_step_of_stage_two_equals_the_plain_algorithm():
    method = cyclesr(feedback_weight=30.0)
    batch = tiny.batch_for(method)
    found = result_of(method, 2, batch).gradients
    wanted = plain_gradients(method, batch, 30.0)
    assert found.keys() == wanted.keys() == FIRST | {"sr"}
    for name, gradients in wanted.items():
        assert_same(found[name], gradients)


def test_feedback_reaches_the_degradation_alone():
    """Without it the degradation learns what it learns in stage one."""
    with_it, without = cyclesr(feedback_weight=1000.0), cyclesr(feedback_weight=0.0)
    batch = tiny.batch_for(without)
    found = result_of(with_it, 2, batch).gradients
    plain = result_of(without, 2, batch).gradients
    alone = result_of(without, 0, batch).gradients
    for name in FIRST:
        assert_same(plain[name], alone[name])
    for name in FIRST - {"degradation"} | {"sr"}:
        assert_same(found[name], plain[name])
    pairs = zip(found["degradation"], plain["degradation"], strict=True)
    assert any(np.abs(one - two).max() > 1e-3 for one, two in pairs)


def test_the_pixel_loss_may_be_absolute():
    scalars = result_of(cyclesr(pixel_loss="l1"), 2).scalars
    assert [n for n in scalars if n.startswith("loss/sr_")] == ["loss/sr_l1"]


def test_stages_and_what_moves_in_each():
    method = cyclesr()
    start = {name: tiny.snapshot(net) for name, net in method.networks.items()}
    tiny.run(method, 2)
    moving = {n for n, net in method.networks.items() if tiny.moved(net, start[n])}
    assert moving == FIRST
    tiny.run(method, 1, start=2)
    moving = {n for n, net in method.networks.items() if tiny.moved(net, start[n])}
    assert moving == FIRST | {"sr"}


def test_both_buffers_are_used_in_both_stages():
    """The comparison's code made them for stage two and left them aside."""
    method = cyclesr(buffer_size=4)
    for stage in (0, 2):
        before = {k: b.variables[0].numpy() for k, b in method.extra_state.items()}
        assert set(before) == {"discriminator_buffer", "clean_discriminator_buffer"}
        tiny.run(method, 2, start=stage)
        for name, buffer in method.extra_state.items():
            assert np.any(buffer.variables[0].numpy() != before[name])


def test_what_ships():
    assert set(cyclesr().deployable()) == {"sr", "degradation"}
    assert cyclesr().grid == "half_pixel"
    first = cyclesr(training="first")
    assert set(first.deployable()) == FIRST == set(first.networks)
    assert set(first.previews(tiny.batch_for(first), 0)) == {"patches", "translated"}
    roles = CycleSR.roles(CycleSRConfig(training="first"))
    assert isinstance(roles["sr"], NotNeeded)
    roles = CycleSR.roles(CycleSRConfig(training="second"))
    assert {n for n, role in roles.items() if role.goes_on} == FIRST


def test_paper_settings_are_as_documented():
    paper = CycleSRConfig.paper()
    assert (paper.adversarial_weight, paper.cycle_weight) == (1.0, 10.0)
    assert (paper.identity_weight, paper.feedback_weight) == (5.0, 1000.0)
    assert (paper.pixel_loss, paper.buffer_size) == ("mse", 16)
    assert (paper.adversarial_beta_1, paper.first_steps) == (0.5, 200_000)


def test_settings_that_cannot_work_are_refused():
    for settings, message in [
        ({"pixel_loss": "l2"}, "`pixel_loss` .* Received: 'l2'"),
        ({"feedback_weight": -1.0}, "`feedback_weight` .* not be negative"),
        ({"first_steps": 0}, "`first_steps` .* at least 1"),
    ]:
        with pytest.raises(UserError, match=message):
            CycleSRConfig(**settings)
