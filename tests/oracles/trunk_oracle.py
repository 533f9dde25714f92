"""The residual trunk of both degradation modules, in plain NumPy.

head -> norm -> ReLU, then x + second(ReLU(norm(first(x)))) per block, as in the table
of the released code. Weights come as dictionaries of arrays; a 1x1 convolution is a
matrix product at each position.
"""

import numpy as np

from tests.oracles import conv_oracle

Params = dict[str, np.ndarray]


def layer(x: np.ndarray, params: Params) -> np.ndarray:
    """[B, h, w, Cin] -> [B, h, w, Cout] by kernel [Cin, Cout] or [K, K, Cin, Cout]."""
    if params["kernel"].ndim == 2:
        return x @ params["kernel"] + params["bias"]
    same = conv_oracle.same_conv
    return np.stack([same(image, params["kernel"], params["bias"]) for image in x])


def batch_norm(x: np.ndarray, params: Params, training: bool) -> np.ndarray:
    """Statistics of the batch, or the stored ones; epsilon 1e-5."""
    mean, variance = params["mean"], params["variance"]
    if training:
        values = x.reshape(-1, x.shape[-1])
        mean, variance = values.mean(axis=0), values.var(axis=0)
    return params["gamma"] * (x - mean) / np.sqrt(variance + 1e-5) + params["beta"]


def layer_norm(x: np.ndarray, params: Params) -> np.ndarray:
    """Over the channels of each position; epsilon 1e-5."""
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return params["gamma"] * (x - mean) / np.sqrt(variance + 1e-5) + params["beta"]


def normalise(x: np.ndarray, params: Params | None, training: bool) -> np.ndarray:
    """Normalises: not at all for None, by batch with a stored mean, else by layer."""
    if params is None:
        return x
    return (
        batch_norm(x, params, training) if "mean" in params else layer_norm(x, params)
    )


def trunk(x: np.ndarray, weights: dict, training: bool) -> np.ndarray:
    """`weights`: "head", "head_norm", and lists "firsts", "norms", "seconds"."""
    head = layer(x, weights["head"])
    x = np.maximum(normalise(head, weights["head_norm"], training), 0)
    for first, norm, second in zip(
        weights["firsts"], weights["norms"], weights["seconds"], strict=True
    ):
        branch = np.maximum(normalise(layer(x, first), norm, training), 0)
        x = x + layer(branch, second)
    return x


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)
