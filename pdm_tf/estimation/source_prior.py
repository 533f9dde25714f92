"""What might have happened to a photograph: broad draws of blur, noise and JPEG.

The regressor learns on HR photographs that are degraded by these, so what is not in
here it cannot recognise. Nothing is meant to be likely; it is meant to be wide:

- blur: anisotropic Gaussians, paths of a shaking camera, disks of a lens out of focus;
- noise: variance read^2 + shot * signal, white or smoothed, coloured or grey;
- JPEG of any quality, or of the qualities that were measured.

`degrade_photograph` carries one draw out, in the order in which a camera does: blur,
keep every `scale`-th pixel from pixel 0 on, noise, 8 bits, JPEG. NumPy, SciPy and
Pillow; a draw is a function of its random generator alone.
"""

import dataclasses
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.fft
from PIL import Image
from scipy.ndimage import gaussian_filter

from pdm_tf.core.source_estimate import covariances

# HR pixels at scale 4; they grow with the scale, as LR pixels do.
_SIGMA_AT_4 = (0.45, 5.5)
_LONGEST_RATIO = 4.0
_DISK_AT_4 = (1.0, 7.0)
_PATH_AT_4 = (1.5, 28.0)
_LENS_AT_4 = (0.45, 1.2)
_READ = (0.001, 0.04)
_SHOT = (2e-5, 0.008)
_CORRELATION_PX = (0.3, 0.9)
_QUALITY = (10, 98)
SUBSAMPLINGS = ("420", "444")
# Offsets of JPEG's grid: blocks, and for halved chroma two blocks.
_GRID = 16


class Noise(NamedTuple):
    """Noise of one photograph: variance read^2 + shot * signal, signal in [0, 1].

    Attributes:
      read, shot: see above; 0 for none.
      correlation_px: standard deviation, LR px, of the Gaussian that white noise was
        smoothed with; its strength is counted after that.
      grey: correlation between the colours, 0..1.
    """

    read: float = 0.0
    shot: float = 0.0
    correlation_px: float = 0.0
    grey: float = 0.0

    def std(self, signal: float) -> float:
        """Standard deviation at a signal, both of [0, 1]."""
        return math.sqrt(self.read**2 + self.shot * signal)


class Jpeg(NamedTuple):
    """JPEG of one photograph.

    Attributes:
      quality: 1..100; 0: none.
      subsampling: of SUBSAMPLINGS.
      offset: (y, x) of the first whole block in the photograph.
    """

    quality: int = 0
    subsampling: str = "420"
    offset: tuple[int, int] = (0, 0)


NO_NOISE = Noise()
NO_JPEG = Jpeg()


class Draw(NamedTuple):
    """All that happens to one photograph: kernel [K, K] of sum 1, noise, JPEG."""

    kernel: np.ndarray
    noise: Noise
    jpeg: Jpeg


