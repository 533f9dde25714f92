"""Methods with networks small enough to step eagerly, and batches for them.

Every setting that the product may tune is written out here.
"""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.degradations import (
    DEGRADATIONS,
    PDM,
    KernelModuleConfig,
    NoiseModuleConfig,
    PDMConfig,
)
from pdm_tf.methods import (
    GANSR,
    PDMSR,
    PDMSRGAN,
    PDMSRConfig,
    PDMSRGANConfig,
    PixelSR,
    Supervised,
    SupervisedConfig,
    SupervisedGAN,
    SupervisedGANConfig,
)
from pdm_tf.methods.base import FULL_BATCH
from pdm_tf.models.discriminators import PatchGAN, PatchGANConfig
from pdm_tf.models.features import VGGConfig
from pdm_tf.models.sr import EDSR, EDSRConfig
from pdm_tf.training.step_function import update_networks

LR_PATCH = 8
BATCH = 3
SCALE = 2

KERNEL = KernelModuleConfig(
    kernel_size=5,
    latent_channels=4,
    latent="normal",
    filters=8,
    num_blocks=1,
    spatial=False,
    normalization="layer",
    initial="gaussian",
    initial_sigma_px=1.0,
    initial_std=0.05,
)
NOISE = NoiseModuleConfig(
    latent_channels=3,
    filters=8,
    num_blocks=1,
    conv_size=3,
    channels=3,
    use_image=True,
    normalization="layer",
    initial_std=0.02,
    output_scale=1.0,
)
DISCRIMINATOR = PatchGANConfig(
    filters=8, max_filters=16, strides=(1, 1, 1), normalization="none"
)
SR = EDSRConfig(scale=SCALE, filters=8, num_blocks=1)
METHOD = PDMSRConfig(
    training="joint",
    degradation_steps=2,
    border="valid",
    grid="pixel0",
    fakes="8bit",
    centroid_weight=1.0,
    adversarial_weight=1.0,
    noise_weight=10.0,
    adversarial_beta_1=0.9,
    degradation_rate=0.25,
    anchor_weight=0.5,
    tap_decay=0.0,
    warmup_steps=0,
)


def pdm(kernel: Any = KERNEL, noise: Any = NOISE, policy="float32", **changes) -> PDM:
    """A degradation model of scale 2."""
    settings = {"scale": SCALE, "border": "valid", "grid": "pixel0", **changes}
    return PDMConfig(kernel=kernel, noise=noise, **settings).build(policy, name="pdm")


def discriminator(policy="float32", **changes) -> PatchGAN:
    """A discriminator of three layers."""
    config = dataclasses.replace(DISCRIMINATOR, **changes)
    return config.build(policy, name="discriminator")


def sr(policy="float32", **changes) -> EDSR:
    """An EDSR of one block."""
    return dataclasses.replace(SR, **changes).build(policy, name="sr")


def pdm_sr(
    networks: dict[str, Any] | None = None,
    *,
    seed: int = 0,
    learning_rate: float = 1e-3,
    clip_norm: float = 50.0,
    **settings: Any,
) -> PDMSR:
    """A PDMSR; `networks` replaces those that its kind of training has."""
    keras.utils.set_random_seed(1)
    config = dataclasses.replace(METHOD, **settings)
    parts = {
        "pdm": networks["pdm"] if networks and "pdm" in networks else pdm(),
        "discriminator": discriminator() if config.learns_degradation else None,
        "sr": sr() if config.learns_sr else None,
        **(networks or {}),
    }
    sr_network = parts.pop("sr")
    return PDMSR(
        config,
        **parts,
        sr_part=None if sr_network is None else PixelSR(sr_network),
        lr_patch=LR_PATCH,
        learning_rate=learning_rate,
        clip_norm=clip_norm,
        seed=seed,
    )


SRGAN = PDMSRGANConfig(
    **dataclasses.asdict(METHOD),
    pixel_weight=1.0,
    perceptual_weight=0.05,
    gan_weight=0.05,
    perceptual="conv5_4",
    gan_loss="lsgan",
    hr_fakes="8bit",
)
FEATURES = VGGConfig(depth=19, filters=2)


def pdm_srgan(
    networks: dict[str, Any] | None = None,
    *,
    seed: int = 0,
    learning_rate: float = 1e-3,
    clip_norm: float = 50.0,
    **settings: Any,
) -> PDMSRGAN:
    """A PDMSRGAN; `networks` replaces those that its settings have."""
    keras.utils.set_random_seed(1)
    config = dataclasses.replace(SRGAN, **settings)
    parts = {
        "pdm": networks["pdm"] if networks and "pdm" in networks else pdm(),
        "discriminator": discriminator() if config.learns_degradation else None,
        **gan_parts(config),
        **(networks or {}),
    }
    return PDMSRGAN(
        config,
        pdm=parts["pdm"],
        discriminator=parts["discriminator"],
        sr_part=GANSR.made_of(config, parts),
        lr_patch=LR_PATCH,
        learning_rate=learning_rate,
        clip_norm=clip_norm,
        seed=seed,
    )


