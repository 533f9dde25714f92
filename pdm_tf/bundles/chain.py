"""`Chain`: SR networks in a row that are used as one.

Methods with a translator ship this way (CinCGAN: LR -> clean LR -> SR): the chain is
validated, saved, evaluated and exported as a whole, so no part can be left behind. Each
stage gets the output of the one before unchanged: not clipped, not rounded.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pdm_tf.bundles.networks import CLASSES
from pdm_tf.models.network import SRConfig, SRNetwork


@dataclasses.dataclass(frozen=True)
class Stage:
    """One network of a chain.

    Attributes:
      network: its class, e.g. "EDSR".
      config: its frozen dataclass.
    """

    network: str
    config: SRConfig


@dataclasses.dataclass(frozen=True)
class ChainConfig(SRConfig):
    """Settings of `Chain`.

    Attributes:
      stages: in the order in which they work; may be given as `dataclasses.asdict`
        leaves them, which is how they are stored.
    """

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        stages = tuple(map(_stage, self.stages))
        object.__setattr__(self, "stages", stages)
        if not stages:
            raise ValueError("`stages` of ChainConfig must not be empty.")

    @property
    def scale(self) -> int:
        """The product of the stages' scales."""
        return math.prod(stage.config.scale for stage in self.stages)

    @property
    def receptive_radius(self) -> int:
        """The sum of the stages' radii, in pixels of the chain's input."""
        return self._reach("receptive_radius")

    @property
    def overlap(self) -> int:
        """The sum of the stages' overlaps, in pixels of the chain's input."""
        return self._reach("overlap")

    @property
    def multiple(self) -> int:
        """The least number of the chain's pixels that are whole squares of all stages.

        Of k input pixels a stage gets k * grid; these divide by its multiple m where k
        divides by m / gcd(m, grid).
        """
        multiple, grid = 1, 1
        for stage in self.stages:
            squares = stage.config.multiple
            multiple = math.lcm(multiple, squares // math.gcd(squares, grid))
            grid *= stage.config.scale
        return multiple

    @property
    def block_names(self) -> tuple[str, ...]:
        """Names of all stages' layers."""
        names = (name for stage in self.stages for name in stage.config.block_names)
        return tuple(dict.fromkeys(names))

    def _reach(self, name: str) -> int:
        reach, grid = 0, 1
        for stage in self.stages:
            # A pixel d fine pixels away lies in an input pixel at most ceil(d / grid)
            # away.
            reach += math.ceil(getattr(stage.config, name) / grid)
            grid *= stage.config.scale
        return reach

    def build(self, dtype: str = "float32", name: str | None = None) -> "Chain":
        """The networks, with their variables."""
        stages = [
            stage.config.build(dtype, name=f"stage_{i}")
            for i, stage in enumerate(self.stages)
        ]
        return _built(self, stages, dtype, name)


@keras.saving.register_keras_serializable("pdm_tf")
class Chain(SRNetwork):
    """lr [B, h, w, 3] float32 in [0, 1] -> sr [B, h*s, w*s, 3] float32, not clipped.

    It is made by `ChainConfig.build`, or from built networks by `chained`.

    Attributes:
      stages: the networks; a chain has no variables besides theirs.
    """

    config_class = ChainConfig

    def __init__(
        self, config: ChainConfig, stages: Sequence[SRNetwork] = (), **kwargs: Any
    ) -> None:
        super().__init__(config, **kwargs)
        self.stages = list(stages)

    @property
    def architecture(self) -> str:
        """Names of the stages, e.g. "EDSR+RRDBNet"."""
        return "+".join(stage.architecture for stage in self.stages)

    def in_a_row(self) -> tuple[SRNetwork, ...]:
        """The stages."""
        return tuple(self.stages)

    def call(self, lr: tf.Tensor, training: bool = False) -> tf.Tensor:
        for stage in self.stages:
            lr = stage(lr, training=training)
        return lr


def chained(networks: Sequence[SRNetwork], name: str | None = None) -> Chain:
    """Makes one network of built ones, whose variables it shares."""
    config = ChainConfig(
        tuple(Stage(type(network).__name__, network.config) for network in networks)
    )
    return _built(config, networks, networks[0].dtype_policy.name, name)


def _built(
    config: ChainConfig, stages: Sequence[SRNetwork], dtype: str, name: str | None
) -> Chain:
    network = Chain(config, stages, dtype=dtype, name=name)
    network(np.zeros([1, 8, 8, 3], np.float32))
    return network


def _stage(stage: Stage | Mapping[str, Any]) -> Stage:
    if isinstance(stage, Mapping):
        name, settings = stage["network"], stage["config"]
    else:
        name, settings = stage.network, stage.config
    cls = CLASSES.get(name)
    if cls is None or cls.role != "sr":
        networks = ", ".join(n for n, c in CLASSES.items() if c.role == "sr")
        raise ValueError(
            f"`stages` of ChainConfig must be of {networks}. Received: {name}."
        )
    if isinstance(settings, Mapping):
        fields = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in settings.items()
        }
        settings = cls.config_class(**fields)
    return Stage(name, settings)