@dataclasses.dataclass(frozen=True)
class SourcePrior:
    """How often what is drawn.

    Attributes:
      scale: HR size / LR size.
      gaussians, paths: shares of these kernels; the rest are disks.
      noise_share: share of photographs with noise.
      jpeg_share: share of photographs with JPEG.
      qualities: to draw from; empty: 10..98.

    Raises:
      ValueError: shares outside 0..1, a scale below 1, or qualities outside 1..100.
    """

    scale: int
    gaussians: float = 0.6
    paths: float = 0.3
    noise_share: float = 0.65
    jpeg_share: float = 0.35
    qualities: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        shares = (self.gaussians, self.paths, self.noise_share, self.jpeg_share)
        if not all(0.0 <= x <= 1.0 for x in (*shares, self.gaussians + self.paths)):
            raise ValueError(f"Shares must lie within 0..1. Received: {shares}.")
        if self.scale < 1:
            raise ValueError(f"`scale` must be 1 or more. Received: {self.scale}.")
        if not all(1 <= q <= 100 for q in self.qualities):
            raise ValueError(
                f"Qualities must lie within 1..100. Received: {self.qualities}."
            )

    @property
    def side(self) -> int:
        """Side of the kernels: 21 at scale 4, as PDM's."""
        return kernel_side(self.scale)

    def draw(self, random: np.random.Generator) -> Draw:
        """Draws what happens to one photograph."""
        return Draw(self._kernel(random), self._noise(random), self._jpeg(random))

    def _kernel(self, random: np.random.Generator) -> np.ndarray:
        if random.uniform() >= self.gaussians:
            return self.other_kernel(random)
        unit = self.scale / 4.0
        low, high = np.log(_SIGMA_AT_4)
        long = unit * math.exp(random.uniform(low, high))
        ratio = math.exp(random.uniform(0.0, math.log(_LONGEST_RATIO)))
        short = max(long / ratio, unit * _SIGMA_AT_4[0])
        return gaussian_kernel(long, short, random.uniform(0, np.pi), self.side)

    def other_kernel(self, random: np.random.Generator) -> np.ndarray:
        """Draws a kernel [side, side] that is no Gaussian: a path or a disk."""
        unit = self.scale / 4.0
        lens = unit * random.uniform(*_LENS_AT_4)
        if random.uniform() * (1.0 - self.gaussians) < self.paths:
            length = unit * math.exp(random.uniform(*np.log(_PATH_AT_4)))
            return path_kernel(length, lens, self.side, random)
        radius = unit * math.exp(random.uniform(*np.log(_DISK_AT_4)))
        return disk_kernel(radius, 0.6 * lens, self.side)

    def _noise(self, random: np.random.Generator) -> Noise:
        if random.uniform() >= self.noise_share:
            return NO_NOISE
        read = math.exp(random.uniform(*np.log(_READ)))
        shot = math.exp(random.uniform(*np.log(_SHOT)))
        smooth = random.uniform(*_CORRELATION_PX) if random.uniform() < 0.35 else 0.0
        grey = random.uniform() if random.uniform() < 0.25 else 0.0
        return Noise(read, shot, smooth, grey)

    def _jpeg(self, random: np.random.Generator) -> Jpeg:
        if random.uniform() >= self.jpeg_share:
            return NO_JPEG
        if self.qualities:
            quality = int(random.choice(self.qualities))
        else:
            quality = int(random.integers(_QUALITY[0], _QUALITY[1] + 1))
        subsampling = SUBSAMPLINGS[int(random.uniform() < 0.3)]
        offset = random.integers(0, _GRID, 2) if random.uniform() < 0.5 else (0, 0)
        return Jpeg(quality, subsampling, (int(offset[0]), int(offset[1])))


def kernel_side(scale: int) -> int:
    """Side of the kernels that are drawn: 21 up to scale 4, then with the scale."""
    return 2 * max(10, math.ceil(2.5 * scale)) + 1


def gaussian_kernel(
    long_px: float, short_px: float, angle_rad: float, side: int
) -> np.ndarray:
    """Anisotropic Gaussian, sampled at the taps: [side, side] of sum 1.

    Args:
      long_px, short_px: standard deviations along its axes, positive.
      angle_rad: of the first axis, from right towards below.
      side: odd.
    """
    y, x = _places(side)
    along = math.cos(angle_rad) * x + math.sin(angle_rad) * y
    across = math.cos(angle_rad) * y - math.sin(angle_rad) * x
    kernel = np.exp(-0.5 * ((along / long_px) ** 2 + (across / short_px) ** 2))
    return kernel / kernel.sum()


