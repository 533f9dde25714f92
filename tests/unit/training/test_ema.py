"""Averages of weights against NumPy, and that looking at them disturbs nothing."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.training.ema import EMA, ema_decay
from tests.unit.training.toy import PATCH, make_network


def arrays(variables):
    return [v.numpy().copy() for v in variables]


def test_decay_warms_up_to_its_limit():
    """(1 + n) / (10 + n) by hand: 0.1, 2/11, ...; then 0.999."""
    decay = [
        float(ema_decay(tf.constant(n, tf.int64), 0.999)) for n in (0, 1, 89, 10**6)
    ]
    assert decay == pytest.approx([0.1, 2 / 11, 90 / 99, 0.999], rel=1e-6)


def test_follows_the_formula_and_copies_moving_statistics():
    network = make_network("net", seed=1)
    ema = EMA({"net": network}, 0.5)
    rng = np.random.default_rng(0)
    expected = [np.float64(a) for a in arrays(network.variables)]
    update = tf.function(ema.update, autograph=False)
    for n in range(6):
        for variable in network.variables:
            variable.assign(rng.normal(size=variable.shape))
        update(tf.constant(n, tf.int64))
        decay = min(0.5, (1 + n) / (10 + n))
        for index, variable in enumerate(network.variables):
            new = np.float64(variable.numpy())
            old = expected[index]
            expected[index] = decay * old + (1 - decay) * new
            if not variable.trainable:
                expected[index] = new
    assert any(not v.trainable for v in network.variables)  # moving statistics
    for average, value in zip(ema.variables["net"], expected, strict=True):
        # float32 rounding of six updates of numbers of about 1.
        np.testing.assert_allclose(average.numpy(), value, atol=1e-6)


def test_named_variables_are_copied_and_no_others():
    network = make_network("net", seed=1)
    chosen = network.trainable_variables[:1]
    ema = EMA({"net": network}, 0.9, copied=chosen)
    for variable in network.trainable_variables:
        variable.assign(variable + 1.0)
    ema.update(tf.constant(10**6, tf.int64))
    for average, variable in zip(ema.variables["net"], network.variables, strict=True):
        if variable.trainable:
            follows = np.array_equal(average.numpy(), variable.numpy())
            assert follows == (variable is chosen[0]), variable.path


def test_small_steps_are_not_lost_to_half_precision():
    """A bfloat16 average with decay 0.999 would stand still; ours is float32."""
    network = keras.Sequential([keras.layers.Dense(1, dtype="bfloat16")])
    network.build((None, 1))
    ema = EMA({"net": network}, 0.999)
    start = ema.variables["net"][0].numpy().copy()
    network.variables[0].assign(network.variables[0] + 1.0)
    ema.update(tf.constant(10**6, tf.int64))
    moved = ema.variables["net"][0].numpy() - start
    assert ema.variables["net"][0].dtype == tf.float32
    np.testing.assert_allclose(moved, 0.001, rtol=0.02)  # 1.0 rounded to bfloat16


def test_applied_swaps_in_and_restores_exactly_also_after_an_exception():
    network = make_network("net", seed=1)
    ema = EMA({"net": network}, 0.9)
    for variable in network.variables:
        variable.assign(variable + 0.3)
    own = arrays(network.variables)
    picture = np.full((1, PATCH, PATCH, 3), 0.5, np.float32)
    raw_out = network(picture).numpy()
    with pytest.raises(KeyError), ema.applied() as networks:
        assert networks["net"] is network
        for value, average in zip(
            arrays(network.variables), ema.variables["net"], strict=True
        ):
            np.testing.assert_array_equal(value, average.numpy())
        assert np.abs(network(picture).numpy() - raw_out).max() > 1e-3
        raise KeyError
    for value, before in zip(arrays(network.variables), own, strict=True):
        np.testing.assert_array_equal(value, before)
