"""How likely each strength of noise makes the windows of one photograph.

Windows of 8 x 8 pixels go through a DCT. Every coefficient is taken for normal, with
the variance of the noise, of the rounding to 8 bits, and of the picture. The picture's
share is not known: it is summed over a set of spectra (nothing, or an amplitude with a
slope), whose chances `noise_population` learns from the whole folder. So a flat window
says how strong the noise is, a textured one only how strong it is at most, and nobody
has to decide which windows are flat.

Colour helps: pictures are nearly grey, noise of a sensor is not, so that differences of
channels hold noise with little picture.

A photograph that was stored as JPEG shows multiples of the quantisation steps. Its
windows are JPEG's own blocks, and a coefficient of k steps says that the value before
lay in [k - 1/2, k + 1/2] steps: noise below a step is not taken for none. Only the
luminance is used; chroma has been reduced and is coarsely quantised.
"""

import dataclasses

import numpy as np
from scipy import fft
from scipy.special import log_ndtr

from pdm_tf.core.source_estimate import JpegMeasure
from pdm_tf.ops.jpeg import LUMINANCE

SIDE = 8
LEVEL = 1.0 / 255.0
ROUNDING = LEVEL**2 / 12.0
# Strengths that are compared: standard deviations in units of [0, 1].
SIGMAS = np.geomspace(0.07, 45.0, 36) * LEVEL
LEVELS = 16  # bins of the signal over [0, 1]
WINDOWS = 160  # of one photograph at most
_STRIDE = 4

_U, _V = np.mgrid[:SIDE, :SIDE]
_RADIUS = np.hypot(_U, _V)
# Rings of coefficients; the coarsest ones are the picture's alone.
_RING = np.digitize(_RADIUS, [1.9, 3.0, 4.0, 5.0, 6.0, 7.2]) - 1
_RINGS = int(_RING.max()) + 1
_COUNT = np.array([np.sum(_RING == ring) for ring in range(_RINGS)], np.float64)
_AMPLITUDES = np.geomspace(0.2, 45.0, 9) * LEVEL  # of the picture at radius 4
_SLOPES = (0.0, 2.0, 4.0)
CONTENTS = 1 + len(_AMPLITUDES) * len(_SLOPES)

# Luminance-like and two opponent colours, each of length 1.
_DIRECTIONS = np.array([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [1.0, 1.0, -2.0]])
_DIRECTIONS /= np.linalg.norm(_DIRECTIONS, axis=1, keepdims=True)
_LUMA = np.array([0.299, 0.587, 0.114])
# Above it steps are about as small as the rounding of pixels.
_BEST_JPEG = 97
_MOST_STEPS = 4  # multiples of a step that are told apart


def _content_variances(radius: np.ndarray) -> np.ndarray:
    """Variances of the picture [CONTENTS, *radius.shape] at distances from DC."""
    shapes = np.stack([(np.maximum(radius, 1.0) / 4.0) ** -p for p in _SLOPES])
    made = [np.zeros_like(shapes[:1]), *(a**2 * shapes for a in _AMPLITUDES)]
    return np.concatenate(made)


def _smoothed(correlation_px: float) -> np.ndarray:
    """Variances [8, 8] of the coefficients of noise of variance 1.

    White noise smoothed by a Gaussian of that many pixels has the power
    exp(-(c w)^2) at w radians per pixel.
    """
    w = (np.arange(256) + 0.5) / 256.0 * np.pi
    mean = np.exp(-((correlation_px * w) ** 2)).mean() ** 2
    return np.exp(-((correlation_px * np.pi / SIDE * _RADIUS) ** 2)) / mean


@dataclasses.dataclass(frozen=True)
class View:
    """One colour direction of a photograph's windows.

    The logarithm of the likelihood is `constant - statistics @ factors`, see `tables`.

    Attributes:
      statistics: [W, F] float32.
      bins: [W] the level of each window, 0 to LEVELS - 1.
      weight: of each window; below 1 where windows overlap.
      chroma: whether the picture is weak here; chances of contents are by this.
      own, shared: the variance here is that of one channel times own where channels
        are independent, times shared where they are equal.
      steps: [8, 8] quantisation, in units of [0, 1]; None without JPEG.
    """

    statistics: np.ndarray
    bins: np.ndarray
    weight: float
    chroma: bool
    own: float
    shared: float
    steps: np.ndarray | None = None

    def gain(self, correlation: float) -> float:
        """Variance here over that of a channel, for a correlation of the channels."""
        return self.own * (1.0 - correlation) + self.shared * correlation


