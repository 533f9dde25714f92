"""Populations behind a regressor that answers linearly, with known parameters."""

import numpy as np
import pytest

from pdm_tf.estimation.kernel_population import fit_population
from pdm_tf.estimation.kernel_regressor import Prediction
from pdm_tf.estimation.simulation import Simulated

MEAN = np.array([1.2, 0.0, 0.0])
STD = np.array([0.45, 0.3, 0.3])
SCENES = 20


class Regressor:
    """output = offset + slope * theta + scene + rest, all normal."""

    def __init__(self, slope=(0.8, 0.7, 0.6), offset=0.3, scene=0.2, rest=0.12):
        self.slope, self.offset = np.asarray(slope), np.array([offset, 0.0, 0.0])
        self.scene, self.rest = np.array([scene, 0.03, 0.03]), rest

    def scenes(self, count, seed):
        return np.random.default_rng(seed).standard_normal([count, 3]) * self.scene

    def answer(self, theta, scene, seed):
        noise = np.random.default_rng(seed).standard_normal(theta.shape) * self.rest
        mean = self.offset + self.slope * theta + scene + noise
        variance = self.scene**2 + self.rest**2
        covariance = np.broadcast_to(np.diag(variance), (len(theta), 3, 3))
        zeros = np.zeros(len(theta))
        return Prediction(mean, covariance, np.zeros([len(theta), 2]), zeros, zeros)

    def simulate(self, theta, seed, scenes=SCENES):
        held_out = self.scenes(scenes, 77)
        scene = held_out[np.arange(len(theta)) % scenes]
        gaussian = np.zeros(len(theta), bool)
        return Simulated(theta, gaussian, self.answer(theta, scene, seed))


def photographs(regressor, count, seed=0, std=STD, mean=MEAN, of_a_scene=1):
    """Outputs for a source's photographs, and the number of each one's scene."""
    theta = mean + std * np.random.default_rng(seed).standard_normal([count, 3])
    groups = np.arange(count) // of_a_scene
    scene = regressor.scenes(groups.max() + 1, seed + 1)[groups]
    return regressor.answer(theta, scene, seed + 2), groups


def fit(real, regressor, **settings):
    return fit_population(real, regressor.simulate, scenes=SCENES, **settings)


def test_shrinkage_and_scatter_are_taken_out():
    regressor = Regressor()
    means, stds = [], []
    for seed in range(4):
        real, _ = photographs(regressor, 100, seed=10 * seed)
        population, weights = fit(real, regressor, seed=seed)
        means.append(population.mean)
        stds.append(np.sqrt(np.diag(population.covariance)))
        assert population.isotropic and not population.gates
        assert np.allclose(population.slopes, regressor.slope, atol=0.08)
        assert population.photographs == pytest.approx(weights.sum())
    assert np.mean(means, axis=0)[0] == pytest.approx(MEAN[0], abs=0.06)
    assert np.mean(stds, axis=0) == pytest.approx(STD, rel=0.12)
    # What the regressor says is neither the mean nor the spread.
    assert abs(population.raw_mean[0] - MEAN[0]) < 0.15
    assert population.raw_covariance[1][1] < 0.7 * STD[1] ** 2


def test_means_of_an_isotropic_population_have_no_direction():
    real, _ = photographs(Regressor(), 30, mean=np.array([1.0, 0.4, -0.2]))
    population, _ = fit(real, Regressor())
    assert population.isotropic
    assert population.mean[1:] == (0.0, 0.0)
    covariance = np.asarray(population.covariance)
    assert np.array_equal(covariance, np.diag(np.diag(covariance)))
    assert covariance[1, 1] == covariance[2, 2]


def test_a_preferred_direction_is_kept_where_many_photographs_show_it():
    regressor = Regressor()
    real, _ = photographs(regressor, 120, mean=np.array([1.0, 0.4, -0.2]))
    population, _ = fit(real, regressor)
    assert not population.isotropic
    assert np.allclose(population.mean, [1.0, 0.4, -0.2], atol=0.12)


def test_photographs_without_direction_are_isotropic_however_many():
    regressor = Regressor()
    real, _ = photographs(regressor, 150)
    assert fit(real, regressor)[0].isotropic


def test_strange_scenes_move_little():
    regressor = Regressor()
    real, _ = photographs(regressor, 40)
    strange = real.mean.copy()
    strange[:3, 0] = strange[:, 0].mean() + 2.0
    plain, _ = fit(real, regressor)
    population, weights = fit(real._replace(mean=strange), regressor)
    assert abs(population.mean[0] - plain.mean[0]) < 0.05  # a plain mean moves by 0.18
    assert population.covariance[0][0] < 1.2 * plain.covariance[0][0]
    assert weights[:3].max() < 0.1 and np.median(weights[3:]) > 0.9
    assert np.all((weights > 0.0) & (weights <= 1.0))


