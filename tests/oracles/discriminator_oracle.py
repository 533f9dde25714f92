"""The U-Net and the VGG-style discriminator in NumPy, layer by layer.

Weights come as functions name -> arrays; the layouts are written from the descriptions
of Real-ESRGAN's and ESRGAN's discriminators.
"""

from collections.abc import Callable

import numpy as np

from tests.oracles.conv_oracle import conv2d, leaky_relu

Weights = Callable[[str], dict[str, np.ndarray]]


def _conv(x: np.ndarray, layer: dict[str, np.ndarray], stride: int = 1) -> np.ndarray:
    bias = layer.get("bias", np.zeros(layer["kernel"].shape[-1]))
    return conv2d(x, layer["kernel"], bias, stride, 1)


def bilinear(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """[h, w, C] to [height, width, C]; centres at half integers, edges repeated."""
    for axis, size in ((0, height), (1, width)):
        old = x.shape[axis]
        at = (np.arange(size) + 0.5) * old / size - 0.5
        low = np.floor(at).astype(int)
        share = (at - low).reshape([-1, 1, 1] if axis == 0 else [1, -1, 1])
        before = np.take(x, np.clip(low, 0, old - 1), axis=axis)
        after = np.take(x, np.clip(low + 1, 0, old - 1), axis=axis)
        x = before * (1 - share) + after * share
    return x


def unet(image: np.ndarray, weights: Weights, skip: bool = True) -> np.ndarray:
    """[H, W, 3] -> [H, W, 1]; names conv0 to conv9 as in Real-ESRGAN's code."""

    def act(x: np.ndarray, name: str, stride: int = 1) -> np.ndarray:
        return leaky_relu(_conv(x, weights(name), stride), 0.2)

    x0 = act(image.astype(np.float64), "conv0")
    x1 = act(x0, "conv1", 2)
    x2 = act(x1, "conv2", 2)
    x3 = act(x2, "conv3", 2)
    x = act(bilinear(x3, *x2.shape[:2]), "conv4") + (x2 if skip else 0)
    x = act(bilinear(x, *x1.shape[:2]), "conv5") + (x1 if skip else 0)
    x = act(bilinear(x, *x0.shape[:2]), "conv6") + (x0 if skip else 0)
    return _conv(act(act(x, "conv7"), "conv8"), weights("conv9"))


def vgg(image: np.ndarray, weights: Weights) -> float:
    """[P, P, 3] -> logit; inference statistics; names conv<level>_<0 or 1>."""
    x = image.astype(np.float64)
    for level in range(5):
        for place in (0, 1):
            x = _conv(x, weights(f"conv_{level}_{place}"), 1 + place)
            if (level, place) != (0, 0):
                norm = weights(f"norm_{level}_{place}")
                scale = norm["gamma"] / np.sqrt(norm["moving_variance"] + 1e-5)
                x = (x - norm["moving_mean"]) * scale + norm["beta"]
            x = leaky_relu(x, 0.2)
    hidden, last = weights("hidden"), weights("last")
    x = leaky_relu(x.reshape(-1) @ hidden["kernel"] + hidden["bias"], 0.2)
    return float((x @ last["kernel"] + last["bias"])[0])
