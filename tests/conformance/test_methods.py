"""The contract of every method, at tiny sizes, with any networks.

A new line in `METHODS` is tested by itself, see `methods.py`. That the whole program
trains with it is tested by the smoke flag files (test_smoke_training.py).
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.build_parts import POLICIES
from pdm_tf.bundles.bundle import load_bundle, save_bundle
from pdm_tf.degradations import Degradation
from pdm_tf.methods import METHODS
from pdm_tf.methods.base import Method, StepResult
from pdm_tf.models.network import Network, SRNetwork
from pdm_tf.training.checkpoint import CheckpointStore, collect_state
from pdm_tf.training.ema import EMA
from pdm_tf.training.step_function import update_networks
from tests.conformance.methods import (
    REACHES,
    Made,
    batch_of,
    cases,
    made,
    phases,
    result_of,
    state_of,
)

SCALE = 4


def values(groups):
    """Copies of the values of `state_of` or `collect_state`."""
    return {name: [v.numpy() for v in group] for name, group in groups.items()}


def put_back(method, before):
    """Undoes what steps have changed by themselves or through `update_networks`."""
    for name, group in state_of(method).items():
        for variable, value in zip(group, before[name], strict=True):
            variable.assign(value)


def assert_same(groups, before):
    assert groups.keys() == before.keys()
    for name, group in groups.items():
        for number, (one, other) in enumerate(zip(group, before[name], strict=True)):
            np.testing.assert_array_equal(one, other, err_msg=f"{name}/{number}")


class Stepped(NamedTuple):
    """A case, and what the first step of each of its phases does.

    Attributes:
      case: which it is.
      parts: what the method is made of.
      method: made of them; every test leaves its networks as they are.
      start: values of `state_of` before any step.
      results: index of a step -> its result from this start.
    """

    case: str
    parts: Made
    method: Method
    start: Mapping[str, list[np.ndarray]]
    results: Mapping[int, StepResult]


@pytest.fixture(scope="module", params=cases(), ids=str)
def stepped(request):
    parts = made(request.param)
    method = parts.make()
    start, results = values(state_of(method)), {}
    for index in phases(method):
        results[index] = result_of(method, index)
        put_back(method, start)
    return Stepped(request.param, parts, method, start, results)


@pytest.fixture
def method(stepped):
    return stepped.method


def test_it_is_called_as_the_table_says(method):
    assert METHODS[method.name] is type(method)
    assert dataclasses.is_dataclass(method.config_class)


def test_what_ships_is_a_network_that_bundles_can_hold(method):
    shipped = method.deployable()
    assert all(isinstance(network, Network) for network in shipped.values())
    assert set(method.ema_networks()) <= set(shipped)
    assert {network.dtype_policy.name for network in shipped.values()} <= set(
        POLICIES.values()
    )


def test_what_ships_works_when_it_is_loaded_again(method, tmp_path):
    """An SR network enlarges any image; a degradation makes LR images of HR ones."""
    for name, network in method.deployable().items():
        loaded = load_bundle(save_bundle(network, tmp_path / name, step=3))
        assert loaded.scale == SCALE, name
        if name == "sr":
            assert isinstance(network, SRNetwork)
            image = tf.random.stateless_uniform([1, 9, 7, 3], [1, 2])
            wanted, found = network(image), loaded.network(image)
            assert wanted.shape == (1, 9 * SCALE, 7 * SCALE, 3)
        else:
            assert isinstance(network, Degradation), name
            side, seed = network.hr_side(6), tf.constant([3, 4])
            hr = tf.random.stateless_uniform([2, side, side, 3], [1, 2])
            wanted = network.synthesise(hr, seed).lr
            found = loaded.network.synthesise(hr, seed).lr
            assert wanted.shape == (2, 6, 6, 3)
        np.testing.assert_array_equal(found, wanted)


def test_a_step_moves_nothing_that_is_trained_and_repeats_itself(stepped):
    """In every phase: the loop applies gradients, and steps are functions of state."""
    method, trained = stepped.method, {}
    for name in method.optimizers:
        variables = method.networks[name].trainable_variables
        trained |= {v.path: (v, v.numpy()) for v in variables}
    for index, first in stepped.results.items():
        again = result_of(method, index)
        for path, (variable, value) in trained.items():
            np.testing.assert_array_equal(variable, value, err_msg=path)
        put_back(method, stepped.start)  # moving statistics go on with every step
        assert first.scalars.keys() == again.scalars.keys()
        for name, value in first.scalars.items():
            assert name.startswith(("loss/", "stat/")) and value.shape == ()
            assert np.isfinite(value) and value == again.scalars[name], name


def test_each_phase_gives_gradients_to_what_it_trains(stepped):
    method, trained = stepped.method, set()
    for result in stepped.results.values():
        trained |= result.gradients.keys()
        for name, gradients in result.gradients.items():
            variables = method.networks[name].trainable_variables
            for variable, gradient in zip(variables, gradients, strict=True):
                assert gradient is not None, variable.path
                assert gradient.shape == variable.shape
                assert np.all(np.isfinite(gradient)), variable.path
                # A bias before batch normalisation has none.
                learns = np.any(gradient) or variable.path.endswith("/bias")
                assert learns, f"{variable.path} of {name} learns nothing"
    assert trained == set(method.optimizers) <= set(method.networks)


def test_a_network_that_a_phase_does_not_train_does_not_move(stepped):
    """Its moving statistics and power iterations rest too (B18)."""
    method = stepped.method
    for index, result in stepped.results.items():
        resting = set(method.networks) - result.gradients.keys()
        if not resting:
            continue
        gradients = result_of(method, index).gradients
        update_networks(method.networks, method.optimizers, gradients)
        state = state_of(method)
        names = [f"networks.{name}" for name in resting]
        assert_same(
            {name: state[name] for name in names},
            {name: stepped.start[name] for name in names},
        )
        put_back(method, stepped.start)


def test_pictures_are_of_8_bits_and_change_nothing(stepped):
    method = stepped.method
    for picture in method.previews(batch_of(method), 1).values():
        assert picture.dtype == np.uint8 and picture.shape[-1] == 3
    assert_same(state_of(method), stepped.start)


def test_a_run_that_is_killed_goes_on_bit_for_bit(stepped, tmp_path):
    """All that decides later steps is in the checkpoint, in every phase.

    The second method shares the networks of the first, which have moved on since the
    checkpoint, and has optimisers and further state of its own.
    """
    if stepped.case.preset != "default":
        pytest.skip("other settings have no other kinds of state")

    def start():
        method = stepped.parts.make()
        ema = EMA(method.ema_networks(), 0.9, method.unaveraged())
        state = collect_state(method, ema)
        return method, ema, state, CheckpointStore(tmp_path, state, keep=1)

    def advance(method, ema, *steps):
        for index in steps:
            gradients = result_of(method, index).gradients
            update_networks(method.networks, method.optimizers, gradients)
            ema.update(tf.constant(index, tf.int64))

    first, *later = stepped.results
    goes_on = [first + 1, *later]
    method, ema, state, store = start()
    advance(method, ema, first)
    store.save(1)
    advance(method, ema, *goes_on)
    wanted = values(state)
    method, ema, state, store = start()
    assert store.restore_latest() == (1, [])
    advance(method, ema, *goes_on)
    assert_same(state, wanted)
    put_back(stepped.method, stepped.start)


def test_each_loss_reaches_the_networks_that_are_to_learn_from_it(stepped):
    """Doubling a weight changes the gradients of these networks and of no other.

    The release's perceptual loss reached none (B1), and its discriminator of HR images
    learned from the loss of the other (1.11.1).
    """
    case, parts, start = stepped.case, stepped.parts, stepped.start
    reaches = REACHES.get(str(case), REACHES.get(case.method, {}))
    assert reaches.keys() == parts.weights.keys(), (
        "REACHES in tests/conformance/methods.py must say which networks learn from "
        f"each weighed loss of {case.method}"
    )
    if case.preset != "default" and str(case) not in REACHES:
        pytest.skip("other weights reach no other networks")
    reached = {setting: set() for setting in reaches}
    for setting, weight in parts.weights.items():
        method = parts.make(**{setting: 2.0 * weight})
        for index, plain in stepped.results.items():
            doubled = result_of(method, index)
            put_back(method, start)
            for name, gradients in plain.gradients.items():
                pairs = zip(gradients, doubled.gradients[name], strict=True)
                if any(np.any(one != other) for one, other in pairs):
                    reached[setting].add(name)
    present = set(stepped.method.networks)
    assert reached == {name: nets & present for name, nets in reaches.items()}