def test_photographs_of_one_scene_say_the_spread():
    """Seven scenes that scatter widely, four photographs of each."""
    regressor = Regressor(scene=0.2)
    wild = Regressor(scene=0.5)
    found = {True: [], False: []}
    for seed in range(6):
        real, groups = photographs(wild, 28, seed=100 * seed, of_a_scene=4)
        for grouped, chosen in found.items():
            of = groups if grouped else None
            population, _ = fit(real, regressor, groups=of, seed=seed)
            chosen.append(np.sqrt(population.covariance[0][0]))
    with_groups, without = (np.mean(found[x]) for x in (True, False))
    assert with_groups == pytest.approx(STD[0], rel=0.2)
    assert without > with_groups


def test_what_cannot_be_seen_is_left_and_said():
    regressor = Regressor(slope=(0.9, 0.1, 0.6))
    real, _ = photographs(regressor, 60)
    population, _ = fit(real, regressor)
    (gate,) = population.gates
    assert "elongation along the axes" in gate and "0.1" in gate
    # Not divided by a tenth.
    assert population.covariance[1][1] < 2.0 * STD[1] ** 2


def test_three_photographs_have_a_usual_spread_and_a_wide_error():
    regressor = Regressor()
    few, _ = photographs(regressor, 3)
    many, _ = photographs(regressor, 100)
    few, many = fit(few, regressor)[0], fit(many, regressor)[0]
    assert 0.2 < np.sqrt(few.covariance[0][0]) < 0.7
    assert few.mean_error[0][0] > 4.0 * many.mean_error[0][0]
    one, _ = fit(photographs(regressor, 1)[0], regressor)
    assert np.sqrt(one.covariance[0][0]) == pytest.approx(0.4, abs=0.1)


def test_the_error_of_the_mean_is_that_of_repeated_folders():
    regressor = Regressor()
    off, claimed = [], []
    for seed in range(24):
        real, _ = photographs(regressor, 25, seed=1000 + 10 * seed)
        population, _ = fit(real, regressor, rounds=1, seed=seed)
        off.append(population.mean[0] - MEAN[0])
        claimed.append(population.mean_error[0][0])
    assert np.std(off) < np.sqrt(np.mean(claimed)) < 2.0 * np.std(off)


def test_one_held_out_scene_is_not_believed():
    """Its own content is no error of the regressor's."""
    honest = Regressor(slope=(1.0, 1.0, 1.0), offset=0.0, scene=0.0)
    real, _ = photographs(honest, 60)

    def simulate(theta, seed):
        return honest.answer(theta, np.array([0.6, 0.0, 0.0]), seed)

    wide = real._replace(covariance=np.tile(np.diag([0.2, 0.1, 0.1]), (60, 1, 1)))

    def uncertain(theta, seed):
        covariance = np.tile(wide.covariance[:1], (len(theta), 1, 1))
        said = simulate(theta, seed)._replace(covariance=covariance)
        return Simulated(theta, np.zeros(len(theta), bool), said)

    population, _ = fit_population(wide, uncertain, scenes=1)
    assert population.mean[0] == pytest.approx(MEAN[0], abs=0.15)
    assert population.mean_error[0][0] > 0.05**2


def test_the_same_seed_gives_the_same_population():
    regressor = Regressor()
    real, _ = photographs(regressor, 10)
    first, second, third = (fit(real, regressor, seed=seed)[0] for seed in (1, 1, 2))
    assert first == second != third


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rounds": 0}, "Received: 5, 20, 0, 200"),
        ({"draws": 4}, "Received: 5, 20, 2, 4"),
        ({"groups": [0, 1]}, "one group for each photograph"),
    ],
)
def test_bad_arguments(changed, message):
    regressor = Regressor()
    real, _ = photographs(regressor, 5)
    with pytest.raises(ValueError, match=message):
        fit(real, regressor, **changed)


@pytest.mark.parametrize("others", [0.0, 0.4])
def test_forms_that_read_narrower_move_the_mean_and_not_the_spread(others):
    """The source's kernels are Gaussians; of the simulated ones some are not."""
    regressor, means, stds, errors = Regressor(), [], [], []

    def simulate(theta, seed):
        plain = regressor.simulate(theta, seed)
        other = np.random.default_rng(seed).uniform(size=len(theta)) < others
        read = plain.said.mean - np.array([0.5, 0.0, 0.0]) * other[:, None]
        return Simulated(theta, other, plain.said._replace(mean=read))

    for seed in range(4):
        real, _ = photographs(regressor, 100, seed=10 * seed)
        population, _ = fit_population(real, simulate, scenes=SCENES, seed=seed)
        means.append(population.mean[0])
        stds.append(np.sqrt(population.covariance[0][0]))
        errors.append(np.sqrt(population.mean_error[0][0]))
    # 0.5 of an output is 0.5 / 0.8 of theta.
    assert np.mean(means) == pytest.approx(MEAN[0] + others * 0.5 / 0.8, abs=0.07)
    assert np.mean(stds) == pytest.approx(STD[0], abs=0.05)
    # That share is the prior's; who knows the source's?
    known = others == 0.0
    assert np.mean(errors) == pytest.approx(0.06 if known else 0.2, abs=0.04)
