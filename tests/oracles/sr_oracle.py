"""Forward passes of EDSR and RRDBNet in NumPy, from the papers' figures.

Weights are read by name from a function `weights(name) -> (kernel, bias)`.
"""

from collections.abc import Callable

import numpy as np

from tests.oracles.conv_oracle import leaky_relu, same_conv

Weights = Callable[[str], tuple[np.ndarray, np.ndarray]]


def sub_pixel(x: np.ndarray, r: int) -> np.ndarray:
    """[h, w, r*r*C] -> [h*r, w*r, C]: channel (i*r + j)*C + c to row i, column j."""
    h, w, channels = x.shape
    c = channels // (r * r)
    out = np.zeros((h * r, w * r, c))
    for i in range(r):
        for j in range(r):
            out[i::r, j::r] = x[..., (i * r + j) * c : (i * r + j + 1) * c]
    return out


def nearest(x: np.ndarray, r: int) -> np.ndarray:
    """Each pixel r by r times."""
    return x.repeat(r, axis=0).repeat(r, axis=1)


def unshuffle(x: np.ndarray, r: int) -> np.ndarray:
    """[h, w, C] -> [ceil(h/r), ceil(w/r), r*r*C]; the rest mirrors the last row."""
    h, w, _ = x.shape
    x = np.pad(x, [(0, -h % r), (0, -w % r), (0, 0)], mode="reflect")
    parts = [x[i::r, j::r] for i in range(r) for j in range(r)]
    return np.concatenate(parts, axis=-1)


def edsr(
    lr: np.ndarray,
    weights: Weights,
    *,
    num_blocks: int,
    residual_scale: float,
    stages: tuple[int, ...],
) -> np.ndarray:
    """Lim et al. 2017, Fig. 3 and 6, on 0..255 with DIV2K's mean taken off."""
    mean = np.array([0.4488, 0.4371, 0.4040]) * 255
    head = same_conv(lr * 255.0 - mean, *weights("head"))
    x = head
    for i in range(num_blocks):
        branch = np.maximum(same_conv(x, *weights(f"block_{i}/first")), 0)
        x = x + residual_scale * same_conv(branch, *weights(f"block_{i}/second"))
    x = same_conv(x, *weights("body_end")) + head
    for i, r in enumerate(stages):
        x = sub_pixel(same_conv(x, *weights(f"upsample_{i}")), r)
    return (same_conv(x, *weights("tail")) + mean) / 255.0


def rrdbnet(
    lr: np.ndarray, weights: Weights, *, num_blocks: int, stages: tuple[int, ...]
) -> np.ndarray:
    """Wang et al. 2018, Fig. 4: dense blocks in residual blocks, all branches x 0.2."""
    head = same_conv(lr, *weights("head"))
    x = head
    for i in range(num_blocks):
        inner = x
        for j in range(3):
            features = inner
            for k in range(4):
                new = same_conv(features, *weights(f"block_{i}_{j}/conv_{k}"))
                features = np.concatenate([features, leaky_relu(new, 0.2)], axis=-1)
            last = same_conv(features, *weights(f"block_{i}_{j}/conv_4"))
            inner = inner + 0.2 * last
        x = x + 0.2 * inner
    x = same_conv(x, *weights("body_end")) + head
    for i, r in enumerate(stages):
        x = leaky_relu(same_conv(nearest(x, r), *weights(f"upsample_{i}")), 0.2)
    x = leaky_relu(same_conv(x, *weights("refine")), 0.2)
    return same_conv(x, *weights("tail"))
