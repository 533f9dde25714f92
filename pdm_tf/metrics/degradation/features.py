"""Fixed features of LR patches, for telling real ones from synthesised ones.

Made by hand, so that they need no weights, never change, and each can be named: the
logarithmic energy of a patch in bands of its discrete cosine transform, per opponent
colour. Blur and noise are exactly what such energies show. The mean brightness and
colour of a patch, which are the scene's, are left out.
"""

import numpy as np
from scipy.fft import dctn

PATCH = 16
_RINGS = 6
# Orthonormal: luminance, blue against yellow, red against green.
_OPPONENT = np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]]) / np.sqrt([[3], [6], [2]])
# Energies below what rounding to 8 bits adds carry nothing: variance of its error.
_FLOOR = (1.0 / 255.0) ** 2 / 12.0


def patch_features(patches: np.ndarray) -> np.ndarray:
    """log10 of the mean energy per band.

    Luminance: 6 rings of radius times 3 directions (rows, diagonal, columns); both
    colour differences: 6 rings each.

    Args:
      patches: [N, p, p, 3] float in [0, 1], p at least 12.

    Returns:
      [N, 30] float64.

    Raises:
      ValueError: not [N, p, p, 3], or too small.
    """
    patches = np.asarray(patches, np.float64)
    side = patches.shape[1] if patches.ndim == 4 else 0
    if side < 2 * _RINGS or patches.shape[2:] != (side, 3):
        raise ValueError(
            f"`patches` must be [N, p, p, 3] with p at least {2 * _RINGS}. "
            f"Received: {patches.shape}."
        )
    opponent = patches @ _OPPONENT.T
    energy = np.square(dctn(opponent, axes=(1, 2), norm="ortho"))
    ring, direction = _bands(side)
    masks = [
        (0, (ring == r) & (direction == d)) for r in range(_RINGS) for d in range(3)
    ]
    masks += [(channel, ring == r) for channel in (1, 2) for r in range(_RINGS)]
    columns = [energy[:, mask, channel].mean(axis=1) for channel, mask in masks]
    return np.log10(np.stack(columns, axis=1) + _FLOOR)


def _bands(side: int) -> tuple[np.ndarray, np.ndarray]:
    """[p, p] ring 0..5 (-1 for the mean) and direction 0..2 of each coefficient."""
    y, x = np.mgrid[:side, :side]
    radius = np.hypot(y, x) / side
    # Rings of equal width up to the corner frequencies, which join the last one.
    ring = np.minimum((radius * _RINGS).astype(np.int64), _RINGS - 1)
    ring[0, 0] = -1
    return ring, np.minimum((np.arctan2(x, y) / (np.pi / 2) * 3).astype(np.int64), 2)


def cut_patches(
    images: list[np.ndarray], per_image: int, seed: int = 0, side: int = PATCH
) -> tuple[np.ndarray, np.ndarray]:
    """Patches at random places, the same for the same seed.

    Args:
      images: [h, w, 3] each, uint8 or float; those smaller than a patch are left out.
      per_image: patches of each.
      seed: of the places.
      side: of a patch.

    Returns:
      (patches [N, side, side, 3] in the images' type, image index of each [N]).

    Raises:
      ValueError: no image is large enough.
    """
    random = np.random.default_rng(seed)
    patches, owner = [], []
    for index, image in enumerate(images):
        room = np.array(image.shape[:2]) - side
        if room.min() < 0:
            continue
        for top, left in random.integers(0, room + 1, size=[per_image, 2]):
            patches.append(image[top : top + side, left : left + side])
            owner.append(index)
    if not patches:
        raise ValueError(f"`images` must have one of {side} x {side} pixels or more.")
    return np.stack(patches), np.array(owner)
