"""Tests whether real and synthesised LR patches come from one distribution.

There are two tests on fixed features: the kernel distance of Gretton et al. 2012 (JMLR
13, "A kernel two-sample test"), and the accuracy of a classifier (Lopez-Paz and Oquab
2017, arXiv:1610.06545). Patches of one photograph are not independent, so permutations
move whole photographs, the classifier is tested on photographs that it has not seen,
and its interval counts photographs, not patches.

Real and synthesised images show different scenes, which is a difference too: read both
numbers together with those of real photographs against other real ones.

*Features.* Made by hand, so that they need no weights, never change, and each can be
named: the logarithmic energy of a patch in bands of its discrete cosine transform, per
opponent colour. Such energies show exactly blur and noise. The mean brightness and
colour of a patch, which are the scene's, are left out.
"""

from typing import NamedTuple

import numpy as np
from scipy.fft import dctn
from scipy.spatial.distance import cdist
from scipy.special import expit

PATCH = 16
_RINGS = 6
# Orthonormal: luminance, blue against yellow, red against green.
_OPPONENT = np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]]) / np.sqrt([[3], [6], [2]])
# Energies below the error variance of rounding to 8 bits carry no information.
_FLOOR = (1.0 / 255.0) ** 2 / 12.0
PERMUTATIONS = 500
_RIDGE = 1.0  # of the classifier's weights, per standardised feature
_Z_95 = 1.959963984540054


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


class KernelDistance(NamedTuple):
    """Squared maximum mean discrepancy.

    Attributes:
      mmd2: unbiased estimate; about 0 for equal distributions, may be negative.
      p_value: share of relabellings with as large a distance, itself counted.
    """

    mmd2: float
    p_value: float


