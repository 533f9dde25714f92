"""Tensors by the names that published files have, of tiny networks."""

import numpy as np

FILTERS, BLOCKS = 4, 2


def edsr_arrays(scale=4, seed=0):
    """Tensors by the authors' names, random but for the mean shift."""
    rng = np.random.default_rng(seed)
    stages = {2: (2,), 4: (2, 2)}[scale]
    arrays = {}

    def conv(name, inputs, outputs):
        weight = rng.normal(size=(outputs, inputs, 3, 3)) * (0.7 / inputs**0.5) / 3
        arrays[f"{name}.weight"] = weight.astype(np.float32)
        arrays[f"{name}.bias"] = rng.normal(size=outputs).astype(np.float32)

    mean = np.float32([0.4488, 0.4371, 0.4040]) * 255
    for name, sign in (("sub_mean", -1), ("add_mean", 1)):
        arrays[f"{name}.weight"] = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
        arrays[f"{name}.bias"] = sign * mean
    conv("head.0", 3, FILTERS)
    for i in range(BLOCKS):
        conv(f"body.{i}.body.0", FILTERS, FILTERS)
        conv(f"body.{i}.body.2", FILTERS, FILTERS)
    conv(f"body.{BLOCKS}", FILTERS, FILTERS)
    for i, factor in enumerate(stages):
        conv(f"tail.0.{2 * i}", FILTERS, FILTERS * factor**2)
    conv("tail.1", FILTERS, 3)
    return arrays


def vgg19_arrays(filters=2, seed=0):
    """Tensors of `features` by torchvision's names, random."""
    rng = np.random.default_rng(seed)
    arrays, index, inputs = {}, 0, 3
    for count, width in ((2, 1), (2, 2), (4, 4), (4, 8), (4, 8)):
        for _ in range(count):
            shape = (filters * width, inputs, 3, 3)
            weight = rng.normal(size=shape) * np.sqrt(2 / (9 * inputs))
            arrays[f"features.{index}.weight"] = weight.astype(np.float32)
            arrays[f"features.{index}.bias"] = np.zeros(shape[0], np.float32)
            index, inputs = index + 2, filters * width  # its ReLU
        index += 1  # the pooling
    return arrays
