"""From what was measured of a source to a PDM that starts there.

The config alone carries the estimate: `pdm_config_of(estimate).build()` draws the
measured kernels, noise and JPEG qualities before any training, and is saved, loaded,
refined or frozen as any PDM.

Measured kernels are a normal distribution of theta = log(C + 0.05 I)
(`core.source_estimate`), those of the module one of (m, d1, d2) = log(C - 0.16 I), and
what comes out is sampled at whole pixels and cut at the window. So the module's
distribution is fitted: a few Newton steps after which its *kernels* have the wanted
widths, by mean and covariance of C^(1/2), whose unit is HR px. (Of theta itself they
would have to copy the lower tail too, kernels much narrower than a pixel, which nobody
can see, and would pay with an upper tail that everybody can.)
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from pdm_tf.core.source_estimate import (
    KernelPopulation,
    NoisePopulation,
    SourceEstimate,
    covariances,
)
from pdm_tf.degradations.gaussian_start import GaussianStart
from pdm_tf.degradations.jpeg_module import JPEGModuleConfig
from pdm_tf.degradations.kernel_module import KernelModuleConfig
from pdm_tf.degradations.parametric_noise import ParametricNoiseConfig
from pdm_tf.degradations.pdm import PDMConfig
from pdm_tf.degradations.trunk import LEAST_SIGMA_PX
from pdm_tf.ops.blur import grid_geometry

_STEPS = 10
_DRAWS = 64  # times 8 changes of sign
# Largest change of the mean in one step; the bounds of one variance of (m, d1, d2).
_LONGEST_STEP = 0.5
_VARIANCES = (1e-5, 2.0)
# Derivatives below this, in px, are taken for it: where kernels are as narrow or as
# wide as they can be they hardly move, and the fit must not chase them.
_LEAST_SLOPE = 0.05
_WIDEST = 0.22  # of K: a Gaussian of this width still shows its tails in the window


def pdm_config_of(
    estimate: SourceEstimate, kernel: KernelModuleConfig | None = None
) -> PDMConfig:
    """Settings of a PDM that starts at an estimate.

    Args:
      estimate: what was measured.
      kernel: further settings of the kernel module, for the estimate's scale; None:
        the default ones. The start of what is learned tap by tap is 0 in any case.
    """
    kernel = kernel or KernelModuleConfig().at_scale(estimate.scale)
    _, centre_px = grid_geometry(estimate.scale, estimate.grid)
    start = gaussian_start(estimate.kernels, kernel.kernel_size, centre_px)
    jpeg = None
    if estimate.jpeg is not None:
        jpeg = JPEGModuleConfig(
            subsampling=estimate.jpeg.subsampling, qualities=estimate.jpeg.qualities
        )
    return PDMConfig(
        scale=estimate.scale,
        kernel=dataclasses.replace(kernel, start=start, initial_std=0.0),
        noise=None if estimate.noise is None else _noise(estimate.noise),
        grid=estimate.grid,
        jpeg=jpeg,
    )


def gaussian_start(
    population: KernelPopulation, kernel_size: int, centre_px: float = 0.0
) -> GaussianStart:
    """The distribution of (m, d1, d2) whose kernels are a population's.

    Where the module cannot follow, below its least width of 0.4 px and where kernels
    fill their window, the nearest one that it can have.

    Args:
      population: of theta.
      kernel_size: K of the module.
      centre_px: where its kernels are centred, HR px off the middle tap.
    """
    noise, window = _balanced_draws(), _Window(kernel_size, centre_px)
    spread = np.asarray(population.covariance)
    theta = np.asarray(population.mean) + noise @ _root(spread)
    target = _roots(covariances(theta), window.widest_px)
    mean = window.coordinates(covariances(np.asarray([population.mean]))[0])
    covariance = _bounded(spread)

    def roots(mean: np.ndarray) -> np.ndarray:
        drawn = mean + noise @ np.linalg.cholesky(covariance).T
        return _roots(window.covariances(drawn), window.widest_px)

    for _ in range(_STEPS):
        found, slope = roots(mean), _slope(lambda x: roots(x).mean(axis=0), mean)
        inverse = _inverse(slope)
        step = inverse @ (target.mean(axis=0) - found.mean(axis=0))
        mean = mean + step.clip(-_LONGEST_STEP, _LONGEST_STEP)
        mean[0] = mean[0].clip(*window.sizes)
        # What turns the found spread into the wanted one, in the module's coordinates.
        ratio = _root(np.cov(target.T)) @ np.linalg.pinv(_root(np.cov(found.T)))
        change = inverse @ ratio @ slope
        covariance = _bounded(change @ covariance @ change.T)
    # The mean's error, carried over by how both means move the kernels.
    moved = _slope(
        lambda x: _roots(covariances(x + noise @ _root(spread)), window.widest_px).mean(
            axis=0
        ),
        np.asarray(population.mean),
    )
    carried = _inverse(_slope(lambda x: roots(x).mean(axis=0), mean)) @ moved
    error = carried @ np.asarray(population.mean_error) @ carried.T
    return GaussianStart(
        mean=tuple(mean.tolist()),
        covariance=_rows(covariance),
        mean_error=_rows(_bounded(error, 1e-7, 1e3)),
        photographs=max(float(population.photographs), 1.0),
    )


def _noise(population: NoisePopulation) -> ParametricNoiseConfig:
    return ParametricNoiseConfig(
        log_mean=population.log_mean,
        log_covariance=population.log_covariance,
        correlation_px=population.correlation_px,
        colour=population.colour,
    )


class _Window:
    """Gaussian kernels as the module makes them: sampled, and cut at K x K taps."""

    def __init__(self, kernel_size: int, centre_px: float) -> None:
        offsets = np.arange(kernel_size) - kernel_size // 2 - centre_px
        y, x = (part.ravel() for part in np.meshgrid(offsets, offsets, indexing="ij"))
        self._forms = np.stack([y * y, x * x, 2.0 * x * y])
        self._places = np.stack([y, x, y * y, x * x, x * y], axis=1)
        self.widest_px = _WIDEST * kernel_size
        self.sizes = np.log([0.05 * LEAST_SIGMA_PX**2, self.widest_px**2])

    def covariances(self, coordinates: np.ndarray) -> np.ndarray:
        """(m, d1, d2) [N, 3] -> second moments [N, 2, 2] of the kernels' taps."""
        m, d1, d2 = coordinates.T
        r = np.sqrt(d1**2 + d2**2 + 1e-12)
        even = np.exp(m) * np.cosh(r) + LEAST_SIGMA_PX**2
        odd = np.exp(m) * np.sinh(r) / r
        inverse = np.stack([even - odd * d1, even + odd * d1, -odd * d2], axis=1)
        inverse /= (even**2 - (odd * r) ** 2)[:, None]
        logits = -0.5 * inverse @ self._forms
        kernels = np.exp(logits - logits.max(axis=1, keepdims=True))
        sums = kernels @ self._places / kernels.sum(axis=1, keepdims=True)
        y, x, yy, xx, xy = sums.T
        made = np.stack([yy - y * y, xy - x * y, xy - x * y, xx - x * x], axis=1)
        return made.reshape(-1, 2, 2)

    def coordinates(self, covariance: np.ndarray) -> np.ndarray:
        """(m, d1, d2) of one covariance, as nearly as the least width allows."""
        floor = LEAST_SIGMA_PX**2
        values, vectors = np.linalg.eigh(covariance)
        values = (values - floor).clip(0.1 * floor, self.widest_px**2)
        logs = (vectors * np.log(values)) @ vectors.T
        m = (logs[0, 0] + logs[1, 1]) / 2.0
        return np.asarray([m, (logs[0, 0] - logs[1, 1]) / 2.0, logs[0, 1]])


