"""Copying the weights of Keras networks into PyTorch modules of the same names."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

# The last part of PyTorch's name -> what Keras may call it.
_NAMES = {
    "weight": ("kernel", "gamma"),
    "bias": ("bias", "beta"),
    "running_mean": ("moving_mean",),
    "running_var": ("moving_variance",),
    "left_vector": ("left_vector",),
}


def load(network: nn.Module, weights: Mapping[str, np.ndarray]) -> None:
    """Copies variables into a module.

    Args:
      network: its parts have the names of the Keras layers.
      weights: path below the Keras network, "trunk/head/kernel" -> value. Convolutions
        are [kh, kw, in, out] or, as Dense layers, [in, out]. One output becomes as many
        equal ones as the module has: their mean is the same, and so is its gradient
        before the last layer.

    Raises:
      ValueError: a variable is missing or left over, or a size does not fit.
    """
    left = dict(weights)
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    with torch.no_grad():
        for name, tensor in tensors.items():
            *parts, last = name.split(".")
            if last not in _NAMES:  # what PyTorch counts besides
                continue
            paths = ["/".join([*parts, word]) for word in _NAMES[last]]
            path = next((path for path in paths if path in left), None)
            if path is None:
                raise ValueError(f"The weights must hold {name}. Received: {paths}.")
            value = _laid_out(left.pop(path), last, tensor.ndim)
            if value.shape[0] == 1 != tensor.shape[0]:
                value = np.repeat(value, tensor.shape[0], axis=0)
            if value.shape != tuple(tensor.shape):
                raise ValueError(
                    f"{name} must have the shape {tuple(tensor.shape)}. "
                    f"Received: {value.shape}."
                )
            tensor.copy_(torch.from_numpy(np.ascontiguousarray(value)))
    if left:
        raise ValueError(f"The module has no place for {sorted(left)}.")


def _laid_out(value: np.ndarray, last: str, rank: int) -> np.ndarray:
    if last != "weight" or rank == 1:
        return value
    if rank == 2:
        return value.T
    value = value.reshape(1, 1, *value.shape) if value.ndim == 2 else value
    return value.transpose(3, 2, 0, 1)
