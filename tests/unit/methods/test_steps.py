"""Verbs shared by training steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.methods.steps import crop_margin, make_adam, step_seed
from pdm_tf.training.step_function import update_networks
from tests.unit.methods import tiny


def test_adam_has_pytorch_constants_and_slots_from_the_start():
    network = tiny.sr()
    adam = make_adam(network, learning_rate=2e-4, clip_norm=50.0, beta_1=0.5)
    assert (adam.beta_1, adam.beta_2, adam.epsilon) == (0.5, 0.999, 1e-8)
    assert adam.global_clipnorm == 50.0
    assert float(adam.learning_rate) == pytest.approx(2e-4)
    assert len(adam._momentums) == len(network.trainable_variables)


def updated(network, optimizer, tape, scaled):
    gradient = tape.gradient(scaled, network.trainable_variables)
    return update_networks({"a": network}, {"a": optimizer}, {"a": gradient})[
        "stat/grad_norm_a"
    ]


def test_update_reports_the_true_norm_when_the_loss_scale_changes_in_that_step():
    """A loss that overflows float16 halves the scale while it is applied."""
    network = tiny.sr("mixed_float16")
    optimizer = make_adam(network, learning_rate=1e-3, clip_norm=1e9)
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    optimizer.step_counter.assign(optimizer.dynamic_growth_steps - 1)  # about to double
    with tf.GradientTape() as tape:
        total = tf.add_n([tf.reduce_sum(v) for v in network.trainable_variables])
        scaled = optimizer.scale_loss(total)
    before = float(optimizer.dynamic_scale)
    norm = updated(network, optimizer, tape, scaled)
    assert float(optimizer.dynamic_scale) == 2 * before
    # The gradient of a sum is 1 for every weight.
    assert float(norm) == pytest.approx(network.count_params() ** 0.5, rel=1e-5)


def test_overflow_skips_the_step_and_lowers_the_scale():
    network = tiny.sr("mixed_float16")
    optimizer = make_adam(network, learning_rate=1e-3, clip_norm=1.0)
    start, before = tiny.snapshot(network), float(optimizer.dynamic_scale)
    with tf.GradientTape() as tape:
        total = tf.add_n([tf.reduce_sum(v) for v in network.trainable_variables])
        scaled = optimizer.scale_loss(total * np.float32(np.inf))
    updated(network, optimizer, tape, scaled)
    assert tiny.moved(network, start) == set()
    assert float(optimizer.dynamic_scale) == before / 2


def test_step_seed_is_a_function_of_seed_stream_and_step():
    def seed(*arguments):
        *rest, step = arguments
        return tuple(step_seed(*rest, tf.constant(step, tf.int64)).numpy())

    assert seed(1, "a", 5) == seed(1, "a", 5)
    others = {
        seed(1, "a", 5), seed(2, "a", 5), seed(1, "b", 5), seed(1, "a", 6),
        seed(1, "a", 0), seed(1, "a", 2**31 - 1),
    }  # fmt: skip
    assert len(others) == 6


def test_crop_margin():
    image = np.arange(2 * 8 * 6 * 1.0).reshape(2, 8, 6, 1)
    np.testing.assert_array_equal(crop_margin(image, 2), image[:, 2:6, 2:4])
    np.testing.assert_array_equal(crop_margin(image, 0), image)
