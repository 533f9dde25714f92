"""Which stage a step belongs to."""

import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.methods.stages import TwoStageConfig


def test_both_stages_in_one_run():
    config = TwoStageConfig(first_steps=3)
    assert [config.stage(step) for step in range(5)] == [1, 1, 1, 2, 2]
    assert config.has_first and config.has_second


def test_one_stage_alone():
    first, second = (TwoStageConfig(training=word) for word in ("first", "second"))
    assert [first.stage(s) for s in (0, 10**6)] == [1, 1] and not first.has_second
    assert [second.stage(s) for s in (0, 10**6)] == [2, 2] and not second.has_first


def test_learning_rates_of_the_second_stage():
    config = TwoStageConfig(first_steps=3, second_rate=0.25)
    assert config.rate_factors(2, ["sr"]) == {}
    assert config.rate_factors(3, ["sr", "pdm"]) == {"sr": 0.25, "pdm": 0.25}


def test_bad_settings():
    with pytest.raises(UserError, match="`training` .* both, first, second"):
        TwoStageConfig(training="third")
    with pytest.raises(UserError, match="`first_steps` .* at least 1. Received: 0"):
        TwoStageConfig(first_steps=0)
    with pytest.raises(UserError, match="`second_rate` .* positive. Received: 0"):
        TwoStageConfig(second_rate=0.0)
