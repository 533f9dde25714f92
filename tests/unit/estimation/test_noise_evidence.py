"""Likelihoods of single windows against sums over every coefficient."""

import numpy as np
import pytest
from scipy import fft
from scipy.stats import norm

from pdm_tf.core.source_estimate import JpegMeasure
from pdm_tf.estimation.noise_evidence import (
    CONTENTS,
    LEVEL,
    ROUNDING,
    SIGMAS,
    WINDOWS,
    tables,
    views_of,
)


def log_likelihood(view, strength):
    """[W] of each window of noise alone."""
    constants, factors = tables(view.steps, 0.0)
    place = strength * CONTENTS  # no content
    return constants[place] - view.statistics @ factors[:, place]


def noise(std_255, side=64, seed=0):
    random = np.random.default_rng(seed)
    image = 128.0 + std_255 * random.standard_normal([side, side, 3])
    return np.floor(image + 0.5).astype(np.uint8)


def test_white_noise_is_the_normal_density_of_its_coefficients():
    rgb_u8 = noise(5.0, side=8)
    view = views_of(rgb_u8, JpegMeasure())[1]
    difference = (rgb_u8[..., 0].astype(float) - rgb_u8[..., 1]) / np.sqrt(2.0) * LEVEL
    values = fft.dctn(difference, norm="ortho")
    radius = np.hypot(*np.mgrid[:8, :8])
    for strength in (10, 25):
        std = np.sqrt(SIGMAS[strength] ** 2 + ROUNDING)
        density = norm.logpdf(values, scale=std)[radius >= 1.9]
        want = density.sum() + 0.5 * np.log(2.0 * np.pi) * density.size
        assert log_likelihood(view, strength)[0] == pytest.approx(want, rel=1e-4)


def test_coefficients_of_jpeg_count_as_intervals():
    rgb_u8 = noise(12.0, side=8)
    quality = 50
    view = views_of(rgb_u8, JpegMeasure(quality, "420", (0, 0), "comb"))[0]
    luma = rgb_u8.astype(float) @ [0.299, 0.587, 0.114] * LEVEL
    multiples = np.floor(np.abs(fft.dctn(luma, norm="ortho") / view.steps) + 0.5)
    strength = 25
    std = np.sqrt(SIGMAS[strength] ** 2 + ROUNDING)
    want = 0.0
    for place in list(np.ndindex(8, 8))[1:]:
        k, edge = multiples[place], view.steps[place] / std
        if k == 0:
            chance = 1.0 - 2.0 * norm.sf(0.5 * edge)
        elif k < 4:
            chance = 2.0 * (norm.sf((k - 0.5) * edge) - norm.sf((k + 0.5) * edge))
        else:
            chance = 2.0 * norm.sf(3.5 * edge)
        want += np.log(chance)
    assert log_likelihood(view, strength)[0] == pytest.approx(want, rel=1e-4)


def test_the_likeliest_strength_is_the_true_one():
    for view in views_of(noise(6.0), JpegMeasure()):
        logs = [log_likelihood(view, s).sum() for s in range(len(SIGMAS))]
        assert SIGMAS[np.argmax(logs)] / LEVEL == pytest.approx(6.0, rel=0.12)


def test_smoothed_noise_has_less_fine_detail():
    white, smooth = (tables(None, c)[1].reshape(6, -1, CONTENTS) for c in (0.0, 0.6))
    # Factors are halves of one over the variance, here of noise alone.
    ratio = white[:, -1, 0] / smooth[:, -1, 0]
    assert np.all(np.diff(ratio) < 0) and ratio[0] > 1.0 > ratio[-1]


def test_windows_with_black_or_white_are_left_out():
    rgb_u8 = noise(3.0)
    rgb_u8[:, :40] = 255
    views = views_of(rgb_u8, JpegMeasure())
    assert len(views[0].bins) == 15 * 5  # columns 40, 44, ..., 56
    assert views_of(np.full([64, 64, 3], 255, np.uint8), JpegMeasure()) == []


def test_large_photographs_are_sampled_and_overlap_counts_once():
    small, large = (views_of(noise(3.0, side), JpegMeasure())[0] for side in (40, 400))
    assert len(small.bins) == 81 and small.weight == pytest.approx(0.25)
    assert len(large.bins) == WINDOWS and large.weight == 1.0


def test_a_grey_photograph_has_one_view():
    grey = np.repeat(noise(3.0)[..., :1], 3, axis=2)
    (view,) = views_of(grey, JpegMeasure())
    assert [view.gain(0.0), view.gain(0.9)] == pytest.approx([3.0, 3.0])
    assert [x.gain(0.5) for x in views_of(noise(3.0), JpegMeasure())] == pytest.approx(
        [2.0, 0.5, 0.5]
    )
