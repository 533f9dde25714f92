"""The best and the worst images, whatever the order they come in."""

import numpy as np
import pytest

from pdm_tf.evaluation.exhibits import Extremes
from pdm_tf.evaluation.results import EvaluatedImage, ImageRow, Scores
from pdm_tf.metrics import METRICS
from tests.unit.evaluation.fakes import photo


def image(name, metric, value, hr=True):
    picture = photo(1, 24, 32)
    row = ImageRow(name, Scores({metric: value}), None, 0.0)
    return EvaluatedImage(row, None, picture, picture if hr else None, None)


@pytest.mark.parametrize("metric", ["psnr", "niqe"])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("total", [1, 2, 3, 5, 6, 7, 20])
def test_equals_sorting_everything(metric, count, total):
    """Lower is better for niqe; nothing is shown twice; few images are shared out."""
    rng = np.random.default_rng(total)
    values = rng.permutation(total).astype(float)
    extremes = Extremes(METRICS[metric], count)
    for value in values:
        extremes(image(f"{value:g}", metric, value))
    sign = 1 if METRICS[metric].higher_is_better else -1
    order = [f"{v:g}" for v in sorted(values, key=lambda v: sign * v)]
    half = min(count, total // 2)
    assert [e.name for e in extremes.worst()] == order[:half]
    assert [e.name for e in extremes.best()] == order[half:][::-1][:count]


def test_none_wanted():
    extremes = Extremes(METRICS["psnr"], 0)
    for value in (1.0, 2.0):
        extremes(image("x", "psnr", value))
    assert extremes.worst() == extremes.best() == []


def test_as_many_pictures_as_there_are():
    for hr, count in ((True, 2), (False, 1)):
        extremes = Extremes(METRICS["psnr"], 1, label="mine")
        extremes(image("x", "psnr", 1.0, hr))
        name, region, shown = extremes.best()[0]
        assert name == "x" and len(shown) == count
        assert shown[0].lines[0] == "mine"
        assert shown[0].crop_u8.shape[:2] == region[2:]
