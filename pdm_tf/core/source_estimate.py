"""What was measured of a source: its kernels, its noise and its JPEG, as values.

`estimation` fills it, `degradations` starts from it, `reporting` shows it, and it is
what `estimate.json` holds.

A kernel's shape is theta = (m, d1, d2), the logarithm of its covariance C in squared HR
pixels, axes (y, x): log(C + 0.05 I) = m I + d1 diag(1, -1) + d2 [[0, 1], [1, 0]]. Any
theta is a valid shape, a rotation of the kernel rotates (d1, d2), and a distribution
over shapes can be a normal one. (The 0.05, a pixel's own blur, keeps a delta finite.)
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

THETA_FLOOR_PX2 = 0.05
COORDINATES = ("size", "elongation along the axes", "elongation along the diagonals")
_Z_90 = 1.6448536269514722
_DRAWS = 2048
_MEANS, _DRAWS_OF_A_MEAN = 256, 128

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]


def log_covariances(covariances: np.ndarray) -> np.ndarray:
    """Second moments [N, 2, 2] in squared HR px, axes (y, x) -> theta [N, 3]."""
    values, vectors = np.linalg.eigh(covariances + THETA_FLOOR_PX2 * np.eye(2))
    logs = np.einsum("nij,nj,nkj->nik", vectors, np.log(values.clip(1e-9)), vectors)
    m = (logs[:, 0, 0] + logs[:, 1, 1]) / 2.0
    return np.stack([m, (logs[:, 0, 0] - logs[:, 1, 1]) / 2.0, logs[:, 0, 1]], axis=1)


def covariances(theta: np.ndarray) -> np.ndarray:
    """The inverse of `log_covariances`: theta [N, 3] -> [N, 2, 2] in squared HR px.

    Not below zero: what the floor alone would make is a point.
    """
    m, d1, d2 = np.moveaxis(np.asarray(theta, np.float64), -1, 0)
    r = np.sqrt(d1**2 + d2**2)
    even = np.exp(m) * np.cosh(r)
    odd = np.exp(m) * np.where(r > 1e-9, np.sinh(r) / np.maximum(r, 1e-9), 1.0)
    made = np.empty([*m.shape, 2, 2])
    made[..., 0, 0], made[..., 1, 1] = even + odd * d1, even - odd * d1
    made[..., 0, 1] = made[..., 1, 0] = odd * d2
    values, vectors = np.linalg.eigh(made)
    values = (values - THETA_FLOOR_PX2).clip(0.0)
    return np.einsum("nij,nj,nkj->nik", vectors, values, vectors)


@dataclasses.dataclass(frozen=True)
class Axes:
    """Widths of kernels along their axes, and the long one's direction.

    Attributes:
      long, short: [N] standard deviations, HR px.
      angle_deg: [N] of the long axis, against the image's x axis, in [0, 180), towards
        positive y (downwards).
    """

    long: np.ndarray
    short: np.ndarray
    angle_deg: np.ndarray


def axes_of(theta: np.ndarray) -> Axes:
    """Theta [N, 3] -> widths and directions."""
    values, vectors = np.linalg.eigh(covariances(theta))
    values = values.clip(0.0)  # a point's may come out just below
    angle = np.degrees(np.arctan2(vectors[..., 0, 1], vectors[..., 1, 1])) % 180.0
    widths = np.sqrt(values.clip(0.0))
    return Axes(widths[..., 1], widths[..., 0], angle)


def draw_theta(
    mean: Sequence[float], covariance: Any, count: int = _DRAWS, seed: int = 0
) -> np.ndarray:
    """Draws theta [count, 3] from a normal distribution."""
    random = np.random.default_rng(seed)
    values, vectors = np.linalg.eigh(np.asarray(covariance, np.float64))
    root = vectors * np.sqrt(values.clip(0.0))
    return np.asarray(mean) + random.standard_normal([count, 3]) @ root.T


@dataclasses.dataclass(frozen=True)
class KernelEstimate:
    """The kernel of one photograph.

    Attributes:
      mean: of theta.
      covariance: of theta, how uncertain it is.
    """

    mean: Vector
    covariance: Matrix

    def intervals(self) -> dict[str, tuple[float, float, float]]:
        """Median and 90 % interval of "long" and "short" in HR px: (low, mid, high)."""
        axes = axes_of(draw_theta(self.mean, self.covariance))
        return {
            name: tuple(np.quantile(getattr(axes, name), [0.05, 0.5, 0.95]).tolist())
            for name in ("long", "short")
        }


@dataclasses.dataclass(frozen=True)
class JpegMeasure:
    """What JPEG left in one photograph.

    Attributes:
      quality: 1..100, of the IJG tables that it was (last) stored with; 0: no traces.
      subsampling: of chroma, "444" or "420"; "" where it is not known.
      offset: (y, x) of its grid of blocks in the photograph, each 0..7.
      source: "header" (the file says so), "comb" (found in the pixels), "learned" (a
        guess of the regressor), "" (no traces, which is not the same as none).
      note: what `quality` and `subsampling` cannot say, a phrase; "" for nothing.
    """

    quality: int = 0
    subsampling: str = ""
    offset: tuple[int, int] = (0, 0)
    source: Literal["header", "comb", "learned", ""] = ""
    note: str = ""


@dataclasses.dataclass(frozen=True)
class PhotographEstimate:
    """One LR photograph.

    Attributes:
      name: path below the folder.
      left_out: why it is not used; "" for one that is.
      kernel: None if left out.
      weight: its share in the population, 0..1: low for one unlike all others.
      noise_255: standard deviation of its noise at signal 0.15 and 0.7, in levels.
      jpeg: traces of JPEG.
    """

    name: str
    left_out: str = ""
    kernel: KernelEstimate | None = None
    weight: float = 1.0
    noise_255: tuple[float, float] | None = None
    jpeg: JpegMeasure = JpegMeasure()


@dataclasses.dataclass(frozen=True)
class KernelPopulation:
    """The distribution of kernels: theta ~ N(mean, covariance).

    Attributes:
      mean, covariance: of theta over the source's photographs.
      mean_error: covariance of the error of `mean`: small with many photographs, large
        where the photographs say nothing.
      photographs: how many it comes from, as a sum of weights.
      isotropic: whether no direction is preferred: d1 and d2 of mean 0, one variance.
      slopes: for each coordinate by how much the regressor's output moves when the
        truth moves by 1: near 1 it can be seen, near 0 it cannot.
      gates: what could not be corrected because its slope is too small, as sentences.
      raw_mean, raw_covariance: of the regressor's outputs, before any correction.
    """

    mean: Vector
    covariance: Matrix
    mean_error: Matrix
    photographs: float
    isotropic: bool = True
    slopes: Vector = (1.0, 1.0, 1.0)
    gates: tuple[str, ...] = ()
    raw_mean: Vector | None = None
    raw_covariance: Matrix | None = None

    def draw(self, count: int = _DRAWS, seed: int = 0) -> np.ndarray:
        """Draws theta [count, 3]."""
        return draw_theta(self.mean, self.covariance, count, seed)

    def intervals(self) -> dict[str, dict[str, tuple[float, float, float]]]:
        """Mean and spread of the widths, with 90 % intervals, HR px.

        Returns:
          "long" and "short" -> "mean" and "spread" -> (low, middle, high). The interval
          of a mean is that of the population's mean; that of a spread comes from the
          number of photographs alone (chi squared in normal approximation).
        """
        drawn = axes_of(self.draw())
        # The same kernels about each of the means that there may be: an axis of the
        # mean kernel would be longer for any elongation, whichever its direction.
        means = draw_theta((0.0, 0.0, 0.0), self.mean_error, _MEANS)
        shifted = self.draw(_DRAWS_OF_A_MEAN) + means[:, None]
        shifted = axes_of(shifted.reshape(-1, 3))
        found = {}
        share = _Z_90 / np.sqrt(max(2.0 * (self.photographs - 1.0), 1.0))
        for name in ("long", "short"):
            widths = getattr(drawn, name)
            mean, spread = float(widths.mean()), float(widths.std())
            off = getattr(shifted, name).reshape(_MEANS, -1).mean(axis=1)
            off = mean + off - off.mean()
            low, high = (float(np.quantile(off, q)) for q in (0.05, 0.95))
            found[name] = {
                "mean": (low, mean, high),
                "spread": (spread / (1.0 + share), spread, spread * (1.0 + share)),
            }
        return found


@dataclasses.dataclass(frozen=True)
class NoisePopulation:
    """The distribution of noise: std(y) = sqrt(read^2 + shot y), both log-normal.

    Signal and noise are in units of [0, 1]; one pair (read, shot) for each photograph.

    Attributes:
      log_mean: of (log read, log shot).
      log_covariance: 2 x 2.
      correlation_px: standard deviation, LR px, of the Gaussian that white noise was
        smoothed with; 0 for white noise. Strength is counted after it.
      colour: [3, 3] correlation between R, G and B.
      photographs: how many gave a level.
    """

    log_mean: tuple[float, float]
    log_covariance: tuple[tuple[float, float], tuple[float, float]]
    correlation_px: float = 0.0
    colour: Matrix = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    photographs: int = 0

    def std_255(self, level: float) -> float:
        """Median standard deviation at a signal level, in levels of 8 bit."""
        read, shot = np.exp(self.log_mean)
        return float(255.0 * np.sqrt(read**2 + shot * level))


@dataclasses.dataclass(frozen=True)
class JpegPopulation:
    """The distribution of JPEG qualities: one of these, each equally likely.

    Attributes:
      qualities: one for each photograph with traces; 0 for one without any.
      subsampling: "444" or "420", the more frequent one.
      source: where most of them are known from, see `JpegMeasure`.
    """

    qualities: tuple[int, ...]
    subsampling: str = "420"
    source: str = "comb"


@dataclasses.dataclass(frozen=True)
class SourceEstimate:
    """Everything that was measured of a source.

    Attributes:
      scale: HR size / LR size.
      grid: where LR pixels lie, of `core.geometry.GRIDS`; assumed, it cannot be seen.
      kernels: the distribution of kernels.
      noise: None: no noise beyond the rounding to 8 bits.
      jpeg: None: no traces of JPEG.
      photographs: each LR photograph, in order of name.
      facts: what else is worth keeping, JSON: seconds, settings, the regressor's error.
    """

    scale: int
    grid: str
    kernels: KernelPopulation
    noise: NoisePopulation | None = None
    jpeg: JpegPopulation | None = None
    photographs: tuple[PhotographEstimate, ...] = ()
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Nested dicts, lists and numbers."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "SourceEstimate":
        """The inverse of `to_json`, also after JSON has made lists of tuples."""
        photographs = []
        for row in stored["photographs"]:
            kernel, jpeg = row["kernel"], row["jpeg"]
            photographs.append(
                PhotographEstimate(
                    **{
                        **row,
                        "kernel": None
                        if kernel is None
                        else _made(KernelEstimate)(kernel),
                        "jpeg": _made(JpegMeasure)(jpeg),
                        "noise_255": _tuples(row["noise_255"]),
                    }
                )
            )
        parts = {
            "kernels": _made(KernelPopulation),
            "noise": _made(NoisePopulation),
            "jpeg": _made(JpegPopulation),
        }
        made = {
            name: None if stored[name] is None else make(stored[name])
            for name, make in parts.items()
        }
        return cls(**{**stored, **made, "photographs": tuple(photographs)})


def _made(kind: type) -> Any:
    return lambda fields: kind(**{name: _tuples(x) for name, x in fields.items()})


def _tuples(value: Any) -> Any:
    return (
        tuple(_tuples(x) for x in value) if isinstance(value, list | tuple) else value
    )
