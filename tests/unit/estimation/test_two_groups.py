import numpy as np
import pytest

from pdm_tf.estimation.two_groups import two_groups


def test_two_groups_are_found_with_their_members_and_means():
    random = np.random.default_rng(0)
    values = random.normal(size=30) + 12.0 * (np.arange(30) % 3 == 0)
    found = two_groups(values)
    assert found.high == tuple(range(0, 30, 3))
    assert sorted(found.low + found.high) == list(range(30))
    low, high = values[list(found.low)].mean(), values[list(found.high)].mean()
    np.testing.assert_allclose(found.means, (low, high))


@pytest.mark.parametrize("count", [12, 20, 100])
@pytest.mark.parametrize("shape", ["normal", "uniform", "lognormal", "t"])
def test_one_group_is_seldom_taken_for_two(count, shape):
    random = np.random.default_rng(1)
    draw = {
        "normal": lambda: random.normal(size=count),
        "uniform": lambda: random.uniform(size=count),
        "lognormal": lambda: random.lognormal(0.0, 0.5, size=count),
        "t": lambda: random.standard_t(3, size=count),
    }[shape]
    wrong = sum(two_groups(draw()) is not None for _ in range(200))
    assert wrong <= 4  # 1 % and what chance adds


def test_few_numbers_small_groups_and_near_groups_are_one():
    apart = np.array([0.0, 0.1] * 6 + [50.0, 50.1])
    assert two_groups(apart) is None  # two of them are outliers
    assert two_groups([0.0, 0.1, 0.2, 9.0, 9.1, 9.2]) is None
    values = np.repeat([0.0, 9.0], 10) + np.linspace(0.0, 0.1, 20)
    assert two_groups(values).low == tuple(range(10))
    assert two_groups(values, least_apart=10.0) is None


def test_equal_numbers_are_one_group():
    assert two_groups([3.0] * 20) is None
