"""Forward passes of the feature networks and LPIPS, layer by layer from their tables.

`params(name)` gives (kernel [K, K, Cin, Cout], bias [Cout]) of a convolution. All run
on one image [H, W, 3] in [0, 1] in float64 and return every activation by its name.
"""

import math

import numpy as np

from tests.oracles.conv_oracle import conv2d

_VGG = {
    16: [64, 64, "M", 128, 128, "M", *[256] * 3, "M", *[512] * 3, "M", *[512] * 3],
    19: [64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4],
}


def normalised(image):
    """ImageNet's normalisation."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return (image.astype(np.float64) - mean) / std


def pool(x, side, ceil=False):
    """Largest of each side x side window at stride 2."""
    rounded = math.ceil if ceil else math.floor
    h, w = (rounded((n - side) / 2) + 1 for n in x.shape[:2])
    out = np.zeros((h, w, x.shape[2]))
    for i in range(h):
        for j in range(w):
            out[i, j] = x[2 * i : 2 * i + side, 2 * j : 2 * j + side].max(axis=(0, 1))
    return out


def relu(x):
    return np.maximum(x, 0)


def vgg(image, depth, params):
    """The layer table of configurations D (16) and E (19)."""
    found, x = {}, normalised(image)
    block, i = 1, 1
    for entry in _VGG[depth]:
        if entry == "M":
            x = found[f"pool{block}"] = pool(x, 2)
            block, i = block + 1, 1
            continue
        x = found[f"conv{block}_{i}"] = conv2d(x, *params(f"conv{block}_{i}"), 1, 1)
        x = found[f"relu{block}_{i}"] = relu(x)
        i += 1
    return found


def alexnet(image, params):
    """(stride, pad) of torchvision's five convolutions; pooling after two of them."""
    found, x = {}, normalised(image)
    for i, (stride, pad) in enumerate([(4, 2), (1, 2), (1, 1), (1, 1), (1, 1)], 1):
        x = found[f"conv{i}"] = conv2d(x, *params(f"conv{i}"), stride, pad)
        x = found[f"relu{i}"] = relu(x)
        if i <= 2:
            x = found[f"pool{i}"] = pool(x, 3)
    return found


def squeezenet(image, params):
    """Version 1.1: poolings before fire2, fire4 and fire6."""
    found = {}
    x = found["conv1"] = conv2d(normalised(image), *params("conv1"), 2, 0)
    x = found["relu1"] = relu(x)
    for i in range(2, 10):
        if i in (2, 4, 6):
            x = found[f"pool{i - 1}"] = pool(x, 3, ceil=True)
        squeezed = relu(conv2d(x, *params(f"fire{i}/squeeze"), 1, 0))
        parts = [
            relu(conv2d(squeezed, *params(f"fire{i}/expand1x1"), 1, 0)),
            relu(conv2d(squeezed, *params(f"fire{i}/expand3x3"), 1, 1)),
        ]
        x = found[f"fire{i}"] = np.concatenate(parts, axis=-1)
    return found


def lpips(features, others, weights):
    """Eq. 1 of Zhang et al.: lists of activations [h, w, C] and of weights [C]."""
    total = 0.0
    for a, b, w in zip(features, others, weights, strict=True):
        height, width, _ = a.shape
        for i in range(height):
            for j in range(width):
                unit_a = a[i, j] / (math.sqrt(np.sum(a[i, j] ** 2)) + 1e-10)
                unit_b = b[i, j] / (math.sqrt(np.sum(b[i, j] ** 2)) + 1e-10)
                total += np.sum(w * (unit_a - unit_b) ** 2) / (height * width)
    return total