def kernel_distance(
    real: np.ndarray,
    fake: np.ndarray,
    real_owner: np.ndarray,
    fake_owner: np.ndarray,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> KernelDistance:
    """Unbiased MMD^2 with a Gaussian kernel and a permutation test.

    Features are standardised over both sets; the kernel's width is the median distance,
    where it has fallen to 1/e^(1/2). Patches of one photograph change sides together.

    Args:
      real: [N, F], fake: [M, F] features.
      real_owner: [N], fake_owner: [M]: the photograph of each patch.
      permutations: how many relabellings.
      seed: of them.
    """
    features = standardised(np.concatenate([real, fake]), np.concatenate([real, fake]))
    distances = cdist(features, features)
    width = np.median(distances[np.triu_indices(len(features), 1)])
    gram = np.exp(-0.5 * np.square(distances / max(width, 1e-12)))
    np.fill_diagonal(gram, 0.0)  # unbiased: no patch with itself
    photographs = _joined(real_owner, fake_owner)
    is_real = np.arange(len(features)) < len(real)
    found = _mmd2(gram, is_real[None])[0]
    count = photographs.max() + 1
    reals = len(np.unique(real_owner))
    random = np.random.default_rng(seed)
    chosen = np.zeros([permutations, count], bool)
    for row in chosen:
        row[random.permutation(count)[:reals]] = True
    relabelled = _mmd2(gram, chosen[:, photographs])
    exceed = int(np.sum(relabelled >= found))
    return KernelDistance(float(found), (1 + exceed) / (1 + permutations))


def _mmd2(gram: np.ndarray, is_real: np.ndarray) -> np.ndarray:
    """Unbiased MMD^2 of each row of labels [P, N]; `gram` has a zero diagonal."""
    first, second = is_real.astype(np.float64), (~is_real).astype(np.float64)
    n, m = first.sum(axis=1), second.sum(axis=1)
    of_first, of_second = first @ gram, second @ gram
    within = (of_first * first).sum(1) / (n * (n - 1))
    within += (of_second * second).sum(1) / (m * (m - 1))
    return within - 2.0 * (of_first * second).sum(1) / (n * m)


class Accuracy(NamedTuple):
    """Accuracy of a classifier that separates real from synthesised patches.

    Attributes:
      accuracy: mean of the accuracies on real and on synthesised patches; 0.5 is
        chance.
      low, high: 95 % Wilson interval for as many independent patches as the scatter
        between photographs leaves (`effective`).
      effective: that number.
    """

    accuracy: float
    low: float
    high: float
    effective: float


def classifier_accuracy(
    real: np.ndarray,
    fake: np.ndarray,
    real_owner: np.ndarray,
    fake_owner: np.ndarray,
    *,
    seed: int = 0,
) -> Accuracy:
    """Logistic regression on features and their squares, on held-out photographs.

    There are two folds of photographs: it is trained on one and tested on the other,
    and vice versa. Both classes have equal weight, however many patches they have.

    Args:
      real: [N, F], fake: [M, F] features.
      real_owner: [N], fake_owner: [M]: the photograph of each patch.
      seed: of the folds.

    Raises:
      ValueError: fewer than four photographs on one side.
    """
    least = min(len(np.unique(real_owner)), len(np.unique(fake_owner)))
    if least < 4:
        raise ValueError(
            f"Both sides must have four photographs or more. Received: {least}."
        )
    features = np.concatenate([real, fake])
    label = np.repeat([1.0, 0.0], [len(real), len(fake)])
    photographs = _joined(real_owner, fake_owner)
    reals = len(np.unique(real_owner))
    random = np.random.default_rng(seed)
    fold = np.empty(photographs.max() + 1, np.int64)
    for part in (slice(0, reals), slice(reals, None)):
        size = len(fold[part])
        fold[part] = random.permutation(np.arange(size) % 2)
    right = np.empty(len(features))
    for held_out in (0, 1):
        test = fold[photographs] == held_out
        weights = _fit(_expanded(features[~test], features[~test]), label[~test])
        logits = _expanded(features[test], features[~test]) @ weights
        right[test] = (logits > 0) == (label[test] > 0.5)
    return _balanced(right, label, photographs)


def _balanced(
    right: np.ndarray, label: np.ndarray, photographs: np.ndarray
) -> Accuracy:
    """Mean accuracy of both classes, with the scatter between photographs."""
    means, variance = [], 0.0
    for value in (1.0, 0.0):
        mine = photographs[label == value]
        counts = np.bincount(mine)
        sums = np.bincount(mine, right[label == value])
        shares = sums[counts > 0] / counts[counts > 0]
        means.append(shares.mean())
        variance += shares.var(ddof=1) / len(shares) / 4.0
    accuracy = float(np.mean(means))
    chance = accuracy * (1.0 - accuracy)
    # Between photographs and patches, whatever the scatter of few photographs says.
    least, most = len(np.unique(photographs)), len(right)
    effective = float(np.clip(chance / variance if variance > 0 else 0, least, most))
    return Accuracy(accuracy, *wilson_interval(accuracy, effective), effective)


def wilson_interval(
    share: float, count: float, z: float = _Z_95
) -> tuple[float, float]:
    """Wilson's score interval of a binomial share (Wilson 1927), 95 % by default."""
    middle = share + z**2 / (2.0 * count)
    reach = z * np.sqrt(share * (1.0 - share) / count + z**2 / (4.0 * count**2))
    below, above = (middle - reach, middle + reach) / np.array(1.0 + z**2 / count)
    return float(max(below, 0.0)), float(min(above, 1.0))


def standardised(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Features with the reference's mean taken off, over its standard deviation."""
    deviation = reference.std(axis=0)
    return (features - reference.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)


def _expanded(features: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Standardised features, their squares, and a constant."""
    linear = standardised(features, reference).clip(-5.0, 5.0)
    return np.concatenate([linear, linear**2, np.ones([len(linear), 1])], axis=1)


def _fit(inputs: np.ndarray, label: np.ndarray, steps: int = 30) -> np.ndarray:
    """Weights of a ridge logistic regression, by Newton's method."""
    share = label.mean()
    weight = np.where(label > 0.5, 0.5 / share, 0.5 / (1.0 - share))
    ridge = np.full(inputs.shape[1], _RIDGE)
    ridge[-1] = 0.0
    coefficients = np.zeros(inputs.shape[1])
    for _ in range(steps):
        chance = expit(inputs @ coefficients)
        slope = inputs.T @ (weight * (chance - label)) + ridge * coefficients
        curve = inputs.T * (weight * chance * (1.0 - chance)) @ inputs
        step = np.linalg.solve(curve + np.diag(ridge + 1e-9), slope)
        coefficients -= step
        if np.abs(step).max() < 1e-8:
            break
    return coefficients


def _joined(real_owner: np.ndarray, fake_owner: np.ndarray) -> np.ndarray:
    """Photographs of both sides numbered from 0, the real ones first."""
    real = np.unique(real_owner, return_inverse=True)[1]
    fake = np.unique(fake_owner, return_inverse=True)[1]
    return np.concatenate([real, fake + real.max() + 1])