def tables(
    steps: np.ndarray | None, correlation_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """Constants [S * C] and factors [F, S * C] for S strengths and C contents."""
    shape = _smoothed(correlation_px)
    if steps is None:
        rings = [_RING == ring for ring in range(_RINGS)]
        content = _content_variances(np.array([_RADIUS[x].mean() for x in rings]))
        noise = np.array([shape[x].mean() for x in rings])
        variance = SIGMAS[:, None, None] ** 2 * noise + ROUNDING + content
        constants = -0.5 * (_COUNT * np.log(variance)).sum(-1)
        factors = 0.5 / variance
    else:
        # A third: contents are of a direction of length 1, steps of the luminance.
        content = _content_variances(_RADIUS).reshape(CONTENTS, -1)[:, 1:] / 3.0
        noise = shape.ravel()[1:]
        variance = SIGMAS[:, None, None] ** 2 * noise + ROUNDING + content
        edges = np.arange(_MOST_STEPS) + 0.5
        scaled = steps.ravel()[1:] / np.sqrt(variance)
        beyond = log_ndtr(-scaled[..., None] * edges) + np.log(2.0)  # |k| above
        inside = np.log1p(-np.exp(beyond[..., :1]).clip(None, 1.0 - 1e-12))
        # Of exactly k steps, up to sign; the last is "this or more".
        drop = np.exp((beyond[..., 1:] - beyond[..., :-1]).clip(None, -1e-9))
        exact = beyond[..., :-1] + np.log1p(-drop)
        chance = np.concatenate([inside, exact, beyond[..., -1:]], axis=-1)
        constants = chance[..., 0].sum(-1)
        factors = (chance[..., :1] - chance[..., 1:]).reshape(*variance.shape[:2], -1)
    flat = factors.reshape(-1, factors.shape[-1])
    return constants.ravel(), np.ascontiguousarray(flat.T.astype(np.float32))


def views_of(rgb_u8: np.ndarray, jpeg: JpegMeasure, seed: int = 0) -> list[View]:
    """Looks at the windows of a photograph [H, W, 3] uint8.

    Args:
      rgb_u8: the photograph.
      jpeg: what JPEG left in it.
      seed: of the choice of windows where there are many.

    Returns:
      Its views; none where no window is free of black and white, where noise is cut
      off.
    """
    stored = 0 < jpeg.quality <= _BEST_JPEG
    top, left = jpeg.offset if stored else (0, 0)
    if min(rgb_u8.shape[0] - top, rgb_u8.shape[1] - left) < SIDE:
        return []
    stride = SIDE if stored else _STRIDE
    windows = np.lib.stride_tricks.sliding_window_view(
        rgb_u8[top:, left:], (SIDE, SIDE), axis=(0, 1)
    )[::stride, ::stride]
    windows = windows.reshape(-1, 3, SIDE, SIDE)
    windows = windows[((windows > 0) & (windows < 255)).all(axis=(1, 2, 3))]
    independent = len(windows) * (stride / SIDE) ** 2
    if not len(windows):
        return []
    if len(windows) > WINDOWS:
        random = np.random.default_rng(seed)
        windows = windows[random.choice(len(windows), WINDOWS, replace=False)]
    weight = min(1.0, independent / len(windows))
    pixels = windows.astype(np.float32) * np.float32(LEVEL)
    if stored:
        return [_jpeg_view(pixels, jpeg.quality, weight)]
    grey = bool((windows == windows[:, :1]).all())
    coefficients = fft.dctn(pixels, axes=(2, 3), norm="ortho")
    means = pixels.mean(axis=(2, 3))
    views = []
    for index, direction in enumerate(_DIRECTIONS[: 1 if grey else 3]):
        squares = np.einsum("c,wcuv->wuv", direction, coefficients) ** 2
        energy = [squares[:, _RING == ring].sum(-1) for ring in range(_RINGS)]
        views.append(
            View(
                np.stack(energy, axis=1).astype(np.float32),
                _bins(means @ direction**2),
                weight,
                chroma=index > 0,
                # All channels of a grey photograph have one noise.
                own=float(direction.sum() ** 2) if grey else 1.0,
                shared=float(direction.sum() ** 2),
            )
        )
    return views


def _jpeg_view(pixels: np.ndarray, quality: int, weight: float) -> View:
    steps = _steps(quality)
    luma = np.einsum("c,wcuv->wuv", _LUMA, pixels)
    coefficients = fft.dctn(luma, axes=(1, 2), norm="ortho").reshape(len(luma), -1)
    multiples = np.abs(coefficients / (steps.ravel() * LEVEL))[:, 1:]
    multiples = np.floor(multiples + 0.5).astype(np.int64).clip(0, _MOST_STEPS)
    marks = multiples[..., None] == np.arange(1, _MOST_STEPS + 1)
    return View(
        marks.reshape(len(luma), -1).astype(np.float32),
        _bins(luma.mean(axis=(1, 2))),
        weight,
        chroma=False,
        own=float(np.sum(_LUMA**2)),
        shared=1.0,
        steps=steps * LEVEL,
    )


def _steps(quality: int) -> np.ndarray:
    """The luminance table [8, 8] of libjpeg, in levels of 8 bit."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    scaled = (np.asarray(LUMINANCE, np.int64).reshape(SIDE, SIDE) * percent + 50) // 100
    return scaled.clip(1, 255).astype(np.float64)


def _bins(level: np.ndarray) -> np.ndarray:
    return (level * LEVELS).astype(np.int64).clip(0, LEVELS - 1)
