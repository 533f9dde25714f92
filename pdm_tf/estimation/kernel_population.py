"""The distribution of kernels over a source, from what a regressor says of photographs.

A regressor's outputs are drawn towards the middle of what it learned on, and it takes
content for blur: over a folder both look like kernels. Indirect inference (Gourieroux,
Monfort and Renault 1993) measures that instead of guessing it. Sharp photographs that
the regressor has not learned on are degraded with the guess so far and shown to it,
which gives

  output = offset + slope * theta + scene + rest,

with the spread of what belongs to the scene and of the rest. Then EM finds the normal
distribution of theta under which the real outputs are likeliest. Scenes are taken as
Student's t (6 degrees of freedom): gravel and shallow focus, read as sharp and as
blurred, neither move the mean nor widen the spread much. Where several photographs show
one scene, they differ by their kernels alone, and say the spread almost directly.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from pdm_tf.core.source_estimate import COORDINATES, KernelPopulation
from pdm_tf.estimation.kernel_regressor import Prediction
from pdm_tf.estimation.simulation import Simulated

LEAST_SLOPE = 0.3  # below it, dividing by a slope multiplies errors
# A direction is preferred only where that many photographs say so.
FULL_PHOTOGRAPHS, FULL_SLOPE = 100, 0.5
_FREEDOM = 6.0
_EM_STEPS = 150
# Where few photographs say it: standard deviations of theta, worth so many photographs.
_PRIOR_STD, _PRIOR_COUNT = np.array([0.4, 0.25, 0.25]), 2.0
# What belongs to the scene, as a share of the variance that the regressor claims: it
# mistakes content for size rather than for direction. Worth so many scenes.
_SCENE_SHARE, _SCENE_COUNT = np.array([0.5, 0.05, 0.05]), 4.0
# Slopes, where few scenes are held out, and how much they differ from that by source
# and by scene: measured with 20 scenes on sources of Gaussians and of motion.
_SLOPE, _SLOPE_STD = np.array([0.92, 0.72, 0.72]), np.array([0.08, 0.2, 0.2])
_SLOPE_SCENE_STD = 0.12
# Standard deviation of the regressor's error over all scenes, where few are held out.
_OFFSET_STD = 0.1
# How much sources differ in the share of kernels that are no Gaussians.
_FORM_STD = 0.3
_LEAST_VARIANCE = 1e-4
# Photographs whose size is nothing that a kernel explains, and where it may then lie.
_ODD_SHARE, _ODD_STD = 0.05, 1.2
_MAD_TO_STD = 1.4826  # of a normal distribution
# Guesses are widened for simulation, so that slopes are seen well.
_WIDER, _LEAST_STD = 1.3, np.array([0.25, 0.2, 0.2])


class _Map(NamedTuple):
    """How the regressor answers: [3] each, by coordinate.

    Attributes:
      offset, slope: of its output.
      offset_error: variance of the offset's error.
      scene, rest: variances of what is added by the scene, and by all else.
    """

    offset: np.ndarray
    slope: np.ndarray
    offset_error: np.ndarray
    scene: np.ndarray
    rest: np.ndarray


class _Fitted(NamedTuple):
    """A normal distribution of theta.

    Attributes:
      mean: [3], covariance: [3, 3].
      error: [3, 3] covariance of the mean's error.
      weights: [G] of the scenes, 0..1.
      log_likelihood: of the outputs.
    """

    mean: np.ndarray
    covariance: np.ndarray
    error: np.ndarray
    weights: np.ndarray
    log_likelihood: float


def fit_population(
    real: Prediction,
    simulate: Callable[[np.ndarray, int], Simulated],
    *,
    scenes: int,
    groups: Sequence[int] | np.ndarray | None = None,
    rounds: int = 2,
    draws: int = 200,
    seed: int = 0,
) -> tuple[KernelPopulation, np.ndarray]:
    """Finds the distribution of kernels behind a regressor's outputs.

    Args:
      real: outputs for the source's photographs.
      simulate: called with theta [n, 3] and a seed; degrades held-out photographs, row
        i of photograph i modulo `scenes`, with the source's noise and JPEG, and returns
        the theta of their kernels and the regressor's outputs for them.
      scenes: held-out photographs that `simulate` degrades.
      groups: [N] the scene that each photograph shows, see `scene_groups`; None: all
        differ.
      rounds: of simulating with the guess so far.
      draws: photographs simulated in each.
      seed: of the simulations.

    Returns:
      The population, and [N] weights of the photographs in it, 0..1.

    Raises:
      ValueError: no photographs, no rounds, too few draws to fit a map, or as many
        groups as there are not photographs.
    """
    outputs = np.asarray(real.mean, np.float64)
    if not len(outputs) or rounds < 1 or draws < 8 or scenes < 1:
        raise ValueError(
            "There must be photographs, scenes, rounds, and 8 draws or more. Received: "
            f"{len(outputs)}, {scenes}, {rounds}, {draws}."
        )
    labels = np.arange(len(outputs)) if groups is None else np.asarray(groups)
    if labels.shape != (len(outputs),):
        raise ValueError(
            "There must be one group for each photograph. "
            f"Received: {labels.shape} for {len(outputs)}."
        )
    owner = np.unique(labels, return_inverse=True)[1]
    random = np.random.default_rng(seed)
    mean, covariance = outputs.mean(0), _isotropic(_covariance(outputs))
    mean = mean * [1.0, 0.0, 0.0]
    made: list[Simulated] = []
    for _ in range(rounds):
        std = np.maximum(_WIDER * np.sqrt(np.diag(covariance)), _LEAST_STD)
        # No draw is far out: kernels must fit into their square.
        normal = random.standard_normal([draws, 3]).clip(-2.5, 2.5)
        made.append(simulate(mean + std * normal, int(random.integers(2**31))))
        answer = _answer(made, np.tile(np.arange(draws) % scenes, len(made)))
        seen = _gated(answer)
        isotropic = _fit(outputs, owner, seen, full=False)
        mean, covariance = isotropic.mean, isotropic.covariance
    chosen, full = isotropic, False
    if len(outputs) >= FULL_PHOTOGRAPHS and answer.slope.min() > FULL_SLOPE:
        other = _fit(outputs, owner, seen, full=True)
        gain = other.log_likelihood - isotropic.log_likelihood
        # Schwarz's criterion: two means and four moments more.
        full = gain > 0.5 * 6 * np.log(len(outputs))
        chosen = other if full else isotropic
    weights = chosen.weights[owner]
    population = KernelPopulation(
        mean=_vector(chosen.mean),
        covariance=_matrix(chosen.covariance),
        mean_error=_matrix(chosen.error),
        photographs=float(weights.sum()),
        isotropic=not full,
        slopes=_vector(answer.slope),
        gates=_gates(answer.slope),
        raw_mean=_vector(outputs.mean(0)),
        raw_covariance=_matrix(_covariance(outputs)),
    )
    return population, weights


def _answer(made: Sequence[Simulated], shown: np.ndarray) -> _Map:
    """The map from theta to outputs, by least squares within scenes `shown` [M].

    Where few scenes are held out, prior knowledge counts beside theirs.

    Slopes and scatter are those of Gaussians. What other forms read differently moves
    the offset, as often as they are drawn; taken for scatter of the regressor's, it
    would narrow the population of a source that has one form alone.

    Coordinates are taken one by one: by symmetry of the simulated scenes none depends
    on another.
    """
    theta, other, outputs = (
        np.concatenate(parts)
        for parts in zip(*((m.theta, m.other, m.said.mean) for m in made), strict=True)
    )
    claimed = np.concatenate([one.said.covariance for one in made])
    claimed = np.diagonal(claimed, axis1=1, axis2=2).mean(0)
    plain = ~other
    scenes = np.unique(shown[plain])
    scene_of = np.searchsorted(scenes, shown[plain])
    number = len(scenes)
    count = np.bincount(scene_of)[:, None]

    def means(values: np.ndarray) -> np.ndarray:
        sums = np.zeros([number, 3])
        np.add.at(sums, scene_of, values)
        return sums / count

    centre, level = means(theta[plain]), means(outputs[plain])
    x, y = theta[plain] - centre[scene_of], outputs[plain] - level[scene_of]
    slope = (x * y).sum(0) / np.square(x).sum(0)
    left = len(x) - number - 1
    rest = np.square(y - slope * x).sum(0) / max(left, 1) + _LEAST_VARIANCE
    error = rest / np.square(x).sum(0) + _SLOPE_SCENE_STD**2 / number
    share = _SLOPE_STD**2 / (_SLOPE_STD**2 + error)
    slope = share * slope + (1.0 - share) * _SLOPE
    own = level - slope * centre  # each scene's offset
    prior = _SCENE_SHARE * claimed
    # What the rest leaves in a scene's mean is not the scene's.
    spread = (np.square(own - own.mean(0)) - rest / count).sum(0).clip(0.0)
    scene = (spread + _SCENE_COUNT * prior) / (number - 1 + _SCENE_COUNT)
    # At the middle the regressor is right on average, more or less.
    middle = theta.mean(0)
    bias = own.mean(0) + (slope - 1.0) * middle
    error = scene / number
    share = _OFFSET_STD**2 / (_OFFSET_STD**2 + error)
    offset = share * bias - (slope - 1.0) * middle
    apart = outputs - slope * theta - own.mean(0)
    shift = np.where(other[:, None], apart, 0.0).sum(0) / max(other.sum(), 1)
    offset += other.mean() * shift
    unsure = share * error + np.square(_FORM_STD * shift)
    return _Map(offset, slope, unsure, scene, rest)


def _gated(answer: _Map) -> _Map:
    """The map, and the identity for coordinates that the regressor hardly sees."""
    blind = answer.slope < LEAST_SLOPE
    return _Map(
        np.where(blind, 0.0, answer.offset),
        np.where(blind, 1.0, answer.slope),
        answer.offset_error,
        np.where(blind, _LEAST_VARIANCE, answer.scene),
        np.where(blind, _LEAST_VARIANCE, answer.rest),
    )


def _gates(slope: np.ndarray) -> tuple[str, ...]:
    return tuple(
        f"The kernels' {name} hardly shows in these photographs: the estimate moves by "
        f"{max(value, 0.0):.2f} where the truth moves by 1. It is left as estimated."
        for name, value in zip(COORDINATES, slope, strict=True)
        if value < LEAST_SLOPE
    )


def _fit(outputs: np.ndarray, owner: np.ndarray, seen: _Map, full: bool) -> _Fitted:
    """EM for theta ~ N(mean, covariance), see the head of this file.

    Args:
      outputs: [N, 3].
      owner: [N] the scene of each, 0 to G - 1.
      seen: how outputs come about.
      full: whether directions may be preferred.
    """
    count = np.bincount(owner).astype(np.float64)
    slope = np.diag(seen.slope)
    # Student's t has a variance of freedom / (freedom - 2) times its scale.
    rest, scene = np.diag(seen.rest), np.diag(seen.scene) * (1.0 - 2.0 / _FREEDOM)
    prior = _PRIOR_COUNT * np.diag(_PRIOR_STD**2)
    # The likelihood has several maxima where some scenes are strange: begun robustly.
    middle = np.median(outputs, axis=0)
    mean = (middle - seen.offset) / seen.slope
    wide = np.square(np.median(np.abs(outputs - middle), axis=0) * _MAD_TO_STD)
    wide = (wide - seen.rest - seen.scene) / seen.slope**2
    covariance = np.diag(np.maximum(wide, 0.25 * _PRIOR_STD**2))
    weights, usual = np.ones(len(count)), np.ones(len(count))
    for _ in range(_EM_STEPS):
        if not full:
            mean, covariance = mean * [1.0, 0.0, 0.0], _isotropic(covariance)
        away = outputs - seen.offset - seen.slope * mean
        spread = slope @ covariance @ slope + rest
        sure = np.linalg.inv(spread)
        # The scene's part, given all photographs of the scene.
        sums = np.zeros([len(count), 3])
        np.add.at(sums, owner, away)
        precision = weights[:, None, None] * np.linalg.inv(scene)
        within = np.linalg.inv(precision + count[:, None, None] * sure)
        part = np.einsum("gij,jk,gk->gi", within, sure, sums)
        square = np.einsum("gi,ij,gj->g", part, np.linalg.inv(scene), part)
        square += np.trace(within @ np.linalg.inv(scene), axis1=1, axis2=2)
        # Theta of each photograph, given the scene's part.
        gain = covariance @ slope @ sure
        shift = (away - part[owner]) @ gain.T
        left = covariance - gain @ slope @ covariance
        left = left + gain @ within[owner] @ gain.T
        usual = _usual(sums[:, 0] / count, spread[0, 0] / count + seen.scene[0])
        share = usual[owner]
        move = share @ shift / share.sum()
        off = shift - move
        total = np.einsum("n,ni,nj->ij", share, off, off)
        total += np.einsum("n,nij->ij", share, left)
        mean = mean + move
        covariance = (total + prior) / (share.sum() + _PRIOR_COUNT)
        weights = (_FREEDOM + 3.0) / (_FREEDOM + square)
    if not full:
        mean, covariance = mean * [1.0, 0.0, 0.0], _isotropic(covariance)
    spread = slope @ covariance @ slope + rest
    around = scene / weights[:, None, None] + spread / count[:, None, None]
    told = (usual[:, None, None] * np.linalg.inv(around)).sum(0)
    error = np.linalg.inv(told) + np.diag(seen.offset_error)
    error = error / np.outer(seen.slope, seen.slope)
    away = outputs - seen.offset - seen.slope * mean
    whole = spread + np.diag(seen.scene)
    log_likelihood = -0.5 * (
        np.einsum("ni,ij,nj->", away, np.linalg.inv(whole), away)
        + len(away) * np.linalg.slogdet(whole)[1]
    )
    trusted = usual * weights.clip(0.0, 1.0)
    return _Fitted(mean, covariance, error, trusted, log_likelihood)


def _usual(size: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """[G] chances that scenes' sizes come from the population, not from anywhere."""
    inside = np.log1p(-_ODD_SHARE) - 0.5 * (size**2 / variance + np.log(variance))
    odd = np.log(_ODD_SHARE) - 0.5 * (size / _ODD_STD) ** 2 - np.log(_ODD_STD)
    return 1.0 / (1.0 + np.exp((odd - inside).clip(-50.0, 50.0)))


def _covariance(values: np.ndarray) -> np.ndarray:
    away = values - values.mean(0)
    return away.T @ away / len(values)


def _isotropic(covariance: np.ndarray) -> np.ndarray:
    """No direction preferred: sizes alone, and one variance for both elongations."""
    size, first, second = np.diag(covariance)
    return np.diag([size, (first + second) / 2.0, (first + second) / 2.0])


def _vector(values: np.ndarray) -> tuple[float, float, float]:
    return tuple(np.asarray(values, np.float64).tolist())


def _matrix(values: np.ndarray) -> tuple[tuple[float, float, float], ...]:
    return tuple(map(tuple, np.asarray(values, np.float64).tolist()))
