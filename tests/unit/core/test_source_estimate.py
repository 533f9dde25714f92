"""Shapes as log-covariances, and estimates that survive JSON."""

import json

import numpy as np
import pytest

from pdm_tf.core import source_estimate as se


def random_covariances(count=50):
    root = np.random.default_rng(0).normal(size=[count, 2, 2])
    return root @ np.swapaxes(root, 1, 2) + 0.01 * np.eye(2)


def test_theta_is_the_matrix_logarithm():
    from scipy.linalg import logm

    found = random_covariances(8)
    for cov, (m, d1, d2) in zip(found, se.log_covariances(found), strict=True):
        log = np.array([[m + d1, d2], [d2, m - d1]])
        np.testing.assert_allclose(log, logm(cov + 0.05 * np.eye(2)), atol=1e-9)


def test_theta_goes_back():
    found = random_covariances()
    np.testing.assert_allclose(
        se.covariances(se.log_covariances(found)), found, atol=1e-9
    )


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 150.0])
def test_axes_by_hand(angle):
    turn = np.radians(angle)
    along = np.array([np.sin(turn), np.cos(turn)])  # (y, x)
    across = np.array([np.cos(turn), -np.sin(turn)])
    cov = 9.0 * np.outer(along, along) + 1.0 * np.outer(across, across)
    axes = se.axes_of(se.log_covariances(cov[None]))
    assert axes.long[0] == pytest.approx(3.0)
    assert axes.short[0] == pytest.approx(1.0)
    assert axes.angle_deg[0] == pytest.approx(angle, abs=1e-6)


def test_a_delta_stays_one():
    theta = se.log_covariances(np.zeros([1, 2, 2]))
    assert np.isfinite(theta).all()
    assert se.axes_of(theta).long[0] == pytest.approx(0.0, abs=1e-6)


def test_draws_have_the_moments():
    mean, cov = (1.0, 0.2, -0.1), np.diag([0.3, 0.1, 0.1]) + 0.02
    drawn = se.draw_theta(mean, cov, 200_000)
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.01)
    np.testing.assert_allclose(np.cov(drawn.T), cov, atol=0.01)


def population(photographs):
    error = tuple(map(tuple, np.diag([0.1, 0.05, 0.05]) / photographs))
    return se.KernelPopulation(
        (1.5, 0.0, 0.0), ((0.2, 0, 0), (0, 0.1, 0), (0, 0, 0.1)), error, photographs
    )


def test_more_photographs_make_narrower_intervals():
    few, many = population(5).intervals(), population(100).intervals()
    for name in ("long", "short"):
        for what in ("mean", "spread"):
            low, middle, high = few[name][what]
            assert low < middle < high
            assert many[name][what][2] - many[name][what][0] < 0.5 * (high - low)


def test_json_and_back():
    estimate = se.SourceEstimate(
        scale=4,
        grid="pixel0",
        kernels=population(7),
        noise=se.NoisePopulation((-4.0, -6.0), ((0.1, 0.0), (0.0, 0.2)), 0.4),
        jpeg=se.JpegPopulation((35, 0, 40)),
        photographs=(
            se.PhotographEstimate(
                "a.png",
                kernel=se.KernelEstimate(
                    (1.0, 0.0, 0.1), ((0.1, 0, 0), (0, 0.1, 0), (0, 0, 0.1))
                ),
                noise_255=(1.0, 2.0),
                jpeg=se.JpegMeasure(35, "420", (0, 3), "comb"),
            ),
            se.PhotographEstimate("b.png", left_out="too small"),
        ),
        facts={"seconds": 3.0},
    )
    stored = json.loads(json.dumps(estimate.to_json()))
    assert se.SourceEstimate.from_json(stored) == estimate


def test_the_interval_of_a_mean_lies_about_it_and_covers_it():
    """Also where directions are uncertain: that makes no axis longer on average."""
    random = np.random.default_rng(0)
    covariance, count = np.diag([0.09, 0.04, 0.04]), 25
    truth = se.KernelPopulation((1.2, 0.0, 0.0), covariance, covariance / count, count)
    wanted = truth.intervals()["long"]["mean"][1]
    covered = 0
    for _ in range(40):
        mean = random.multivariate_normal(truth.mean, covariance / count)
        found = se.KernelPopulation(tuple(mean), covariance, covariance / count, count)
        low, middle, high = found.intervals()["long"]["mean"]
        assert low < middle < high
        assert (middle - low) == pytest.approx(high - middle, rel=0.35)
        covered += low <= wanted <= high
    assert 31 <= covered  # of 40, expected 36: 1 in 100 by chance