def _balanced_draws() -> np.ndarray:
    """[N, 3] of N(0, I): no mean, unit variances, and no sign more often than others.

    So a population that prefers no direction gives a start that does not either.
    """
    drawn = np.abs(np.random.default_rng(0).standard_normal([_DRAWS, 3]))
    signs = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), -1).reshape(-1, 1, 3)
    drawn = (signs * drawn).reshape(-1, 3)
    return drawn / drawn.std(axis=0)


def _roots(covariances: np.ndarray, widest_px: float) -> np.ndarray:
    """[N, 2, 2] -> yy, xx and xy of the symmetric roots [N, 3], HR px."""
    values, vectors = np.linalg.eigh(covariances)
    widths = np.sqrt(values.clip(0.0)).clip(None, widest_px)
    roots = np.einsum("nij,nj,nkj->nik", vectors, widths, vectors)
    return np.stack([roots[:, 0, 0], roots[:, 1, 1], roots[:, 0, 1]], axis=1)


def _slope(function: Callable[[np.ndarray], np.ndarray], at: np.ndarray) -> np.ndarray:
    """[3, 3] derivatives, by differences."""
    columns = [(function(at + d) - function(at - d)) / 0.2 for d in 0.1 * np.eye(3)]
    return np.stack(columns, axis=1)


def _inverse(slope: np.ndarray) -> np.ndarray:
    left, values, right = np.linalg.svd(slope)
    return (right.T / values.clip(_LEAST_SLOPE)) @ left.T


def _bounded(
    matrix: np.ndarray, low: float = _VARIANCES[0], high: float = _VARIANCES[1]
) -> np.ndarray:
    """A covariance with its eigenvalues in [low, high]."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    return (vectors * values.clip(low, high)) @ vectors.T


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2.0)
    return (vectors * np.sqrt(values.clip(0.0))) @ vectors.T


def _rows(matrix: np.ndarray) -> tuple[tuple[float, ...], ...]:
    symmetric = (matrix + matrix.T) / 2.0
    return tuple(tuple(row) for row in symmetric.tolist())
