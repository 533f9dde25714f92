"""A small example of every network that the product can make, with its inputs.

A new line in a registry appears here by itself; a new kind of network needs an entry
in `EXAMPLES`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from pdm_tf.bundles.chain import ChainConfig, Stage
from pdm_tf.bundles.networks import SR_NETS, of_role
from pdm_tf.degradations import (
    DegraderConfig,
    KernelModuleConfig,
    NoiseModuleConfig,
    PDMConfig,
)
from pdm_tf.models.features import LPIPSConfig
from pdm_tf.models.sr import EDSRConfig, RRDBNetConfig, TranslatorConfig

_SMALL = {
    "filters": 4,
    "num_blocks": 1,
    "growth": 3,
    "max_filters": 8,
    "input_size": 32,
}


@dataclasses.dataclass(frozen=True)
class Example:
    """A config, the role of its bundle, and a call of the network.

    Attributes:
      call: network, seed -> float32 output, for inputs that are a function of the seed.
    """

    config: Any
    role: str
    call: Callable[[Any, int], tf.Tensor]


def shrunk(config: Any, **changes: Any) -> Any:
    """Makes the network as narrow and shallow as a test wants it."""
    names = {field.name for field in dataclasses.fields(config)}
    small = {name: value for name, value in _SMALL.items() if name in names}
    return dataclasses.replace(config, **{**small, **changes})


def random_image(seed: int, *shape: int) -> tf.Tensor:
    """Uniform in [0, 1], float32."""
    return tf.constant(np.random.default_rng(seed).random(shape), tf.float32)


def random_normal(seed: int, *shape: int) -> tf.Tensor:
    """Standard normal, float32."""
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


def _on_image(network: Any, seed: int) -> tf.Tensor:
    return network(random_image(seed, 2, 13, 10, 3))


def _logits(network: Any, seed: int) -> tf.Tensor:
    size = getattr(network.config, "input_size", None)
    return network(random_image(seed, 2, size or 13, size or 10, 3))


def _on_latent(network: Any, seed: int) -> tf.Tensor:
    channels = network.config.latent_channels
    return network(random_normal(seed, *network.latent_shape(2, 5, 4)[:3], channels))


def _on_latent_and_image(network: Any, seed: int) -> tf.Tensor:
    channels = network.config.latent_channels
    z_n = random_normal(seed, 2, 6, 5, channels)
    return network(z_n, random_image(seed + 1, 2, 6, 5, 3))


def _degraded(network: Any, seed: int) -> tf.Tensor:
    scale, margin = network.config.scale, network.config.margin
    size = 6 * scale + 2 * margin
    latents = network.draw(2, 6, 6, tf.constant([seed, 1]))
    return network(random_image(seed, 2, size, size, 3), *latents).lr


def _deepest_features(network: Any, seed: int) -> tf.Tensor:
    tap = network.tap_names[-1]
    return network(random_image(seed, 2, 37, 34, 3), taps=(tap,))[tap]


def _distance(network: Any, seed: int) -> tf.Tensor:
    image = random_image(seed, 2, 37, 34, 3)
    return network(image, random_image(seed + 1, 2, 37, 34, 3))


def chain_config(*configs: Any) -> ChainConfig:
    """The chain of networks with these configs."""
    return ChainConfig(
        tuple(Stage(type(c).__name__.removesuffix("Config"), c) for c in configs)
    )


_KERNEL = KernelModuleConfig(
    kernel_size=5, latent_channels=4, filters=4, num_blocks=1, initial_std=0.1
)
_NOISE = NoiseModuleConfig(latent_channels=3, filters=4, num_blocks=1, initial_std=0.1)
_GAUSSIANS = dataclasses.replace(_KERNEL, initial="gaussians")
_SPATIAL = dataclasses.replace(_KERNEL, spatial=True)

EXAMPLES: dict[str, Example] = {
    **{f"sr/{k}": Example(shrunk(v), "sr", _on_image) for k, v in SR_NETS.items()},
    **{
        f"discriminator/{k}": Example(shrunk(v.config), "discriminator", _logits)
        for k, v in of_role("discriminator").items()
    },
    **{
        f"features/{k}": Example(shrunk(v.config), "features", _deepest_features)
        for k, v in of_role("features").items()
    },
    **{
        f"lpips/{net}": Example(LPIPSConfig(net, filters=4), "lpips", _distance)
        for net in ("alex", "vgg", "squeeze")
    },
    "sr/rrdbnet_unshuffled": Example(
        RRDBNetConfig(filters=4, growth=3, num_blocks=1, scale=2, unshuffle=2),
        "sr",
        _on_image,
    ),
    "sr/chain": Example(
        chain_config(
            EDSRConfig(filters=4, num_blocks=1, scale=1),
            RRDBNetConfig(filters=4, growth=3, num_blocks=1, scale=2),
        ),
        "sr",
        _on_image,
    ),
    "degrader/bicubic": Example(
        DegraderConfig(filters=4, num_blocks=1, scale=2, noise_channels=1),
        "degradation",
        _degraded,
    ),
    "degrader/conv": Example(
        DegraderConfig(
            filters=4,
            num_blocks=1,
            scale=2,
            reduction="conv",
            activation="prelu",
            output="sigmoid",
        ),
        "degradation",
        _degraded,
    ),
    "sr/translator_of_windows": Example(
        TranslatorConfig(
            filters=4,
            num_blocks=1,
            head=(7, 3),
            tail=(3, 7),
            activation="leaky_relu",
            head_activation=True,
        ),
        "sr",
        _on_image,
    ),
    "kernel_module": Example(_KERNEL, "kernel_module", _on_latent),
    "kernel_module/spatial": Example(_SPATIAL, "kernel_module", _on_latent),
    "noise_module": Example(_NOISE, "noise_module", _on_latent_and_image),
    "pdm": Example(
        PDMConfig(scale=2, kernel=_KERNEL, noise=_NOISE), "degradation", _degraded
    ),
    "pdm/without_noise": Example(
        PDMConfig(scale=2, kernel=_KERNEL, noise=None, border="reflect"),
        "degradation",
        _degraded,
    ),
    "pdm/of_image_alone": Example(
        PDMConfig(
            scale=2,
            kernel=dataclasses.replace(_SPATIAL, use_image=True, latent="zero"),
            noise=dataclasses.replace(_NOISE, latent="zero", zero_mean=False),
        ),
        "degradation",
        _degraded,
    ),
    "pdm/of_image_and_latent": Example(
        PDMConfig(
            scale=2, kernel=dataclasses.replace(_GAUSSIANS, use_image=True), noise=None
        ),
        "degradation",
        _degraded,
    ),
    "pdm/half_pixel_gaussians": Example(
        PDMConfig(scale=2, kernel=_GAUSSIANS, noise=_NOISE, grid="half_pixel"),
        "degradation",
        _degraded,
    ),
}
