"""The distribution of noise over the photographs of a source.

One pair (read, shot) for each photograph, std(y) = sqrt(read^2 + shot y), log-normal
over the source. All windows of all photographs say together (`noise_evidence`) how the
variance grows with the signal; one photograph alone often has flat places at one level
only. So both are found at once, by EM: each photograph's own pair under the
distribution, the distribution from the pairs, and the chances of what pictures look
like in a window. Photographs unlike all others count for little: one without any flat
place reads as strong noise.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import logsumexp

from pdm_tf.core.degradation_limits import INVISIBLE_NOISE_255
from pdm_tf.core.source_estimate import JpegMeasure, NoisePopulation
from pdm_tf.estimation.noise_evidence import (
    CONTENTS,
    LEVEL,
    LEVELS,
    SIGMAS,
    View,
    tables,
    views_of,
)

SHOWN_LEVELS = (0.15, 0.7)  # of `PhotographEstimate.noise_255`
_READ = np.geomspace(0.05, 15.0, 28) * LEVEL
_SHOT = np.geomspace(1e-6, 2e-2, 28)
_PAIRS = np.stack(np.meshgrid(np.log(_READ), np.log(_SHOT), indexing="ij"), -1)
_PAIRS = _PAIRS.reshape(-1, 2)
_MIDDLES = (np.arange(LEVELS) + 0.5) / LEVELS
_LOG_SIGMAS = np.log(SIGMAS)
_ROUNDS = 3
_EM_STEPS = 60
# Where few photographs say it: the spread of (log read, log shot), worth this many.
_PRIOR_STD, _PRIOR_COUNT = 0.4, 2.0
# Factors of more than e^(2 * 0.8) between photographs come from pairs that do not
# matter, such as the shot noise of a sensor without any.
_MOST_STD = 0.8
_OUTLIERS = 0.03  # share of photographs that may have any noise at all
# Photographs and lengths (LR px) by which the correlation is looked for. Below the
# first length a smoothed noise is white in all but name.
_CORRELATION_PHOTOGRAPHS = 40
_CORRELATIONS_PX = (0.35, 0.5, 0.65, 0.8, 1.0)
_SMOOTH_PX = 0.5
# Correlations of two channels. Fine detail of a picture is grey, and as smooth as
# smoothed noise: where nothing is white, noise has to show as colour.
_COLOURS = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 0.97, 0.999)
_COLOURED = _COLOURS[:5]
# Fewer photographs may all be of fine detail, which is grey and smooth, as no folder
# of many is: noise must show there as white and in colour, at least to begin with.
# Without that 7 of 30 triples of `blur`, which has no noise, had some; with it none.
_ENOUGH = 20
# Log-likelihood, for each photograph, by which noise has to be better explained by a
# correlation than without one: pictures are no exact mixture of spectra.
_LEAST_GAIN = 3.0
# For each window, by which noise before JPEG has to be better explained than silence:
# measured 0.10 to 0.12 without noise, 0.26 with 4 to 8 levels of it before quality 80.
_LEAST_GAIN_JPEG = 0.17


@dataclasses.dataclass(frozen=True)
class NoiseMeasure:
    """What `measure_noise` found.

    Attributes:
      population: the distribution; None: no noise beyond the rounding to 8 bits.
      levels_255: [N, 2] each photograph's standard deviation at `SHOWN_LEVELS` in
        levels of 8 bit, drawn towards the others' where it says little itself; nan for
        a photograph that was not used. 0 for all where there is no noise.
    """

    population: NoisePopulation | None
    levels_255: np.ndarray


def fit_noise(
    photographs: Sequence[np.ndarray], jpeg: Sequence[JpegMeasure] | None = None
) -> NoisePopulation | None:
    """The distribution alone, see `measure_noise`."""
    return measure_noise(photographs, jpeg).population


def measure_noise(
    photographs: Sequence[np.ndarray],
    jpeg: Sequence[JpegMeasure] | None = None,
    seed: int = 0,
) -> NoiseMeasure:
    """Measures the noise of a folder of photographs.

    Args:
      photographs: [h, w, 3] uint8, of any sizes.
      jpeg: what JPEG left in each; without it they are taken as never compressed. The
        noise is that before JPEG.
      seed: of the choice of windows in large photographs.

    Returns:
      The population and each photograph's levels. The population is None where its
      median is below what rounding to 8 bits does itself (`INVISIBLE_NOISE_255`), and
      where no photograph has a window that is neither black nor white.

    Raises:
      ValueError: `jpeg` is not as long as `photographs`.
    """
    traces = [JpegMeasure()] * len(photographs) if jpeg is None else list(jpeg)
    if len(traces) != len(photographs):
        raise ValueError(
            "`jpeg` must have one measure for each of the photographs. "
            f"Received: {len(traces)} for {len(photographs)}."
        )
    views = [
        views_of(image, trace, seed)
        for image, trace in zip(photographs, traces, strict=True)
    ]
    used = [index for index, own in enumerate(views) if own]
    levels_255 = np.full([len(views), len(SHOWN_LEVELS)], np.nan)
    if not used:
        return NoiseMeasure(None, levels_255)
    shown = [views[index] for index in used]
    fit = _best_fit(shown)
    if fit is None:
        levels_255[used] = 0.0
        return NoiseMeasure(None, levels_255)
    read, shot = np.exp(fit.own).T[:, :, None]
    levels_255[used] = np.sqrt(read**2 + shot * SHOWN_LEVELS) / LEVEL
    found = NoisePopulation(
        log_mean=tuple(fit.mean.tolist()),
        log_covariance=tuple(map(tuple, fit.covariance.tolist())),
        correlation_px=fit.correlation_px,
        colour=_colour_matrix(1.0 if _all_grey(shown) else fit.colour),
        photographs=len(used),
    )
    return NoiseMeasure(found, levels_255)


@dataclasses.dataclass(frozen=True)
class _Fit:
    """A fit at one correlation length.

    Attributes:
      mean, covariance: of (log read, log shot).
      own: [N, 2] each photograph's posterior mean.
      colour: correlation between two channels.
      evidence: log-likelihood.
    """

    correlation_px: float
    mean: np.ndarray
    covariance: np.ndarray
    own: np.ndarray
    colour: float
    evidence: float

    @property
    def visible(self) -> bool:
        """Whether the median photograph's noise is above that of rounding.

        Its strength is the root mean square of those at `SHOWN_LEVELS`.
        """
        read, shot = np.exp(self.own).T
        strengths = np.sqrt(read**2 + shot * np.mean(SHOWN_LEVELS)) / LEVEL
        return bool(np.median(strengths) > INVISIBLE_NOISE_255)


def _best_fit(views: Sequence[Sequence[View]]) -> _Fit | None:
    """Fits with the correlation length that explains the photographs best.

    The length is looked for on some of the photographs. None: no visible noise.
    """
    if all(view.steps is not None for own in views for view in own):
        # JPEG has left too little to tell noise from a picture by colour or spectrum.
        only = _fit(views, 0.0, _ROUNDS, _COLOURS[:1])
        silent = _fit(views, 0.0, _ROUNDS, _COLOURS[:1], _PAIRS[:1])
        windows = sum(view.weight * len(view.bins) for own in views for view in own)
        clear = only.evidence - silent.evidence > _LEAST_GAIN_JPEG * windows
        return only if clear and only.visible else None
    few = len(views) < _ENOUGH
    tried = _COLOURED if few and not _all_grey(views) else _COLOURS
    places = np.linspace(0, len(views) - 1, min(len(views), _CORRELATION_PHOTOGRAPHS))
    some = [views[index] for index in np.unique(places.round().astype(int))]
    if few and not _fit(some, 0.0, 2, _COLOURS[:2]).visible:
        return None
    white = _fit(some, 0.0, 2, tried)
    best, lengths = white, _CORRELATIONS_PX
    if not white.visible:
        # Smoothed noise has no fine detail, and looks like a picture's: no more than
        # half a pixel, and colour, or nothing is found.
        best, lengths = _fit(some, _SMOOTH_PX, 2, _COLOURS[:2]), (0.65, 0.8, 1.0)
        if not best.visible:
            return None
    for length in lengths:
        other = _fit(some, length, 2, _COLOURED)
        if other.evidence < best.evidence + _LEAST_GAIN * len(some):
            break
        best = other
    colours = _COLOURED if best.correlation_px else tried
    final = _fit(views, best.correlation_px, _ROUNDS, colours)
    return final if final.visible else None


def _fit(
    views: Sequence[Sequence[View]],
    correlation_px: float,
    rounds: int,
    colours: Sequence[float],
    pairs: np.ndarray = _PAIRS,
) -> _Fit:
    chances = np.full([2, CONTENTS], 1.0 / CONTENTS)
    made = _Tables(correlation_px)
    for _ in range(rounds):
        looked = [made.look(own, chances) for own in views]
        fit = max(
            (_population(looked, views, x, correlation_px, pairs) for x in colours),
            key=lambda found: found.evidence,
        )
        place = colours.index(fit.colour)
        colours = colours[max(place - 1, 0) : place + 2]
        chances = made.contents(views, chances, fit)
    return fit


class _Tables:
    """Likelihoods of windows at one correlation length."""

    def __init__(self, correlation_px: float) -> None:
        self._correlation_px = correlation_px
        self._made: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def _logs(
        self, view: View, chances: np.ndarray, rows: Any, strengths: Any
    ) -> np.ndarray:
        """[rows, strengths, C] log-likelihood of windows by strength and content."""
        key = b"" if view.steps is None else view.steps.tobytes()
        if key not in self._made:
            constants, factors = tables(view.steps, self._correlation_px)
            self._made[key] = constants.astype(np.float32), factors
        constants, factors = (
            x.reshape(*x.shape[:-1], len(SIGMAS), CONTENTS)[..., strengths, :]
            for x in self._made[key]
        )
        prior = np.log(chances[int(view.chroma)]).astype(np.float32)
        flat = factors.reshape(len(factors), -1)
        logs = (view.statistics[rows] @ flat).reshape(-1, *constants.shape)
        return np.subtract(constants + prior, logs, out=logs)

    def look(self, views: Sequence[View], chances: np.ndarray) -> list[np.ndarray]:
        """For each view [LEVELS, S] log-likelihood, windows of a level together."""
        found = []
        for view in views:
            logs = self._logs(view, chances, slice(None), slice(None))
            top = logs.max(axis=2)
            logs -= top[..., None]
            each = top + np.log(np.exp(logs, out=logs).sum(axis=2))
            table = np.zeros([LEVELS, len(SIGMAS)])
            np.add.at(table, view.bins, each * view.weight)
            found.append(table)
        return found

    def contents(
        self, views: Sequence[Sequence[View]], chances: np.ndarray, fit: _Fit
    ) -> np.ndarray:
        """[2, CONTENTS] new chances, with each photograph's own noise."""
        sums = np.ones_like(chances)  # nothing is impossible
        for own, (log_read, log_shot) in zip(views, fit.own, strict=True):
            variance = math.exp(2.0 * log_read) + math.exp(log_shot) * _MIDDLES
            for view in own:
                sigma = 0.5 * np.log(variance * view.gain(fit.colour))
                nearest = np.abs(_LOG_SIGMAS - sigma[:, None]).argmin(axis=1)
                for level in np.unique(view.bins):
                    rows = view.bins == level
                    at = slice(nearest[level], nearest[level] + 1)
                    logs = self._logs(view, chances, rows, at)[:, 0]
                    share = np.exp(logs - logs.max(axis=1, keepdims=True))
                    share /= share.sum(axis=1, keepdims=True)
                    sums[int(view.chroma)] += view.weight * share.sum(axis=0)
        return sums / sums.sum(axis=1, keepdims=True)


