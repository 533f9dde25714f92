"""CinCGAN, CycleSR and Maeda with networks small enough to step eagerly."""

from typing import Any

import keras

from pdm_tf.degradations import Degrader, DegraderConfig
from pdm_tf.methods import (
    CinCGAN,
    CinCGANConfig,
    CycleSR,
    CycleSRConfig,
    Maeda,
    MaedaConfig,
)
from pdm_tf.models.sr.translator import Translator, TranslatorConfig
from tests.support.weights import shake
from tests.unit.methods import tiny

_TRUNK = {"filters": 4, "num_blocks": 1}


def translator() -> Translator:
    """A translator that is not at its neutral start."""
    return shaken(TranslatorConfig(**_TRUNK).build(name="translator"))


def degrader(name: str = "degradation", **settings: Any) -> Degrader:
    """A degrader of scale 2 after a bicubic reduction, likewise."""
    settings = {"scale": tiny.SCALE, "reduction": "bicubic", **_TRUNK, **settings}
    return shaken(DegraderConfig(**settings).build(name=name))


def shaken(network: Any) -> Any:
    """The network with all weights moved a little."""
    shake(network, amount=0.05)
    return network


def cincgan(
    *, seed: int = 0, learning_rate: float = 1e-3, clip_norm: float = 50.0, **settings
) -> CinCGAN:
    """A CinCGAN with the parts that its settings have."""
    keras.utils.set_random_seed(1)
    config = CinCGANConfig(**{"first_steps": 2, "buffer_size": 0, **settings})
    parts = {
        "translator": translator(),
        "degradation": degrader(),
        "clean_discriminator": tiny.discriminator(),
    }
    if config.has_second:
        parts |= {
            "sr": tiny.sr(),
            "hr_degradation": degrader("hr_degradation", reduction="conv"),
            "hr_discriminator": tiny.discriminator(),
        }
    return CinCGAN(
        config,
        **parts,
        scale=tiny.SCALE,
        lr_patch=tiny.LR_PATCH,
        learning_rate=learning_rate,
        clip_norm=clip_norm,
        seed=seed,
    )


def cyclesr(
    *, seed: int = 0, learning_rate: float = 1e-3, clip_norm: float = 50.0, **settings
) -> CycleSR:
    """A CycleSR with the parts that its settings have."""
    keras.utils.set_random_seed(1)
    config = CycleSRConfig(**{"first_steps": 2, "buffer_size": 0, **settings})
    return CycleSR(
        config,
        translator=translator(),
        degradation=degrader(),
        discriminator=tiny.discriminator(),
        clean_discriminator=tiny.discriminator(),
        sr=tiny.sr() if config.has_second else None,
        scale=tiny.SCALE,
        lr_patch=tiny.LR_PATCH,
        learning_rate=learning_rate,
        clip_norm=clip_norm,
        seed=seed,
    )


def maeda(
    config: MaedaConfig | None = None,
    *,
    seed: int = 0,
    learning_rate: float = 1e-3,
    clip_norm: float = 50.0,
    **networks: Any,
) -> Maeda:
    """A Maeda; `networks` replaces some of those that its settings have."""
    keras.utils.set_random_seed(1)
    config = config or MaedaConfig()
    judges = ["discriminator", "clean_discriminator"]
    judges += ["hr_discriminator"] if config.hr_adversarial_weight else []
    parts = {
        "translator": translator(),
        "degradation": degrader(noise_channels=1),
        "sr": tiny.sr(),
        **{name: tiny.discriminator() for name in judges},
        **networks,
    }
    return Maeda(
        config,
        **parts,
        scale=tiny.SCALE,
        lr_patch=tiny.LR_PATCH,
        learning_rate=learning_rate,
        clip_norm=clip_norm,
        seed=seed,
    )
