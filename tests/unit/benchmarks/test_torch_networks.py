"""The PyTorch side is the same network: parity with Keras, weights copied."""

import dataclasses

import numpy as np
import pytest

from pdm_tf.core.errors import UserError
from pdm_tf.models.sr import EDSRConfig, RRDBNetConfig
from tests.support.tiny_nets import EDSR_TINY, RRDB_TINY, built

pytest.importorskip(
    "torch", reason='needs PyTorch, the other side: pip install "pdm_tf[benchmark]"'
)
from pdm_tf.benchmarks import torch_networks  # noqa: E402

LR = np.random.default_rng(1).random((2, 7, 9, 3), np.float32)


def convolutions(network):
    """In the order in which they are applied, straight from the Keras layers."""
    values = [np.asarray(variable.value) for variable in network.variables]
    return [
        (kernel.transpose(3, 2, 0, 1).copy(), bias)
        for kernel, bias in zip(values[::2], values[1::2], strict=True)
    ]


def side(network, **options):
    return torch_networks.runner(
        type(network).__name__,
        dataclasses.asdict(network.config),
        convolutions(network),
        **{"channels_last": False, **options},
    )


@pytest.mark.parametrize(
    "config",
    [
        EDSR_TINY,
        EDSRConfig(num_blocks=2, filters=8, scale=3, residual_scale=0.1),
        EDSRConfig(num_blocks=1, filters=4, scale=1, rgb_range=1.0),
        RRDB_TINY,
        EDSRConfig(num_blocks=1, filters=4, rgb_mean=(0.1, 0.5, 0.2)),
        RRDBNetConfig(num_blocks=2, filters=8, growth=4, scale=8),
        RRDBNetConfig(num_blocks=1, filters=8, growth=4, scale=2, unshuffle=2),
        RRDBNetConfig(num_blocks=1, filters=8, growth=4, scale=1, unshuffle=4),
    ],
)
def test_parity_with_keras(config):
    network = built(config)
    expected = np.asarray(network(LR))
    assert np.abs(expected).max() > 0.01
    for channels_last in (False, True):
        sr = side(network, channels_last=channels_last)(LR)
        assert sr.dtype == np.float32 and sr.shape == expected.shape
        np.testing.assert_allclose(sr, expected, rtol=0, atol=1e-5)


def test_bfloat16_is_near_and_not_the_same():
    network = built(EDSR_TINY)
    sr = side(network, channels_last=True, bfloat16=True)(LR)
    difference = np.abs(sr - np.asarray(network(LR))).max()
    assert 1e-5 < difference < 0.05


def test_weights_that_do_not_fit():
    network = built(EDSR_TINY)
    config = dataclasses.asdict(network.config)
    weights = convolutions(network)
    for wrong, message in (
        (weights[:-1], "has 7 convolutions. Received: 6"),
        (weights[::-1], "A kernel must have the shape"),
    ):
        with pytest.raises(ValueError, match=message):
            torch_networks.runner("EDSR", config, wrong, channels_last=False)
    with pytest.raises(UserError, match="the architecture"):
        torch_networks.runner("SwinIR", {}, None, channels_last=False)