def kernels_of_theta(theta: np.ndarray, side: int) -> np.ndarray:
    """Gaussians of given shapes.

    Args:
      theta: [N, 3] as in `core.source_estimate`.
      side: K, odd.

    Returns:
      [N, K, K] float64 of sum 1. Narrower ones than a third of a pixel become a point.
    """
    values, vectors = np.linalg.eigh(covariances(np.atleast_2d(theta)))
    y, x = _places(side)
    places = np.stack([y, x], axis=-1)
    along = np.einsum("abi,nij->nabj", places, vectors)
    squares = (np.square(along) / values.clip(0.02)[:, None, None, :]).sum(-1)
    kernels = np.exp(-0.5 * squares)
    return kernels / kernels.sum((1, 2), keepdims=True)


def path_kernel(
    length_px: float, lens_px: float, side: int, random: np.random.Generator
) -> np.ndarray:
    """Path of a shaking hand: a smooth walk that may turn or stop, and a lens' blur.

    Velocity is a random walk that is pulled back to its first direction, more or less,
    so that paths lie between straight lines and knots; it also dwells at places, as
    real ones do. No measured path is in it.

    Args:
      length_px: of the path, about.
      lens_px: standard deviation of the Gaussian that it is smoothed with.
      side: odd; what leaves the square is cut.
      random: draws it.

    Returns:
      [side, side] float64 of sum 1, centred on its centre of mass, about.
    """
    steps = 64
    turning = random.uniform(0.0, 0.5) ** 1.5
    headings = random.uniform(0, 2 * np.pi) + np.cumsum(
        random.standard_normal(steps) * turning
    )
    if random.uniform() < 0.3:  # a sudden turn
        headings[random.integers(8, steps - 8) :] += random.uniform(0.5, np.pi)
    # Speed changes slowly, by 30 times at most: where it is slow, mass gathers.
    speed = np.exp(
        gaussian_filter(random.standard_normal(steps), 6.0, mode="wrap")
        * 8.0
        * random.uniform()
    )
    moves = np.stack([np.sin(headings), np.cos(headings)], axis=1) * speed[:, None]
    path = np.cumsum(moves, axis=0) * (length_px / speed.sum())
    path -= path.mean(0)
    y, x = _places(side)
    squares = np.square(y[..., None] - path[:, 0]) + np.square(
        x[..., None] - path[:, 1]
    )
    kernel = np.exp(-0.5 * squares / lens_px**2).sum(-1)
    total = kernel.sum()
    if total < 1e-6:  # all of it outside the square: cannot be at these lengths
        raise ValueError(f"A path must lie in its square. Received: {length_px} px.")
    return kernel / total


def disk_kernel(radius_px: float, lens_px: float, side: int) -> np.ndarray:
    """Disk of a lens out of focus, its edge softened: [side, side] of sum 1."""
    y, x = _places(side)
    inside = (radius_px - np.hypot(y, x)) / max(lens_px, 0.3)
    kernel = 1.0 / (1.0 + np.exp(-2.0 * inside.clip(-30.0, 30.0)))
    return kernel / kernel.sum()


