"""Each cause on samples that have it, and none on samples like true ones."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf.core.degradation_limits import INVISIBLE_NOISE_255
from pdm_tf.core.images import to_float
from pdm_tf.methods.collapse import (
    degradation_health,
    degrader_health,
    health_from,
    kernel_numbers,
    noise_numbers,
)
from tests.oracles.kernel_oracle import gaussian, gaussians
from tests.support.rival_runs import tiny_degrader
from tests.support.tiny_nets import photo
from tests.unit.methods import tiny


def _causes(numbers):
    return {finding.cause for finding in health_from(numbers).findings}


def _flat(kernels):
    return np.reshape(kernels, [len(kernels), -1])


def test_kernels_like_true_ones_are_no_finding():
    assert _causes(kernel_numbers(_flat(gaussians(64, 0)))) == set()
    turned = [gaussian(2.0, 1.0, a) for a in np.arange(8) * np.pi / 8]
    assert _causes(kernel_numbers(_flat(turned))) == set()  # directions count


def test_kernels_alike_whatever_their_places():
    """Shifted copies of one kernel are one kernel: unpaired training sees no shift."""
    copies = [gaussian(2.0, 1.0, 0.3, dx=shift) for shift in (-2.0, 0.0, 2.0)]
    assert _causes(kernel_numbers(_flat(copies))) == {"kernels_alike"}


def test_single_taps_in_the_middle_and_in_a_corner():
    taps = np.zeros([4, 21, 21])
    taps[:, 10, 10] = 1.0
    assert _causes(kernel_numbers(_flat(taps))) == {"kernels_alike", "kernels_delta"}
    corner = 0.5 * gaussians(4, 0)
    corner[:, 0, 20] += 0.5
    assert _causes(kernel_numbers(_flat(corner))) == {"kernels_at_border"}


def _noise(strength=0.03, seed=0):
    draw = np.random.default_rng(seed)
    clean = np.random.default_rng(9).uniform(size=[4, 32, 32, 3])
    first, second = strength * draw.normal(size=[2, *clean.shape])
    return clean, first, second


def test_white_noise_is_no_finding_and_its_numbers_are_known():
    numbers = noise_numbers(*_noise())
    assert _causes(numbers) == set()
    assert numbers["noise_vanished"] == pytest.approx(0.03, rel=0.03)
    assert numbers["noise_cast"] < 0.01 and abs(numbers["noise_repeats"]) < 0.03
    assert numbers["noise_swallows"] == pytest.approx(0.03 * np.sqrt(12), rel=0.03)


def test_noise_that_vanished_has_no_other_fault():
    clean, first, _ = _noise(0.9 * INVISIBLE_NOISE_255 / 255)
    assert _causes(noise_numbers(clean, first, first)) == {"noise_vanished"}


def test_noise_that_is_a_cast_repeats_or_swallows():
    clean, first, second = _noise()
    cast = np.array([0.05, -0.05, 0.05])
    assert _causes(noise_numbers(clean, first + cast, second + cast)) == {"noise_cast"}
    redrawn = 0.1 * (clean - 0.5)  # the same for any latent
    found = _causes(noise_numbers(clean, first / 2 + redrawn, second / 2 + redrawn))
    assert found == {"noise_repeats"}
    assert _causes(noise_numbers(*_noise(0.5))) == {"noise_swallows"}


def test_health_of_a_model_and_of_one_kernel_by_request():
    """Real networks: numbers are a function of the weights; latent=zero is exempt."""
    network = tiny.pdm()
    hr = tf.constant(np.random.default_rng(0).uniform(size=[6, 44, 44, 3]), tf.float32)
    before = tiny.snapshot(network)
    first, second = degradation_health(network, hr), degradation_health(network, hr)
    assert first == second and not tiny.moved(network, before)
    assert len(first.numbers) == 7 and all(
        n.startswith("alarm/") for n in first.numbers
    )
    zero = dataclasses.replace(tiny.KERNEL, latent="zero")
    one = degradation_health(tiny.pdm(kernel=zero, noise=None), hr)
    assert set(one.numbers) == {"alarm/kernels_delta", "alarm/kernels_at_border"}
    of_image = dataclasses.replace(tiny.NOISE, latent="zero", zero_mean=False)
    repeated = degradation_health(tiny.pdm(noise=of_image), hr)
    assert set(first.numbers) - set(repeated.numbers) == {"alarm/noise_repeats"}


def _degraders_causes(network, seed=0):
    hr = np.stack([photo(120, 120)[i : i + 80, i : i + 80] for i in (0, 20, 40)])
    hr = np.random.default_rng(seed).permutation(hr)
    found = degradation_health(network, tf.constant(to_float(hr)))
    return {finding.cause for finding in found.findings}, found.numbers


@pytest.mark.parametrize("settings", [{}, {"reduction": "conv", "grid": "pixel0"}])
def test_a_degrader_that_does_its_work_is_no_finding(settings):
    causes, numbers = _degraders_causes(tiny_degrader(3, amount=0.02, **settings))
    assert causes == set() and set(numbers) == {
        *("alarm/lr_cast", "alarm/content_lost"),
        *("alarm/lr_copied", "alarm/draws_alike"),
    }


@pytest.mark.parametrize("settings", [{}, {"reduction": "conv", "grid": "pixel0"}])
def test_a_degrader_that_has_learned_nothing(settings):
    """At its start it copies the reduced photograph and ignores what it draws."""
    copied, numbers = _degraders_causes(tiny_degrader(amount=0.0, **settings))
    assert copied == {"lr_copied", "draws_alike"}
    assert numbers["alarm/lr_copied"] < 1e-4 and numbers["alarm/draws_alike"] == 0.0
    still = tiny_degrader(amount=0.0, noise_channels=0, **settings)
    causes, numbers = _degraders_causes(still)
    assert causes == {"lr_copied"} and "alarm/draws_alike" not in numbers


def test_a_degrader_that_tints_or_paints_something_else():
    network = tiny_degrader(4, amount=0.0, noise_channels=0)
    network.trunk.image.bias.assign([0.0, 0.03, 0.0])
    causes, numbers = _degraders_causes(network)
    assert causes == {"lr_cast"}
    assert numbers["alarm/lr_cast"] == pytest.approx(0.03, abs=1e-3)
    grey = tiny_degrader(4, amount=0.0, noise_channels=0, output="sigmoid")
    for variable in grey.trainable_variables:
        variable.assign(tf.zeros_like(variable))
    causes, numbers = _degraders_causes(grey)
    assert "content_lost" in causes and numbers["alarm/content_lost"] == 0.0


def test_rivals_have_it_in_one_line():
    """`degrader_health` is what `degradation_health` asks of such a network."""
    network = tiny_degrader(4)
    hr = tf.constant(to_float(photo(80, 80))[None])
    assert degrader_health(network, hr) == degradation_health(network, hr)


def test_only_methods_that_learn_a_degradation_are_asked():
    def unused():
        raise AssertionError("no batch is needed")

    assert tiny.supervised().health(unused) is None
    assert tiny.pdm_sr(training="sr").health(unused) is None
    method = tiny.pdm_sr()
    assert method.health(lambda: tiny.batch_for(method)).numbers
