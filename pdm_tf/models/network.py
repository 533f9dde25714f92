"""The base of every network: a Keras model made from a frozen config dataclass.

A config knows how to build its network (`build`), a network knows its config, and both
survive Keras's own serialisation, so `model.save("x.keras")` works without custom
objects. Networks compute in the type of their policy and return float32.
"""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf


class Network(keras.Model):
    """A Keras model that is rebuilt from (config, dtype).

    Class attribute `config_class` names the frozen dataclass; subclasses make their
    layers in `__init__` and define `call`.
    """

    config_class: ClassVar[type]

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
        """Nothing: `from_config` returns a built network.

        Keras would call `build` with the shapes it has recorded, which it cannot do for
        networks that take several tensors.
        """

    @property
    def layer_dtype(self) -> str:
        """Name of the policy, to hand to layers."""
        return self.dtype_policy.name


def recomputed(layer_names: Sequence[str]) -> contextlib.AbstractContextManager[Any]:
    """Layers of these names made within it keep no inner activations for the gradient.

    They compute them again (gradient checkpointing, Chen et al. 2016,
    arXiv:1604.06174); what goes in and comes out is kept.
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
      ValueError: one of them is smaller than 1.
    """
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(
                f"`{name}` of {type(config).__name__} must be at least 1. "
                f"Received: {getattr(config, name)}."
            )


def require_choice(config: Any, name: str, choices: tuple[str, ...]) -> None:
    """Checks a setting that takes one of a few words.

    Raises:
      ValueError: it is none of them.
    """
    if getattr(config, name) not in choices:
        raise ValueError(
            f"`{name}` of {type(config).__name__} must be one of {', '.join(choices)}. "
            f"Received: {getattr(config, name)!r}."
        )