def degrade_photograph(
    hr_u8: np.ndarray,
    kernel: np.ndarray,
    scale: int,
    *,
    noise: Noise = NO_NOISE,
    jpeg: Jpeg = NO_JPEG,
    random: np.random.Generator,
) -> np.ndarray:
    """Makes the LR photograph that a camera with these faults would have taken.

    Args:
      hr_u8: [H, W, 3] uint8; what is no multiple of `scale` is cut at the right and
        below. It is mirrored at its border.
      kernel: [K, K], K odd, of sum 1; not flipped.
      scale: every scale-th pixel is kept, from pixel 0 on.
      noise, jpeg: what follows.
      random: draws the noise.

    Returns:
      [H // scale, W // scale, 3] uint8.

    Raises:
      ValueError: an HR photograph that is smaller than half the kernel.
    """
    height, width = (side // scale * scale for side in hr_u8.shape[:2])
    half = kernel.shape[0] // 2
    if min(height, width) <= half:
        raise ValueError(
            f"A photograph must be larger than {half} x {half} pixels, half its kernel."
            f" Received: {hr_u8.shape[0]} x {hr_u8.shape[1]}."
        )
    room = ((half, half), (half, half), (0, 0))
    padded = np.pad(hr_u8[:height, :width], room, "reflect")
    return degrade_crop(padded, kernel, scale, noise=noise, jpeg=jpeg, random=random)


def degrade_crop(
    hr_u8: np.ndarray,
    kernel: np.ndarray,
    scale: int,
    *,
    noise: Noise = NO_NOISE,
    jpeg: Jpeg = NO_JPEG,
    random: np.random.Generator,
) -> np.ndarray:
    """As `degrade_photograph`, of a crop with K // 2 real pixels beyond each edge."""
    clean = _blurred(hr_u8, kernel, scale)
    levels = _to_levels(_with_noise(clean, noise, random))
    return _compressed(levels, jpeg) if jpeg.quality else levels


def _blurred(hr_u8: np.ndarray, kernel: np.ndarray, scale: int) -> np.ndarray:
    """[H, W, 3] with a margin of K // 2 -> [h, w, 3] float32 in [0, 1]."""
    margin = kernel.shape[0] - 1
    height, width = (side - margin for side in hr_u8.shape[:2])
    sides = [scipy.fft.next_fast_len(side, real=True) for side in hr_u8.shape[:2]]
    image = np.moveaxis(hr_u8, 2, 0).astype(np.float32) / np.float32(255.0)
    spectrum = scipy.fft.rfft2(image, sides)
    # Correlation; what wraps around lies beyond the last place that is read.
    response = scipy.fft.rfft2(kernel.astype(np.float32), sides).conj()
    # Rows that are not kept need no transform back.
    rows = scipy.fft.ifft(spectrum * response, axis=1)[:, :height:scale]
    blurred = scipy.fft.irfft(rows, sides[1], axis=2)[:, :, :width:scale]
    return np.moveaxis(blurred, 0, 2)


def _with_noise(
    clean: np.ndarray, noise: Noise, random: np.random.Generator
) -> np.ndarray:
    if not (noise.read or noise.shot):
        return clean
    white = random.standard_normal(clean.shape, np.float32)
    if noise.grey:
        shared = random.standard_normal((*clean.shape[:2], 1), np.float32)
        white = math.sqrt(1.0 - noise.grey) * white + math.sqrt(noise.grey) * shared
    if noise.correlation_px:
        white = smoothed(white, noise.correlation_px)
    variance = noise.read**2 + noise.shot * clean.clip(0.0)
    return clean + np.sqrt(variance) * white


def smoothed(white: np.ndarray, correlation_px: float) -> np.ndarray:
    """White noise [h, w, C] smoothed by a Gaussian, of unit variance again."""
    radius = max(1, math.ceil(4.0 * correlation_px))
    taps = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) / correlation_px))
    gain = np.sum(np.square(taps / taps.sum()))  # of the variance, once for each axis
    settings = {"sigma": correlation_px, "radius": radius, "axes": (0, 1)}
    return gaussian_filter(white, mode="wrap", **settings) / np.float32(gain)


def _to_levels(image: np.ndarray) -> np.ndarray:
    return np.floor(image.clip(0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def _compressed(levels: np.ndarray, jpeg: Jpeg) -> np.ndarray:
    """Through a JPEG file whose blocks begin `offset` pixels into the photograph."""
    before = [-shift % _GRID for shift in jpeg.offset]
    room = ((before[0], 0), (before[1], 0), (0, 0))
    file = io.BytesIO()
    Image.fromarray(np.pad(levels, room, "symmetric")).save(
        file,
        "JPEG",
        quality=jpeg.quality,
        subsampling={"444": 0, "420": 2}[jpeg.subsampling],
    )
    with Image.open(file) as image:
        decoded = np.asarray(image)
    return np.ascontiguousarray(decoded[before[0] :, before[1] :])


def _places(side: int) -> Sequence[np.ndarray]:
    return np.mgrid[:side, :side].astype(np.float64) - side // 2
