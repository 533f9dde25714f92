"""Validation inside training: the numbers of `evaluate`, and nothing done twice."""

import keras
import numpy as np
import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.evaluation.baseline import bicubic_upscaler
from pdm_tf.evaluation.runner import evaluate_pairs
from pdm_tf.evaluation.validation import Validator
from tests.unit.evaluation.fakes import BrokenPair, bicubic_pair


class Nearest(keras.Model):
    """Nearest x4 of a dimmed image, counting its traces."""

    def __init__(self, scale: int = 4) -> None:
        super().__init__()
        self.dim = self.add_weight(shape=(), initializer="ones", name="dim")
        self.grow = keras.layers.UpSampling2D(scale)
        self.traces = 0

    def call(self, x):
        self.traces += 1
        return self.grow(x) * self.dim


def _nearest(lr_u8):
    return lr_u8.repeat(4, axis=0).repeat(4, axis=1)


def test_equals_evaluate():
    """One set of numbers in the log and in the report."""
    pairs = [bicubic_pair(0), bicubic_pair(1, 56, 40)]
    settings = {"metrics": ("psnr", "ssim", "psnr_shift"), "crop_border": 4}
    values = Validator(pairs, scale=4, **settings)(Nearest())
    result = evaluate_pairs(_nearest, pairs, scale=4, **settings)
    expected = result.mean | {
        f"bicubic/{k}": v for k, v in result.baseline_mean.items()
    }
    assert values == pytest.approx(expected)
    assert set(values) >= {"psnr", "ssim", "psnr_shift", "bicubic/psnr"}


def test_repeats_are_cheap_and_follow_the_weights():
    """One decoding, one trace per network, bicubic once; new weights, new score."""
    pairs = [bicubic_pair(2), bicubic_pair(3)]
    validate = Validator(pairs, ["psnr"], None, 4)
    network, averaged = Nearest(), Nearest()
    first = validate(network)
    traces = network.traces
    network.dim.assign(0.9)
    second = validate(network)
    assert validate(averaged) == first  # another network, its own function
    assert second["psnr"] < first["psnr"]
    assert second["bicubic/psnr"] == first["bicubic/psnr"]
    assert network.traces == traces
    assert [pair.loads for pair in pairs] == [1, 1]


def test_over_budget_decodes_again_and_agrees():
    pairs = [bicubic_pair(4)]
    validate = Validator(pairs, ["psnr"], None, 4, cache_mb=0)
    assert validate(Nearest()) == Validator(pairs, ["psnr"])(Nearest())
    assert pairs[0].loads > 1


def test_a_broken_pair_is_reported_once_and_left_out():
    """Means are those of the good pairs, for the model and for bicubic alike."""
    told = []
    pairs = [bicubic_pair(5), BrokenPair()]
    validate = Validator(pairs, ["psnr"], None, 4, on_problem=told.append)
    network = Nearest()
    values = [validate(network) for _ in range(2)]
    assert len(told) == 1 and "broken" in told[0]
    good = evaluate_pairs(
        bicubic_upscaler(4), pairs[:1], metrics=["psnr"], crop_border=4, scale=4
    )
    assert values[0] == values[1]
    assert values[0]["bicubic/psnr"] == pytest.approx(good.mean["psnr"])


def test_crop_border_default_is_the_scale():
    pair = bicubic_pair(6)
    pair.hr_u8 = pair.hr_u8.copy()
    pair.hr_u8[:4] = 255 - pair.hr_u8[:4]
    default = Validator([pair], ["psnr"])(Nearest())
    none = Validator([pair], ["psnr"], 0)(Nearest())
    assert none["psnr"] < default["psnr"] - 1


def test_refuses():
    """Early: no pairs, a wrong metric; at the first call: a network of scale 2."""
    with pytest.raises(UserError, match="at least one pair"):
        Validator([])
    with pytest.raises(UserError, match="Did you mean 'ssim'"):
        Validator([bicubic_pair(7)], ["sim"])
    with pytest.raises(UserError, match="SR 32x24.*HR 64x48"):
        Validator([bicubic_pair(7)])(Nearest(scale=2))


def test_values_are_plain_floats():
    """They go to JSON lines."""
    values = Validator([bicubic_pair(8)])(Nearest())
    assert all(type(value) is float for value in values.values())
    assert all(np.isfinite(value) for value in values.values())
