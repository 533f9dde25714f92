"""The base of every network: a Keras model made from a frozen config dataclass.

A config knows how to build its network (`build`), a network knows its config, and both
survive Keras's own serialisation, so `model.save("x.keras")` works without custom
objects. Networks compute in the type of their policy and return float32.

SR networks answer four more questions, which `SRConfig` states and `SRNetwork` repeats:
how much they enlarge, how far they see, with how much overlap to cut large images, and
which of their layers may be recomputed.
"""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from pdm_tf.core.checks import require_not_below, require_one_of


class Network(keras.Model):
    """A Keras model that is rebuilt from (config, dtype).

    Subclasses make their layers in `__init__` and define `call`.

    Attributes:
      config_class: the frozen dataclass of the settings.
      role: what it is for, which decides the programs that take its bundle: "sr",
        "degradation", "discriminator", "features" or "lpips"; "" for a network that is
        only a part of others.
    """

    config_class: ClassVar[type]
    role: ClassVar[str] = ""

    def __init__(self, config: Any, *, dtype: Any = "float32", **kwargs: Any) -> None:
        super().__init__(dtype=dtype, **kwargs)
        if not isinstance(config, self.config_class):
            raise ValueError(
                f"`config` must be a {self.config_class.__name__}. "
                f"Received: {type(config).__name__}."
            )
        # Keras treats attributes of a model as state to track; a dataclass is plain.
        self._config = config

    @property
    def config(self) -> Any:
        """The frozen dataclass this network was made from."""
        return self._config

    @property
    def scale(self) -> int:
        """HR size / LR size; 1 for a network that has no scale."""
        return getattr(self._config, "scale", 1)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "config": dataclasses.asdict(self._config),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> "Network":
        fields = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in config["config"].items()
        }
        policy = keras.saving.deserialize_keras_object(config["dtype"])
        extras = set(config) - {"name", "dtype", "config"}
        return cls.config_class(**fields).build(
            policy.name, name=config.get("name"), **{key: config[key] for key in extras}
        )

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Does nothing, since `from_config` returns a built network.

        Keras would call `build` with the shapes it has recorded, which it cannot do for
        networks that take several tensors.
        """

    @property
    def layer_dtype(self) -> str:
        """Name of the policy, to pass to layers."""
        return self.dtype_policy.name


class SRConfig:
    """Base of the settings of SR networks, a frozen dataclass.

    It gives the properties that follow from the settings alone, before anything is
    built.

    Attributes:
      scale: HR size / LR size.
    """

    scale: int

    @property
    def receptive_radius(self) -> int:
        """How far an output pixel sees to each side, in LR pixels, rounded up."""
        raise NotImplementedError

    @property
    def overlap(self) -> int:
        """LR pixels to cut tiles with, so that their seams do not show.

        This is the receptive radius, with which tiles equal the whole image, unless a
        smaller one was measured to be enough.
        """
        return self.receptive_radius

    @property
    def multiple(self) -> int:
        """Side of the squares of LR pixels that are seen as one; tiles keep to them."""
        return 1

    @property
    def block_names(self) -> tuple[str, ...]:
        """Names of the layers that --recompute may compute twice, see `recomputed`."""
        return ()

    def build(self, dtype: str = "float32", name: str | None = None) -> "SRNetwork":
        """The network, with its variables."""
        raise NotImplementedError


class SRNetwork(Network):
    """lr [B, h, w, 3] float32 in [0, 1] -> sr [B, h*s, w*s, 3] float32, not clipped.

    Any h and w; each image of a batch is computed by itself. `config` is an `SRConfig`.

    Raises:
      ValueError: images of integers, whose values up to 255 would pass for light.
    """

    role = "sr"

    def __call__(self, lr: Any, *args: Any, **kwargs: Any) -> Any:
        dtype = getattr(lr, "dtype", None)
        if dtype is not None and not tf.as_dtype(dtype).is_floating:
            raise ValueError(
                "`lr` must be floating point in [0, 1]. Received the type "
                f"{tf.as_dtype(dtype).name}; divide 8-bit images by 255, or use "
                "pdm_tf.api."
            )
        return super().__call__(lr, *args, **kwargs)

    @property
    def architecture(self) -> str:
        """The network's usual name: that of its class."""
        return type(self).__name__

    # A method, since Keras saves what properties hold.
    def in_a_row(self) -> tuple["SRNetwork", ...]:
        """The networks that it consists of: itself, or the stages of a chain."""
        return (self,)

    @property
    def receptive_radius(self) -> int:
        """How far an output pixel sees to each side, in LR pixels, rounded up."""
        return self.config.receptive_radius

    @property
    def overlap(self) -> int:
        """LR pixels to cut tiles with, see `SRConfig.overlap`."""
        return self.config.overlap

    @property
    def multiple(self) -> int:
        """Where tiles may begin, see `SRConfig.multiple`."""
        return self.config.multiple

    @property
    def block_names(self) -> tuple[str, ...]:
        """Names of the layers that --recompute may compute twice."""
        return self.config.block_names


def recomputed(layer_names: Sequence[str]) -> contextlib.AbstractContextManager[Any]:
    """Makes layers of these names, built within it, recompute their inner activations.

    Only their inputs and outputs are kept for the gradient (gradient checkpointing,
    Chen et al. 2016, arXiv:1604.06174).
    """
    if not layer_names:
        return contextlib.nullcontext()
    return keras.RematScope(mode="list_of_layers", layer_names=list(layer_names))


def to_compute(network: keras.Model, x: tf.Tensor) -> tf.Tensor:
    """Casts an image to the type the network computes in."""
    return tf.cast(x, network.compute_dtype)


def require_positive(config: Any, *names: str) -> None:
    """Checks integer settings of a config.

    Raises:
      ValueError: a setting is smaller than 1.
    """
    require_not_below(config, ValueError, **dict.fromkeys(names, 1))


def require_choice(config: Any, name: str, choices: tuple[str, ...]) -> None:
    """Checks a setting that takes one of a few words.

    Raises:
      ValueError: the setting is none of them.
    """
    require_one_of(config, ValueError, **{name: choices})
