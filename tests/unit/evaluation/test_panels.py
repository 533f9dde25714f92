"""Panels: right pictures in right places, any size, the busy region found."""

import numpy as np
import pytest

from pdm_tf.core import draw
from pdm_tf.core.images import read_rgb_u8
from pdm_tf.evaluation.baseline import bicubic_upscaler
from pdm_tf.evaluation.panels import (
    Extremes,
    PanelWriter,
    panel,
    score_lines,
    textured_region,
)
from pdm_tf.evaluation.results import EvaluatedImage, ImageRow, Scores
from pdm_tf.evaluation.runner import evaluate_image
from pdm_tf.evaluation.runner import metric_specs as specs
from pdm_tf.metrics import METRICS
from tests.unit.evaluation.fakes import MemoryPair, bicubic_pair, photo


def _evaluated(pair, baseline=True, metrics=("psnr", "ssim", "psnr_shift")):
    upscale = bicubic_upscaler(4)
    return evaluate_image(
        lambda name, lr_u8: upscale(lr_u8),
        pair,
        metrics=specs(metrics),
        crop_border=4,
        scale=4,
        baseline=baseline,
    )


def _found(picture, tile):
    """Whether `tile` occurs in `picture` as it is."""
    high, wide = tile.shape[:2]
    corners = np.argwhere(np.all(picture == tile[0, 0], axis=-1))
    return any(
        np.array_equal(picture[y : y + high, x : x + wide], tile)
        for y, x in corners
        if y + high <= picture.shape[0] and x + wide <= picture.shape[1]
    )


def test_every_picture_is_there_enlarged_by_whole_pixels():
    """LR, bicubic, SR and HR details must be untouched copies, not resampled."""
    pair = bicubic_pair(0, 320, 320)
    image = _evaluated(pair)
    sr_u8 = 255 - image.sr_u8  # something else than bicubic
    image = EvaluatedImage(image.row, image.lr_u8, sr_u8, image.hr_u8, image.bicubic_u8)
    picture = panel(image)
    wide, high = 320 // 3 // 4 * 4, 320 // 3 * 2 // 3 // 4 * 4
    top, left = textured_region(image.hr_u8, high, wide, 4)
    for source in (draw.enlarge(image.lr_u8, 4), image.bicubic_u8, sr_u8, pair.hr_u8):
        part = source[top : top + high, left : left + wide]
        assert _found(picture, draw.enlarge(part, 320 // wide))


@pytest.mark.parametrize(
    ("height", "width"), [(24, 28), (40, 300), (300, 40), (64, 1400)]
)
@pytest.mark.parametrize("baseline", [True, False])
def test_any_size(height, width, baseline):
    """Tiny, very long and very large images keep readable columns."""
    image = _evaluated(bicubic_pair(1, height, width), baseline, ("psnr",))
    picture = panel(image)
    assert picture.dtype == np.uint8 and picture.shape[2] == 3
    columns = 4 if baseline else 3
    assert 280 * columns < picture.shape[1] < 620 * columns


def test_region_is_the_one_with_edges_not_gravel():
    """Pixel noise averages out over scale x scale; a coarse checkerboard does not."""
    hr = np.full((128, 160, 3), 128, np.uint8)
    noise = np.random.default_rng(0).integers(64, 192, (48, 48, 3))
    hr[:48, :48] = noise
    y, x = np.mgrid[:32, :32]
    hr[80:112, 100:132] = (np.where((y // 8 + x // 8) % 2, 220, 30))[..., None]
    top, left = textured_region(hr, 40, 40, 4)
    assert top <= 80 and top + 40 >= 112 and left <= 100 and left + 40 >= 132
    assert top % 4 == 0 and left % 4 == 0


def test_score_lines():
    """Numbers with their names and units; no line at all breaks nothing."""
    image = _evaluated(bicubic_pair(2))
    lines = score_lines(image.row.scores)
    values, shift = image.row.scores.values, image.row.scores.details["shift"]
    assert lines[0] == f"{values['psnr']:.2f} dB   SSIM {values['ssim']:.4f}"
    assert f"[{shift[0]:+d},{shift[1]:+d}]" in lines[1]
    assert score_lines(None) == [""]


def test_writer_draws_the_first_ones(tmp_path):
    """Limit kept; sub-folders in names do not make folders; -1 means all."""
    images = [_evaluated(bicubic_pair(i)) for i in range(3)]
    nested = _evaluated(MemoryPair("a/b", images[0].hr_u8, images[0].lr_u8))
    writer = PanelWriter(tmp_path, 2)
    for image in (nested, *images):
        writer(image)
    assert [p.name for p in writer.written] == ["a__b.png", "image0.png"]
    assert read_rgb_u8(writer.written[0]).shape == panel(nested).shape
    everything = PanelWriter(tmp_path / "all", -1)
    for image in images:
        everything(image)
    assert len(everything.written) == 3
    nothing = PanelWriter(tmp_path / "none", 0)
    nothing(nested)
    assert not (tmp_path / "none").exists()


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