def _population(
    looked: Sequence[Sequence[np.ndarray]],
    views: Sequence[Sequence[View]],
    colour: float,
    correlation_px: float,
    pairs: np.ndarray,
) -> _Fit:
    """EM for the distribution of pairs, with each photograph's likelihood on a grid."""
    variance = np.exp(2.0 * pairs[:, :1]) + np.exp(pairs[:, 1:]) * _MIDDLES
    logs = np.zeros([len(looked), len(pairs)])
    for index, (own, tables_) in enumerate(zip(views, looked, strict=True)):
        for view, table in zip(own, tables_, strict=True):
            sigma = 0.5 * np.log(variance * view.gain(colour))
            for level in np.flatnonzero(np.any(table, axis=1)):
                logs[index] += np.interp(sigma[:, level], _LOG_SIGMAS, table[level])
    anywhere = logsumexp(logs, axis=1) - math.log(len(pairs))
    weight = np.exp(logs - logs.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    own = weight @ pairs
    mean, covariance = np.median(own, axis=0), np.eye(2)  # wide: it narrows quickly
    for _ in range(_EM_STEPS):
        away = pairs - mean
        prior = -0.5 * np.einsum("gi,ij,gj->g", away, np.linalg.inv(covariance), away)
        joint = logs + (prior - logsumexp(prior))
        like = logsumexp(joint, axis=1)
        usual = np.log1p(-_OUTLIERS) + like
        total = np.logaddexp(usual, math.log(_OUTLIERS) + anywhere)
        posterior = np.exp(joint - like[:, None])
        own = posterior @ pairs
        inside = np.exp(usual - total)
        count = inside.sum()
        mean = inside @ own / max(count, 1e-9)
        away = pairs - mean
        spread = np.einsum("g,gi,gj->ij", inside @ posterior, away, away)
        covariance = (spread + _PRIOR_COUNT * _PRIOR_STD**2 * np.eye(2)) / (
            count + _PRIOR_COUNT
        )
        values, axes = np.linalg.eigh(covariance)
        covariance = (axes * values.clip(None, _MOST_STD**2)) @ axes.T
    return _Fit(correlation_px, mean, covariance, own, colour, float(total.sum()))


def _all_grey(views: Sequence[Sequence[View]]) -> bool:
    return all(own[0].own == own[0].shared for own in views)


def _colour_matrix(correlation: float) -> tuple[tuple[float, float, float], ...]:
    matrix = np.full([3, 3], correlation)
    np.fill_diagonal(matrix, 1.0)
    return tuple(map(tuple, matrix.tolist()))
