"""The receptive radius is what the network really sees, pixel by pixel.

Found by changing one LR pixel of an image that is zero inside the network: the furthest
output pixel that answers. Weights of one keep the change from cancelling or fading.
"""

import numpy as np
import pytest

from pdm_tf.models.sr import EDSRConfig, RRDBNetConfig
from pdm_tf.models.sr.edsr import DIV2K_MEAN

NETWORKS = [
    EDSRConfig(num_blocks=2, filters=4),
    EDSRConfig(num_blocks=1, filters=4, scale=3),
    EDSRConfig(num_blocks=3, filters=4, scale=2),
    EDSRConfig(num_blocks=1, filters=4, scale=1),
    EDSRConfig(num_blocks=1, filters=4, scale=8),
    RRDBNetConfig(num_blocks=1, filters=4, growth=2),
    RRDBNetConfig(num_blocks=1, filters=4, growth=2, scale=2),
    RRDBNetConfig(num_blocks=1, filters=4, growth=2, scale=3),
    RRDBNetConfig(num_blocks=1, filters=4, growth=2, scale=2, unshuffle=2),
    RRDBNetConfig(num_blocks=1, filters=4, growth=2, scale=1, unshuffle=4),
]


def measured_radius(config) -> float:
    """LR pixels between the changed pixel and the edge of what answers."""
    network = config.build()
    for variable in network.trainable_variables:
        is_bias = variable.path.endswith("bias")
        variable.assign(np.full(variable.shape, 0.0 if is_bias else 1.0, np.float32))
    middle = config.receptive_radius + 3
    zero = np.float32(DIV2K_MEAN) if isinstance(config, EDSRConfig) else 0.0
    lr = np.zeros([1, 1 + 2 * middle, 1 + 2 * middle, 3], np.float32) + zero
    changed = lr.copy()
    changed[0, middle, middle] += 0.5
    answers = np.abs(network(lr).numpy() - network(changed).numpy())[0].max(axis=-1)
    rows, columns = np.nonzero(answers > 0)
    scale = config.scale
    return max(
        middle - min(rows.min(), columns.min()) / scale,
        (max(rows.max(), columns.max()) + 1) / scale - (middle + 1),
    )


@pytest.mark.parametrize("config", NETWORKS, ids=str)
def test_radius_is_the_measured_one_rounded_up(config):
    assert np.ceil(measured_radius(config)) == config.receptive_radius


def test_radius_of_the_papers_networks():
    """Counted by hand: 1 + 2 * 16 + 1 + 1 + 1/2 + 1/4, and 1 + 345 + 1 + ..."""
    assert EDSRConfig().receptive_radius == 36
    assert RRDBNetConfig().receptive_radius == 349
