"""Reads weights of the product's networks into the oracles' dictionaries."""

import keras
import numpy as np


def params_of(layer) -> dict[str, np.ndarray] | None:
    """Arrays of a Dense, convolution or normalisation layer; None stays None."""
    if layer is None:
        return None
    if isinstance(layer, keras.layers.BatchNormalization):
        return {
            "gamma": layer.gamma.numpy(),
            "beta": layer.beta.numpy(),
            "mean": layer.moving_mean.numpy(),
            "variance": layer.moving_variance.numpy(),
        }
    if isinstance(layer, keras.layers.LayerNormalization):
        return {"gamma": layer.gamma.numpy(), "beta": layer.beta.numpy()}
    return {"kernel": layer.kernel.numpy(), "bias": layer.bias.numpy()}


def trunk_params(trunk) -> dict:
    """Weights of a `ResidualTrunk`."""
    lists = ("firsts", "norms", "seconds")
    return {
        "head": params_of(trunk.head),
        "head_norm": params_of(trunk.head_norm),
        **{name: [params_of(x) for x in getattr(trunk, name)] for name in lists},
    }


def shake(network, seed=0, amount=0.3) -> None:
    """Random values for every variable, so that nothing is at its neutral start.

    Variances (moving ones) stay positive.
    """
    rng = np.random.default_rng(seed)
    for variable in network.variables:
        value = rng.normal(size=variable.shape) * amount
        if variable.path.endswith(("moving_variance", "gamma")):
            value = np.abs(value) + 0.5
        variable.assign(value.astype(np.float32))
