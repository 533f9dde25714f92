"""Small networks with weights that are not at their start, and bundles of them."""

import numpy as np

from pdm_tf.bundles.bundle import save_bundle
from pdm_tf.core.images import read_rgb_u8
from pdm_tf.degradations import (
    KernelModuleConfig,
    NoiseModuleConfig,
    PDMConfig,
)
from pdm_tf.models.sr import EDSRConfig, RRDBNetConfig
from pdm_tf.samples import PHOTOS_FOR_VALIDATION
from tests.support.weights import shake

EDSR_TINY = EDSRConfig(num_blocks=1, filters=4)
RRDB_TINY = RRDBNetConfig(num_blocks=1, filters=4, growth=2)


def built(config, seed=0):
    """A network with random biases too, and outputs in about [0, 1]."""
    network = config.build()
    rng = np.random.default_rng(seed)
    for variable in network.variables:
        value = np.asarray(variable.value)
        noise = rng.normal(0.0, 0.02, value.shape)
        variable.assign((value + noise).astype(np.float32))
    return network


def tiny_pdm(seed=0, **changes):
    """A PDM whose every variable is random; `changes` replace settings."""
    settings = {
        "scale": 2,
        "kernel": KernelModuleConfig(
            kernel_size=5, latent_channels=4, filters=8, num_blocks=1
        ),
        "noise": NoiseModuleConfig(filters=8, num_blocks=1),
    }
    pdm = PDMConfig(**{**settings, **changes}).build()
    shake(pdm, seed=seed, amount=0.2)
    return pdm


def sr_bundle(folder, config=EDSR_TINY, seed=0, grid=None):
    """A bundle of `built(config)`; returns the network."""
    network = built(config, seed)
    save_bundle(network, folder, step=7, notes={}, grid=grid)
    return network


def photo(height, width):
    """[height, width, 3] uint8 of a photograph."""
    image = read_rgb_u8(PHOTOS_FOR_VALIDATION / "chelsea.jpg")
    return np.ascontiguousarray(image[60 : 60 + height, 80 : 80 + width])
