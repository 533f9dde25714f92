"""What the regressor would say of a source with given kernels.

HR photographs that it has not learned on are degraded as the real photographs are, of
their sizes, with noise and JPEG as measured, and shown to it. So its shrinkage, its
scatter and its taste in content can be measured instead of assumed.

Nobody knows the form of the source's kernels, so they are Gaussians, paths of a shaking
camera and disks as often as in the regressor's prior. A path reads narrower than a
Gaussian of the same second moments: with Gaussians alone, sources with motion came out
too narrow.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from pdm_tf.core.kernel_shapes import second_moments
from pdm_tf.core.source_estimate import JpegMeasure, NoisePopulation, log_covariances
from pdm_tf.estimation.kernel_regressor import (
    KernelRegressor,
    Prediction,
    TrainingStopped,
)
from pdm_tf.estimation.source_prior import (
    NO_JPEG,
    NO_NOISE,
    Jpeg,
    Noise,
    SourcePrior,
    degrade_crop,
    kernels_of_theta,
)

_THREADS = 2
_SYMMETRIES = 8
# Kernels that are no Gaussians, of which the nearest in shape is taken.
_OTHERS = 2000


class Simulated(NamedTuple):
    """Photographs that were simulated.

    Attributes:
      theta: [N, 3] the shapes of their kernels, near those that were asked for.
      other: [N] bool, the kernel is no Gaussian.
      said: what the regressor says of them.
    """

    theta: np.ndarray
    other: np.ndarray
    said: Prediction


class Simulation:
    """Degrades held-out photographs and asks the regressor.

    Args:
      regressor: to be asked.
      held_out: HR photographs [H, W, 3] uint8, larger than a patch and its margin.
      sizes: (height, width) of the real LR photographs.
      jpeg: of the real photographs.
      noise: of the source; None: none.
    """

    def __init__(
        self,
        regressor: KernelRegressor,
        held_out: Sequence[np.ndarray],
        sizes: Sequence[tuple[int, int]],
        jpeg: Sequence[JpegMeasure],
        noise: NoisePopulation | None,
    ) -> None:
        self._regressor = regressor
        self._held_out = held_out
        self._sizes = sizes
        self._jpeg = jpeg
        self._noise = noise
        self._prior = SourcePrior(regressor.scale)
        random = np.random.default_rng(0)
        others = [self._prior.other_kernel(random) for _ in range(_OTHERS)]
        self._others = np.stack(others)
        self._other_theta = log_covariances(second_moments(self._others))

    def __call__(
        self, theta: np.ndarray, seed: int, stop: Callable[[], bool] = lambda: False
    ) -> Simulated:
        """Simulates one photograph for each row of theta [N, 3].

        Row i is of photograph i modulo their number, so all are used alike.

        Raises:
          TrainingStopped: `stop` said so.
        """
        theta, other, kernels = self._kernels(theta, np.random.default_rng(seed))

        def one(index: int) -> tuple[np.ndarray, int]:
            if stop():
                raise TrainingStopped
            random = np.random.default_rng([seed, index])
            return self._photograph(kernels[index], index, random)

        with ThreadPoolExecutor(_THREADS) as pool:
            made = list(pool.map(one, range(len(theta))))
        images, qualities = zip(*made, strict=True)
        said = self._regressor.predict(images, qualities, threads=_THREADS)
        return Simulated(theta, other, said)

    def _kernels(
        self, theta: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Kernels of all forms about as wide as asked: as `Simulated`, [N, K, K]."""
        theta, kernels = theta.copy(), kernels_of_theta(theta, self._prior.side)
        other = random.uniform(size=len(theta)) >= self._prior.gaussians
        for index in np.flatnonzero(other):
            away = np.square(self._other_theta - theta[index]).sum(1)
            nearest = int(away.argmin())
            theta[index] = self._other_theta[nearest]
            kernels[index] = self._others[nearest]
        return theta, other, kernels

    def _photograph(
        self, kernel: np.ndarray, index: int, random: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """An LR photograph [h, w, 3] uint8, and its JPEG quality."""
        scale = self._regressor.scale
        hr_u8 = self._held_out[index % len(self._held_out)]
        symmetry = int(random.integers(_SYMMETRIES))
        if symmetry >= 4:
            hr_u8 = hr_u8.swapaxes(0, 1)
        hr_u8 = hr_u8[:: -1 if symmetry & 1 else 1, :: -1 if symmetry & 2 else 1]
        real = int(random.integers(len(self._sizes)))
        margin = kernel.shape[0] - 1
        places = []
        for length, wanted in zip(hr_u8.shape[:2], self._sizes[real], strict=True):
            size = min(wanted, (length - margin) // scale) * scale + margin
            start = int(random.integers(length - size + 1))
            places.append(slice(start, start + size))
        jpeg = self._jpeg[real]
        lr_u8 = degrade_crop(
            hr_u8[tuple(places)],
            kernel,
            scale,
            noise=self._draw_noise(random),
            jpeg=Jpeg(jpeg.quality, jpeg.subsampling or "420", jpeg.offset)
            if jpeg.quality
            else NO_JPEG,
            random=random,
        )
        return lr_u8, jpeg.quality

    def _draw_noise(self, random: np.random.Generator) -> Noise:
        if self._noise is None:
            return NO_NOISE
        read, shot = np.exp(
            random.multivariate_normal(self._noise.log_mean, self._noise.log_covariance)
        )
        colour = np.asarray(self._noise.colour)
        grey = float(np.mean(colour[np.triu_indices(3, 1)]))
        return Noise(
            float(read), float(shot), self._noise.correlation_px, max(grey, 0.0)
        )
