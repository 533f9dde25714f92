"""The learning rate falls at the step it should, not one before or after."""

import pytest
import tensorflow as tf

from pdm_tf.training.schedules import piecewise_learning_rate


@pytest.mark.parametrize(
    ("step", "factor"),
    [
        (0, 1),
        (49_999, 1),
        (50_000, 0.5),
        (99_999, 0.5),
        (100_000, 0.25),
        (10**9, 0.125),
    ],
)
def test_paper_schedule(step, factor):
    rate = piecewise_learning_rate(
        tf.constant(step, tf.int64), 2e-4, (50_000, 100_000, 150_000), 0.5
    )
    assert rate.dtype == tf.float32
    assert float(rate) == pytest.approx(2e-4 * factor, rel=1e-7)


def test_no_milestones():
    rate = piecewise_learning_rate(tf.constant(7, tf.int64), 0.1, (), 0.5)
    assert float(rate) == pytest.approx(0.1)