def gan_parts(config: Any) -> dict[str, Any]:
    """The SR network and what a GANSR needs besides, made in this order."""
    parts: dict[str, Any] = {"sr": sr()}
    if config.gan_weight:
        parts["hr_discriminator"] = DISCRIMINATOR.build(name="hr_discriminator")
    if config.perceptual_weight:
        parts["features"] = FEATURES.build(name="features")
    return parts


def supervised(
    *,
    seed: int = 0,
    learning_rate: float = 1e-3,
    degradation: Any = "bicubic",
    **settings: Any,
) -> Supervised:
    """A Supervised on real pairs, or a degradation: one of the table, or an object."""
    keras.utils.set_random_seed(1)
    config = SupervisedConfig(**settings)
    return _on_pairs(
        Supervised, config, PixelSR(sr()), degradation, seed, learning_rate
    )


def supervised_gan(
    networks: dict[str, Any] | None = None,
    *,
    seed: int = 0,
    learning_rate: float = 1e-3,
    degradation: Any = "bicubic",
    **settings: Any,
) -> SupervisedGAN:
    """A SupervisedGAN; `networks` replaces those that its settings have."""
    keras.utils.set_random_seed(1)
    config = SupervisedGANConfig(**settings)
    part = GANSR.made_of(config, {**gan_parts(config), **(networks or {})})
    return _on_pairs(SupervisedGAN, config, part, degradation, seed, learning_rate)


def _on_pairs(
    method: Any,
    config: Any,
    part: Any,
    degradation: Any,
    seed: int,
    learning_rate: float,
) -> Any:
    if config.pairs == "real":
        degradation = None
    elif isinstance(degradation, str):
        degradation = DEGRADATIONS[degradation](SCALE)
    return method(
        config,
        sr_part=part,
        degradation=degradation,
        scale=SCALE,
        lr_patch=LR_PATCH,
        learning_rate=learning_rate,
        clip_norm=50.0,
        seed=seed,
    )


def batch_for(method: Any, seed: int = 0) -> dict[str, tf.Tensor]:
    """Random images of the sizes that the method wants, on the 8-bit grid."""
    rng = np.random.default_rng(seed)
    return {
        name: tf.constant(
            rng.integers(0, 256, (BATCH, patch, patch, 3)) / 255, tf.float32
        )
        for name, patch in method.patches.items()
    }


def step(method: Any, batch: Any, index: tf.Tensor) -> dict[str, tf.Tensor]:
    """One step: gradients, updates; also within a graph, of the first phase."""
    learned = method.train_step_for(0)(batch, index, FULL_BATCH)
    norms = update_networks(method.networks, method.optimizers, learned.gradients)
    return {**learned.scalars, **norms}


def run(method: Any, steps: int, start: int = 0) -> list[dict[str, float]]:
    """Takes steps as the loop does; a step's batch is a function of its index."""
    traces = []
    for index in range(start, start + steps):
        learned = method.train_step_for(index)(
            batch_for(method, index), tf.constant(index, tf.int64), FULL_BATCH
        )
        norms = update_networks(method.networks, method.optimizers, learned.gradients)
        scalars = {**learned.scalars, **norms}
        traces.append({name: float(value) for name, value in scalars.items()})
    return traces


def snapshot(network: Any) -> dict[str, np.ndarray]:
    """Path -> value of every variable."""
    return {v.path: v.numpy() for v in network.variables}


def moved(network: Any, before: dict[str, np.ndarray]) -> set[str]:
    """Paths of the variables that differ from the snapshot."""
    return {
        path
        for path, value in snapshot(network).items()
        if not np.array_equal(value, before[path])
    }


def trainable(network: Any) -> set[str]:
    """Paths of the trainable variables."""
    return {v.path for v in network.trainable_variables}


def first_gradients(optimizer: Any, network: Any) -> list[np.ndarray]:
    """Gradients of the first step, clipped, as Adam's first moment remembers them."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    moments = inner._momentums
    assert len(moments) == len(network.trainable_variables)
    return [m.numpy() / (1.0 - inner.beta_1) for m in moments]


def norm_of(arrays: list[np.ndarray]) -> float:
    """Global Euclidean norm."""
    return float(np.sqrt(sum(np.sum(np.square(a, dtype=np.float64)) for a in arrays)))
