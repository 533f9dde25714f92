"""Numbers and reasons of a network that maps HR to LR images without a kernel."""

import json

import numpy as np
import pytest
import tensorflow as tf

from pdm_tf import samples
from pdm_tf.core.images import list_images, read_rgb_u8
from pdm_tf.degradations import KernelModuleConfig, NoiseModuleConfig, PDMConfig
from pdm_tf.evaluation.degradation import learned_kernels, measure_degradation
from tests.oracles.kernel_oracle import gaussians
from tests.support.rival_runs import tiny_degrader
from tests.support.tiny_nets import tiny_pdm

KERNELS = gaussians(24, 0, side=7)


@pytest.fixture(scope="module")
def photographs():
    return [read_rgb_u8(p)[:150, :150] for p in list_images(samples.PHOTOS_FOR_HR)[:8]]


@pytest.mark.parametrize("reduction", ["bicubic", "conv"])
def test_what_it_lacks_is_null_with_a_reason(photographs, reduction):
    network = tiny_degrader(noise_channels=0, reduction=reduction)
    real = [x[::2, ::2] for x in photographs]
    truth = [(np.ones([20, 20, 3]) / 2, np.zeros([20, 20, 3]) + 0.01)] * 2
    report = measure_degradation(
        network,
        photographs,
        true_kernels=KERNELS,
        true_noise=truth,
        real_lr=real,
    ).to_json()
    lacking = {"kernels", "true_kernels", "noise", "true_noise"}
    assert set(report["reasons"]) == lacking
    assert {name for name, value in report.items() if value is None} == lacking
    assert "no kernel that could be shown" in report["reasons"]["true_kernels"]
    assert "draws nothing" in report["reasons"]["noise"]
    assert 0.0 <= report["real_lr"]["synthesised"]["classifier"]["accuracy"] <= 1.0
    assert report["fidelity"]["correlation"] > 0.9
    assert json.dumps(report, allow_nan=False)
    assert learned_kernels(network, photographs, 3) is None


def test_noise_is_told_by_two_draws(photographs):
    """As strong as that of many draws about their mean; and as a file holds it."""
    network = tiny_degrader(3, amount=0.03)
    found = measure_degradation(network, photographs)
    assert set(found.reasons) == {"kernels", "true_kernels"}
    hr = np.stack([x[20:100, 20:100] for x in photographs]).astype("float32") / 255.0
    draws = [
        network.synthesise(tf.constant(hr), tf.constant([7, i])) for i in range(40)
    ]
    lr = np.stack([x.lr.numpy() for x in draws])[:, :, 4:-4, 4:-4]
    expected = np.sqrt(lr.var(axis=0, ddof=1).mean())
    assert expected > 0.005
    assert found.noise.std == pytest.approx(expected, rel=0.15)
    flat = np.full([40, 40, 3], 0.5)
    noise = expected * np.random.default_rng(0).normal(size=flat.shape)
    compared = measure_degradation(
        network, photographs, true_noise=[(flat, noise)] * 4
    ).true_noise
    assert compared.ratio == pytest.approx(1.0, rel=0.2)


def test_it_is_measured_where_it_sees_no_border(photographs):
    """A network that copies its bicubic reduction differs from it by rounding alone."""
    same = tiny_degrader(amount=0.0, noise_channels=0)
    found = measure_degradation(same, photographs).fidelity
    assert found.change < 0.5 / 255 and found.cast < 0.5 / 255
    assert found.correlation > 0.999


def test_estimated_kernels_compare_both_kinds(photographs):
    """A PDM's estimates cover what its kernels do; one that copies covers little."""
    kernel = KernelModuleConfig(
        kernel_size=7, filters=4, num_blocks=1, initial="gaussians"
    )
    pdm = PDMConfig(scale=2, kernel=kernel, noise=None).build()
    truth = pdm.sample_kernels(60, seed=5)
    found = measure_degradation(pdm, photographs, true_kernels=truth)
    estimated, known = found.estimated_kernels, found.true_kernels
    assert estimated.count == known.count == 30
    assert known.learned.coverage > 0.9
    assert estimated.learned.coverage == pytest.approx(known.learned.coverage, abs=0.12)
    copies = tiny_degrader(amount=0.0, noise_channels=0)
    others = measure_degradation(copies, photographs, true_kernels=truth)
    assert others.true_kernels is None
    assert others.estimated_kernels.learned.coverage < 0.5
    assert others.estimated_kernels.fresh == estimated.fresh


def test_a_pdm_lacks_nothing(photographs):
    """Its report has what it had, and no reasons but that of a missing module."""
    report = measure_degradation(
        tiny_pdm(), photographs, true_kernels=KERNELS
    ).to_json()
    assert report["reasons"] == {}
    for name in ("kernels", "noise", "true_kernels", "estimated_kernels", "fidelity"):
        assert report[name], name
    blur = measure_degradation(tiny_pdm(noise=None), photographs).to_json()
    assert set(blur["reasons"]) == {"noise", "true_noise"}
    assert isinstance(tiny_pdm().config.noise, NoiseModuleConfig)
