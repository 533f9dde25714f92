"""All numbers of a tiny degradation model, with and without ground truth."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf import samples
from pdm_tf.core.errors import UserError
from pdm_tf.core.images import list_images, read_rgb_u8, to_float, to_u8
from pdm_tf.evaluation.degradation import measure_degradation
from pdm_tf.metrics.degradation.noise import noise_of_pair
from tests.oracles.kernel_oracle import gaussians
from tests.unit.methods import tiny

KERNEL = dataclasses.replace(tiny.KERNEL, initial="gaussians", kernel_size=9)


@pytest.fixture(scope="module")
def photographs():
    return [read_rgb_u8(p)[:110, :120] for p in list_images(samples.PHOTOS_FOR_HR)[:8]]


@pytest.mark.parametrize("border", ["valid", "reflect"])
def test_a_model_against_itself(photographs, border):
    """Its own kernels of another seed as truth: covered, at the distance of fresh ones,
    ratio near 1; and the report is JSON."""
    network = tiny.pdm(kernel=KERNEL, border=border)
    truth = network.sample_kernels(60, seed=5)
    report = measure_degradation(network, photographs, true_kernels=truth)
    found = report.true_kernels
    assert found.learned.coverage > 0.9 and found.fresh.coverage > 0.9
    assert found.best_single.coverage < 0.5
    distance = found.learned.moment_distance_px
    assert distance < 2 * found.fresh.moment_distance_px
    assert found.best_single.moment_distance_px > distance
    assert 0.6 < found.spread_ratio.oriented < 1.6
    assert report.real_lr is None and report.true_noise is None
    again = measure_degradation(network, photographs, true_kernels=truth).to_json()
    assert json.dumps(report.to_json(), allow_nan=False) == json.dumps(again)


def test_noise_and_real_photographs(photographs):
    """Noise of known strength as truth gives the ratio of both; noisy LR photographs
    are told from the model's."""
    network = tiny.pdm(kernel=KERNEL)
    draw = np.random.default_rng(0)
    clean = draw.uniform(size=[6, 40, 40, 3])
    noise = 0.05 * draw.normal(size=clean.shape)
    real = [half for x in photographs for half in (x[::2, :60:2], x[::2, 60::2])]
    report = measure_degradation(
        network,
        photographs,
        true_noise=list(zip(clean, noise, strict=True)),
        real_lr=real,
    )
    assert report.true_noise.true.std == pytest.approx(0.05, rel=0.02)
    rounding = 1 / 255 / np.sqrt(12)  # what storing adds to the learned noise
    stored = np.hypot(report.noise.std, rounding)
    assert report.true_noise.ratio == pytest.approx(stored / 0.05, rel=0.05)
    assert 0 < report.real_lr.synthesised.kernel_distance.p_value <= 1
    assert report.real_lr.real.classifier.low < 0.6


def test_noise_is_compared_as_stored(photographs):
    """A model against its own LR images, on photographs that are white in large parts:
    what white cuts off is missing on both sides, not in the truth alone."""
    noise = dataclasses.replace(tiny.NOISE, initial_std=1.0)
    network = tiny.pdm(kernel=KERNEL, noise=noise)
    bright = [np.where(x > 99, 255, x + 100).astype(np.uint8) for x in photographs]
    crops = np.stack([x[:108, :108] for x in bright]).astype(np.float32) / 255.0
    degraded = network(crops, *network.draw(len(crops), 50, 50, tf.constant([9, 9])))
    stored = to_float(to_u8(degraded.lr.numpy()))
    clean = degraded.clean_lr.numpy()
    truth = list(zip(clean, stored - clean, strict=True))
    found = measure_degradation(network, bright, true_noise=truth)
    assert found.noise.std > 2 * found.true_noise.true.std > 0.02
    assert found.true_noise.learned.std < found.noise.std / 2
    assert found.true_noise.ratio_by_level[-1] == pytest.approx(1.0, abs=0.05)
    assert found.true_noise.worst_deviation < 0.1


def test_kernels_that_depend_on_the_image(photographs):
    """They are drawn for the photographs that are given, so others give others."""
    network = tiny.pdm(kernel=dataclasses.replace(KERNEL, use_image=True))
    first = measure_degradation(network, photographs).kernels
    assert first.count == 256 and first.spread.oriented > 0
    other = measure_degradation(network, [255 - x for x in photographs]).kernels
    assert first != other


def test_noise_of_a_pair_is_what_was_added():
    """Exact for each border and an asymmetric kernel: catches a shifted grid."""
    draw = np.random.default_rng(0)
    hr, kernel = draw.uniform(size=[48, 40, 3]), gaussians(1, 0, side=7)[0]
    kernel[0, 1] += 0.3
    kernel /= kernel.sum()
    padded = np.pad(hr, [(3, 3), (3, 3), (0, 0)])
    clean = np.zeros([12, 10, 3])
    for i, j in np.ndindex(12, 10):
        window = padded[4 * i : 4 * i + 7, 4 * j : 4 * j + 7]
        clean[i, j] = (window * kernel[..., None]).sum(axis=(0, 1))
    noise = draw.normal(size=clean.shape)
    found_clean, found = noise_of_pair(hr, clean + noise, kernel, 4)
    height, width = found.shape[:2]
    np.testing.assert_allclose(found, noise[1 : 1 + height, 1 : 1 + width], atol=1e-12)
    np.testing.assert_allclose(found_clean, clean[1 : 1 + height, 1 : 1 + width])
    assert (height, width) == (11, 9)


def test_refusals(photographs):
    network = tiny.pdm(kernel=KERNEL)
    with pytest.raises(UserError, match="48 pixels a side"):
        measure_degradation(network, [photographs[0][:40, :40]])
    with pytest.raises(UserError, match="12 true kernels"):
        measure_degradation(network, photographs, true_kernels=gaussians(8, 0))
