"""The exact step and the name of the first loss that is not finite."""

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.training.nan_monitor import (
    LossMonitor,
    NonFiniteLossError,
    Trends,
    check_weights,
)
from tests.unit.training.toy import make_network


def watch(monitor, table, start=0):
    """Feeds rows of losses through a compiled step, as the loop does."""

    @tf.function(autograph=False)
    def step_function(row, step):
        monitor.watch({"loss/a": row[0], "loss/b": row[1]}, step)

    for step, row in enumerate(table, start=start):
        step_function(tf.constant(row, tf.float32), tf.constant(step, tf.int64))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_first_bad_step_and_loss_are_kept_though_looked_at_later(bad):
    monitor = LossMonitor()
    watch(monitor, [[1, 1], [1, 1], [1, bad], [bad, bad], [1, 1]])
    with pytest.raises(NonFiniteLossError, match=r"loss/b .* at step 3\.") as error:
        monitor.check()
    assert (error.value.name, error.value.step) == ("loss/b", 3)


def test_finite_losses_pass():
    monitor = LossMonitor()
    watch(monitor, [[1, 1e30], [0, -5]])
    assert monitor.check() is None  # raises otherwise


def test_a_later_phase_has_its_own_names():
    monitor = LossMonitor()
    watch(monitor, [[1.0, 1.0]])

    @tf.function(autograph=False)
    def late(step):
        losses = {"loss/late": tf.constant(0.0), "loss/worse": tf.constant(np.nan)}
        monitor.watch(losses, step)

    late(tf.constant(1, tf.int64))
    with pytest.raises(NonFiniteLossError, match="loss/worse .* step 2"):
        monitor.check()


def test_a_gradient_that_explodes_is_named_until_it_is_as_usual():
    trends = Trends()
    found = [
        [
            finding.cause
            for finding in trends.update({"stat/grad_norm_sr": norm}).findings
        ]
        for norm in (1.0, 2.0, 0.5, 1.0, 30.0, 900.0, 1e4, np.inf, np.nan, 1.0)
    ]
    exploded = ["gradients_explode_sr"]
    assert found == [[]] * 6 + [exploded] * 3 + [[]]


def test_a_discriminator_has_won_after_some_logs_in_a_row():
    trends = Trends()
    losses = [0.25, *[0.001] * 4, 0.2, *[0.001] * 5]
    found = [bool(trends.update({"loss/d_lr": loss}).findings) for loss in losses]
    assert found == [False] * 10 + [True]


def test_weights_are_looked_at_too():
    networks = {"good": make_network("a", 0), "spoilt": make_network("b", 0)}
    check_weights(networks, step=9)
    kernel = networks["spoilt"].variables[-2]
    value = kernel.numpy().copy()
    value.flat[-1] = np.inf
    kernel.assign(value)
    with pytest.raises(NonFiniteLossError, match="weights of spoilt .* step 9"):
        check_weights(networks, step=9)
