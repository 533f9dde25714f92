"""Post-processing of KernelGAN's kernels, and the verdict on them."""

import numpy as np
import pytest

from pdm_tf.core.geometry import GRIDS
from pdm_tf.core.imresize import imresize
from pdm_tf.core.kernel_shapes import kernel_moments
from pdm_tf.estimation.kernel_forms import (
    bicubic_kernel,
    mass_distance,
    placed,
    significant,
    twice,
    width_distance,
)
from pdm_tf.estimation.kernel_judgement import SIDES, judged
from pdm_tf.estimation.kernelgan import Estimate
from pdm_tf.ops.blur import blur_downsample, grid_geometry
from tests.oracles import kernelgan_oracle as oracle


def bump(dy=0.0, dx=0.0, sigma=1.2, side=13, stretch=1.0):
    y, x = np.mgrid[:side, :side] - side // 2
    kernel = np.exp(-(((y - dy) / stretch) ** 2 + (x - dx) ** 2) / (2 * sigma**2))
    return kernel / kernel.sum()


def test_small_taps_are_cut():
    kernel = bump() + np.random.default_rng(0).normal(0, 1e-3, (13, 13))
    got = significant(kernel)
    np.testing.assert_allclose(got, oracle.significant(kernel), atol=1e-12)
    assert 0 < np.count_nonzero(got) < 100
    with pytest.raises(ValueError, match="finite"):
        significant(np.full((13, 13), np.nan))


def test_twice_is_two_reductions():
    """On an image: by 2, by 2 again, and by 4 at once; catches a dilation too many."""
    rng = np.random.default_rng(1)
    kernel, image = rng.uniform(size=(5, 5)), rng.uniform(size=(41, 37))
    steps = oracle.reduce(oracle.reduce(image, kernel, 2), kernel, 2)
    at_once = oracle.reduce(image, twice(kernel), 4)
    np.testing.assert_allclose(
        at_once[: len(steps), : steps.shape[1]], steps, rtol=1e-12
    )


@pytest.mark.parametrize("offset", [0.0, 0.5])
@pytest.mark.parametrize("side", [13, 25])
def test_the_centre_of_mass_goes_where_it_should(offset, side):
    for kernel in (bump(2.3, -1.7), bump(0.5, 0.5, stretch=1.6), bump(-3.2, 3.9)):
        got = placed(kernel, side, offset)
        assert got.shape == (side, side) and got.min() >= 0
        assert got.sum() == pytest.approx(1)
        np.testing.assert_allclose(oracle.centre(got), offset, atol=5e-3)
        # Its form stays: splines of third order reproduce quadratics.
        before, after = (kernel_moments(k[None]).sigma for k in (kernel, got))
        np.testing.assert_allclose(after, before, atol=0.06)


def test_bicubic_is_imresizes():
    image = np.random.default_rng(2).uniform(size=(48, 48))
    got = oracle.reduce(image, bicubic_kernel(13), 2)
    expected = imresize(image, 0.5)[3 : 3 + len(got), 3 : 3 + len(got)]
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_distances():
    assert mass_distance(bump(), bump()) == 0
    apart = np.zeros((2, 5, 5))
    apart[0, 0, 0] = apart[1, 4, 4] = 1
    assert mass_distance(*apart) == 1
    found = width_distance(bump(sigma=1.5, side=31), bump(sigma=2.0, side=31))
    assert found == pytest.approx(0.5, abs=1e-3)


def estimate(kernel):
    return Estimate(kernel.astype(np.float32), 0.4, 0.01)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("scale", [2, 4])
def test_a_good_kernel_keeps_pictures_in_place(scale, grid):
    """A ramp, degraded with it, has the value where its grid says LR pixels lie."""
    found = judged([estimate(bump(0.9, 0.2))] * 2, scale, grid)
    assert found.reason == "" and found.row["seeds_apart"] == 0
    kernel = found.kernel.astype(np.float32)
    side = SIDES[scale]
    assert kernel.shape == (side, side)
    place = np.arange(64, dtype=np.float32)
    ramp = np.broadcast_to(
        (place[:, None] + 100 * place)[None, ..., None], (1, 64, 64, 1)
    )
    lr = blur_downsample(
        ramp, kernel.reshape(1, 1, 1, -1), scale, grid=grid, border="reflect"
    ).numpy()[0, ..., 0]
    shift = {"pixel0": 0.0, "half_pixel": (scale - 1) / 2}[grid]
    i = 32 // scale
    assert lr[i, i] == pytest.approx((scale * i + shift) * 101, abs=0.6)
    assert grid_geometry(scale, grid)[1] in (0.0, 0.5)


def test_the_kernel_for_4_is_wider_by_the_root_of_5():
    two, four = (judged([estimate(bump(sigma=1.0))], s, "pixel0") for s in (2, 4))
    ratio = four.row["width_px"][0] / two.row["width_px"][0]
    assert ratio == pytest.approx(np.sqrt(5), rel=0.02)
    assert two.row["seeds_apart"] is None and two.reason == ""


def test_reasons_to_leave_a_kernel_out():
    good = estimate(bump())
    noise = np.random.default_rng(3).uniform(size=(13, 13))
    spread = np.full((13, 13), -0.0)
    spread[0] = 1 / 13
    for estimates, reason in (
        ([estimate(np.full((13, 13), np.inf)), good], "not finite"),
        ([estimate(1.3 * bump()), good], "of sum 1.3"),
        ([estimate(spread), estimate(spread)], "100% at its border"),
        ([good, estimate(noise / noise.sum())], "differ from seed to seed"),
        ([good, good, estimate(bump(stretch=3))], "differ from seed to seed"),
    ):
        found = judged(estimates, 4, "pixel0")
        assert reason in found.reason and found.row["left_out"] == found.reason
        assert found.summary.startswith("left out: ") and found.caption
    # Of another place is no difference: centring takes it away.
    assert judged([good, estimate(bump(2, -1))], 4, "pixel0").reason == ""
