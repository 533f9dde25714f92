"""The networks: gradients, likelihoods and mixtures against slow versions."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from pdm_tf.estimation.mlp_ensemble import (
    EnsembleSettings,
    distribution,
    first_weights,
    forward,
    loss_and_gradients,
    nll,
    train_epochs,
)

BLOCK, TARGETS = 3, 5
SMALL = EnsembleSettings(members=2, hidden=(7, 6))


def rng():
    return np.random.default_rng(0)


def double_weights():
    made = first_weights(4, TARGETS, BLOCK, SMALL, rng())
    random = rng()
    return {
        name: value.astype(np.float64) + 0.1 * random.standard_normal(value.shape)
        for name, value in made.items()
    }


def some_data():
    random = rng()
    inputs = random.standard_normal((2, 9, 4))
    targets = random.standard_normal((2, 9, TARGETS))
    targets[0, 2, 3] = np.nan
    targets[1, 3, :BLOCK] = np.nan
    return inputs, targets


def test_gradients_by_differences():
    weights, (inputs, targets) = double_weights(), some_data()
    gradients = loss_and_gradients(weights, inputs, targets, BLOCK, 0.0, None)[1]
    random, step = rng(), 1e-5
    for name, value in weights.items():
        for _ in range(6):
            place = tuple(random.integers(0, size) for size in value.shape)
            losses = []
            for move in (step, -2 * step):
                value[place] += move
                losses.append(
                    loss_and_gradients(weights, inputs, targets, BLOCK, 0.0, None)[0]
                )
            value[place] += step
            slope = (losses[0] - losses[1]).sum() / (2 * step)
            assert gradients[name][place] == pytest.approx(slope, abs=1e-6)


def test_the_loss_is_the_likelihoods():
    """Less the constants log(2 pi) / 2, which NaN targets do not have."""
    inputs, targets = some_data()
    weights = double_weights()
    said = forward(weights, inputs[0])
    losses = nll(said, np.stack([targets[0], targets[1]]), BLOCK)[0]
    for member in range(2):
        for row in range(9):
            one = distribution(said[member : member + 1, row : row + 1], TARGETS, BLOCK)
            target, expected = targets[member, row], 0.0
            if np.isfinite(target[:BLOCK]).all():
                likely = multivariate_normal(one.mean[0, :BLOCK], one.covariance[0])
                expected -= likely.logpdf(target[:BLOCK])
                expected -= 0.5 * BLOCK * np.log(2 * np.pi)
            for place in range(BLOCK, TARGETS):
                if np.isfinite(target[place]):
                    sd = np.sqrt(one.variance[0, place - BLOCK])
                    expected -= norm(one.mean[0, place], sd).logpdf(target[place])
                    expected -= 0.5 * np.log(2 * np.pi)
            assert losses[member, row] == pytest.approx(expected, abs=1e-9)


def test_members_are_mixed():
    """Mean and covariance of draws from each member in turn."""
    random = rng()
    said = 0.5 * random.standard_normal((3, 1, TARGETS + TARGETS + 3))
    mixed = distribution(said, TARGETS, BLOCK)
    draws = []
    for member in said:
        one = distribution(member[None], TARGETS, BLOCK)
        draws.append(
            random.multivariate_normal(
                one.mean[0, :BLOCK], one.covariance[0], size=200_000
            )
        )
    draws = np.concatenate(draws)
    np.testing.assert_allclose(mixed.mean[0, :BLOCK], draws.mean(0), atol=0.02)
    np.testing.assert_allclose(mixed.covariance[0], np.cov(draws.T), atol=0.05)


def test_it_learns_means_and_how_sure_it_may_be():
    """y = x + noise whose strength depends on another input, independent test data."""
    random = rng()

    def data(count):
        inputs = random.standard_normal((count, 2)).astype(np.float32)
        spread = np.where(inputs[:, 1:] > 0, 1.0, 0.1)
        noise = random.standard_normal((count, TARGETS))
        return inputs, (inputs[:, :1] + spread * noise).astype(np.float32)

    inputs, targets = data(2_000)
    settings = EnsembleSettings(members=2, hidden=(32, 16), dropout=0.0, rate=5e-3)
    weights = first_weights(2, TARGETS, BLOCK, settings, rng())

    def epoch(random):
        order = np.stack([random.permutation(2_000) for _ in range(2)])
        for start in range(0, 2_000, 100):
            chosen = order[:, start : start + 100]
            yield inputs[chosen], targets[chosen]

    for _ in train_epochs(weights, BLOCK, settings, 15, epoch, 20, rng()):
        pass
    inputs, targets = data(500)
    said = distribution(forward(weights, inputs), TARGETS, BLOCK)
    assert np.abs(said.mean - inputs[:, :1]).mean() < 0.1
    for loud, expected in ((True, 1.0), (False, 0.14)):  # 0.1, and the means' errors
        rows = (inputs[:, 1] > 0.3) if loud else (inputs[:, 1] < -0.3)
        found = np.sqrt(said.covariance[rows, 0, 0]).mean()
        assert found == pytest.approx(expected, rel=0.35)
        found = np.sqrt(said.variance[rows, 0]).mean()
        assert found == pytest.approx(expected, rel=0.35)


def test_dropout_keeps_the_mean_of_what_passes():
    random = rng()
    weights = double_weights()
    inputs, targets = some_data()
    losses = [
        loss_and_gradients(weights, inputs, targets, BLOCK, 0.3, random)[0]
        for _ in range(3)
    ]
    assert not np.allclose(losses[0], losses[1])
    plain = loss_and_gradients(weights, inputs, targets, BLOCK, 0.0, random)[0]
    again = loss_and_gradients(weights, inputs, targets, BLOCK, 0.3, None)[0]
    np.testing.assert_array_equal(plain, again)
