"""Two degradations against observed images: the better one wins, chance does not."""

import numpy as np
import pytest

from pdm_tf.degradations import KernelModuleConfig, PDMConfig
from pdm_tf.evaluation.degradation import synthesised
from pdm_tf.evaluation.two_degradations import (
    Preference,
    TestScores,
    compare_degradations,
)


def blur(sigma_px):
    """A PDM with one kernel, a Gaussian."""
    kernel = KernelModuleConfig(
        kernel_size=15,
        latent="zero",
        initial="gaussian",
        initial_sigma_px=sigma_px,
        initial_std=0.0,
        smoothing_px=0.0,
    )
    return PDMConfig(kernel=kernel, noise=None).build()


@pytest.fixture(scope="module")
def photographs():
    """Twelve of rectangles of many sizes, which have edges and flat areas."""
    draw = np.random.default_rng(3)
    made = []
    for _ in range(12):
        image = np.full([150, 150, 3], 128.0)
        for _ in range(150):
            top, left = draw.integers(0, 140, 2)
            height, width = draw.integers(2, 40, 2)
            image[top : top + height, left : left + width] = draw.integers(0, 256, 3)
        made.append(image.astype(np.uint8))
    return made


def test_the_right_blur_is_preferred_whichever_comes_second(photographs):
    wide, narrow = blur(2.6), blur(1.2)
    observed = synthesised(blur(1.3), photographs[6:], seed=9)
    found = compare_degradations(wide, narrow, photographs[:6], observed, (0, 1, 2))
    assert found.prefers_second
    assert np.mean(found.second.accuracy) < np.mean(found.first.accuracy)
    back = compare_degradations(narrow, wide, photographs[:6], observed, (0, 1, 2))
    assert not back.prefers_second
    assert back.first == found.second


def scores(mmd2, accuracy):
    return TestScores(tuple(mmd2), tuple(accuracy))


@pytest.mark.parametrize(
    ("second", "preferred"),
    [
        (scores([0.01, 0.011, 0.012], [0.6, 0.61, 0.62]), True),
        # Closer, but by no more than chance.
        (scores([0.0, 0.03, 0.025], [0.6, 0.61, 0.62]), False),
        # Closer by one test, told apart more easily by the other.
        (scores([0.01, 0.011, 0.012], [0.8, 0.81, 0.82]), False),
        (scores([0.03, 0.031, 0.032], [0.6, 0.61, 0.62]), False),
    ],
)
def test_it_has_to_be_better_beyond_chance(second, preferred):
    first = scores([0.02, 0.021, 0.022], [0.65, 0.66, 0.67])
    assert Preference(first, second).prefers_second is preferred


def test_equal_ones_leave_the_first():
    same = scores([0.02, 0.021, 0.022], [0.65, 0.66, 0.67])
    assert not Preference(same, same).prefers_second
