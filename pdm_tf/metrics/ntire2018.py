"""The shift-search score of NTIRE2018's real-world tracks, corrected and as released.

Timofte et al. 2018, "NTIRE 2018 challenge on single image super-resolution: methods and
results": the ground truth of tracks 2 to 4 is displaced, so results are scored at their
best displacement. With the settings of the PDM release (arXiv:2203.04962), after the
border crop of every metric:

1. both images are cut to a multiple of 4, bottom and right, and lose 10 pixels more on
every side; 2. the central 60x60 window of the SR image stays in place, a window of that
size in the
   reference moves by -40..40 pixels along both axes;
3. PSNR over the window, all channels together, and of the 6,561 scores the largest;
4. SSIM of the window, mean over the channels, where both displacements are even, and of
   these 1,681 the largest, whichever displacement won in PSNR.

Only the centre counts, and the search is wide enough to gain from chance: compare such
scores with each other alone.

As released (`*_release`), to compare with the paper's tables: a table of windows is
addressed with 41 instead of 81 slots per row, so that of all rows but the last only
displacements of the reference to the left (dx <= 0) are kept, and the SR window is also
compared with the black images in the slots that were never written. SSIM's values are
stored in the same way; at even rows none is overwritten, and an empty slot is 0, so
there only a negative best becomes 0.

PSNR is exact: sums of squares by integral images, products by FFT, rounded to the
integers that they are. `ssim_scores` is the whole table of SSIM. Since only its largest
value counts, the displacements are first scored in float32 (`scores32`), channel by
channel: a product with the moved reference, two filterings as products with a band
matrix, and SSIM's formula, for a row of displacements at a time. Both images lose their
means before, so that their covariance is not a difference of large numbers; rounding to
float32 then changes a score by 1e-7 on photographs and by less than MARGIN / 10 on the
worst images tried (tests). No SSIM exceeds 1, so a displacement that would not be the
best even if it had 1 in the channels that are still to come is out, and often one or
two channels decide. Then what is left is computed by the definition in float64, and the
best is the result (`best_score`). Products are kept small: OpenBLAS spreads larger ones
over threads, which on a busy machine wait for each other longer than the product takes.
"""

from typing import NamedTuple

import numpy as np
from scipy import fft

from pdm_tf.metrics.base import check_images, crop_border
from pdm_tf.metrics.psnr import psnr_of_squared_error
from pdm_tf.metrics.ssim import (
    C1,
    C2,
    WINDOW,
    gaussian_weights,
    smooth,
    ssim_of_channel,
)

SHIFT = 40
SIZE = 60
MULTIPLE = 4
BORDER = 10
MIN_SIDE = SIZE + 2 * SHIFT + 2 * BORDER
_SHIFTS = 2 * SHIFT + 1
_COUNT = SIZE * SIZE
# How far a float32 score may be off, at most.
MARGIN = 5e-4
# Up to so many displacements are computed by the definition: for few it is as fast.
FEW = 24
_BLOCK = 5  # rows of the first filtering that are made from as few rows as possible


class Windows(NamedTuple):
    """The compared windows; the reference's covers all displacements."""

    sr: np.ndarray  # [60, 60, C] float64, 0..255
    hr: np.ndarray  # [140, 140, C] float64


def windows(sr_u8: np.ndarray, hr_u8: np.ndarray, what: str) -> Windows:
    """Cuts the windows out of two images [H, W, C] uint8.

    Raises:
      UserError: wrong type, shapes that differ, or a side below 160 pixels.
    """
    check_images(sr_u8, hr_u8, minimum=MIN_SIDE, what=what)
    height, width = (n - n % MULTIPLE for n in hr_u8.shape[:2])
    sr, hr = (crop_border(x[:height, :width], BORDER) for x in (sr_u8, hr_u8))
    # Both sides are even here: the centre is exact.
    top, left = (n // 2 - SIZE // 2 for n in hr.shape[:2])
    far = SIZE + SHIFT
    return Windows(
        sr[top : top + SIZE, left : left + SIZE].astype(np.float64),
        hr[top - SHIFT : top + far, left - SHIFT : left + far].astype(np.float64),
    )


def squared_errors(w: Windows) -> np.ndarray:
    """Sum of squared errors for every displacement of the reference.

    Returns:
      [81, 81] float64 holding exact integers; entry [40 + dy, 40 + dx] compares
      sr[y, x] with hr[y + dy, x + dx].
    """
    squares = np.sum(w.hr * w.hr, axis=-1)
    integral = np.zeros((squares.shape[0] + 1, squares.shape[1] + 1))
    integral[1:, 1:] = squares.cumsum(axis=0).cumsum(axis=1)
    energy = (
        integral[SIZE:, SIZE:]
        - integral[:-SIZE, SIZE:]
        - integral[SIZE:, :-SIZE]
        + integral[:-SIZE, :-SIZE]
    )
    # Circular correlation: what wraps around lies beyond the 81 displacements.
    side = fft.next_fast_len(w.hr.shape[0], real=True)
    spectrum = fft.rfft2(w.hr, (side, side), axes=(0, 1))
    spectrum *= fft.rfft2(w.sr, (side, side), axes=(0, 1)).conj()
    products = fft.irfft2(spectrum.sum(axis=-1), (side, side))[:_SHIFTS, :_SHIFTS]
    return np.sum(w.sr * w.sr) + energy - 2.0 * np.rint(products)


def _views(plane: np.ndarray, size: int) -> np.ndarray:
    """[41, 41, size, size]: the plane at every even displacement, without copies."""
    every = np.lib.stride_tricks.sliding_window_view(plane, (size, size))
    return every[::2, ::2]


def ssim_scores(w: Windows) -> np.ndarray:
    """SSIM at the even displacements, mean over the channels.

    Returns:
      [41, 41] float64; entry [20 + dy / 2, 20 + dx / 2], see `squared_errors`.
    """
    channels = range(w.sr.shape[-1])
    return np.mean(
        [_ssim_of_channel(w.sr[..., c], w.hr[..., c]) for c in channels], axis=0
    )


def _ssim_of_channel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[60, 60] fixed and [140, 140] -> [41, 41]."""
    taps = gaussian_weights()
    side = SIZE - WINDOW + 1
    # All but the mixed moment are filtered once, and windows of them taken. `smooth`
    # transposes, and everything that meets its result is transposed too.
    mean_x, square_x = smooth(np.stack([x, x * x]), taps)
    mean_y, square_y = smooth(np.stack([y, y * y]), taps).swapaxes(-1, -2)
    luminance_x = mean_x * mean_x + C1
    variance_x = square_x - mean_x * mean_x + C2
    moments = (mean_y, mean_y * mean_y, square_y - mean_y * mean_y)
    views = (_views(plane, side) for plane in moments)
    scores = np.empty((SHIFT + 1, SHIFT + 1))
    for i, (ys, *of_y) in enumerate(zip(_views(y, SIZE), *views, strict=True)):
        means, luminances, variances = (v.swapaxes(-1, -2) for v in of_y)
        means = mean_x * means
        mixed = smooth(x * ys, taps)
        mixed -= means
        mixed *= 2
        mixed += C2
        means *= 2
        means += C1
        mixed *= means
        mixed /= (luminances + luminance_x) * (variances + variance_x)
        scores[i] = mixed.mean(axis=(1, 2))
    return scores


class Moments(NamedTuple):
    """The terms that depend on one image alone, in float32.

    Attributes:
      centred: the image less its mean.
      mean: local means of `centred`.
      level: local means of the image.
      square: level squared.
      variance: local variance.
    """

    centred: np.ndarray
    mean: np.ndarray
    level: np.ndarray
    square: np.ndarray
    variance: np.ndarray


def scores32(x: np.ndarray, y: np.ndarray, step: int) -> np.ndarray:
    """SSIM at every displacement of one channel, to about float32.

    Args:
      x: [n, n] float64 holding 0..255, fixed; n - 10 a multiple of 5.
      y: [m, m] float64, m > n.
      step: between displacements, along both axes.

    Returns:
      [s, s] float64 with s = (m - n) // step + 1; entry (i, j) compares x with
      y[i * step :, j * step :].
    """
    size, side = len(x), len(x) - WINDOW + 1
    count = (len(y) - size) // step + 1
    # [rows, s, columns]: the reference at every displacement of its columns. A
    # displacement of the rows is then a slice of it.
    moved, means, levels, squares, variances = (
        _displaced_columns(plane, size if plane.shape == y.shape else side, step)
        for plane in _moments(y)
    )
    fixed, mean, level, square, variance = (
        np.repeat(plane[:, None], count, axis=1) for plane in _moments(x)
    )
    mean, level = 2 * mean, 2 * level
    square, variance = square + np.float32(C1), variance + np.float32(C2)
    block = _band(_BLOCK + WINDOW - 1)
    across = np.ascontiguousarray(2 * _band(size).T)
    products = np.empty((size, count, size), np.float32)
    filtered = np.empty((side, count, size), np.float32)
    score = np.empty((side, count, side), np.float32)
    other, spare = np.empty_like(score), np.empty_like(score)
    columns = np.ones(side, np.float32)
    scores = np.empty((count, count))
    for i in range(count):
        top = i * step
        inside = slice(top, top + side)
        np.multiply(fixed, moved[top : top + size], out=products)
        for row in range(0, side, _BLOCK):
            rows = products[row : row + _BLOCK + WINDOW - 1].reshape(len(block.T), -1)
            out = filtered[row : row + _BLOCK].reshape(_BLOCK, -1)
            np.matmul(block, rows, out=out)
        np.matmul(filtered, across, out=score)
        np.multiply(mean, means[inside], out=other)
        score -= other
        score += np.float32(C2)
        np.multiply(level, levels[inside], out=other)
        other += np.float32(C1)
        score *= other
        np.add(square, squares[inside], out=other)
        np.add(variance, variances[inside], out=spare)
        other *= spare
        score /= other
        scores[i] = (score @ columns).sum(axis=0, dtype=np.float64)
    return scores / side**2


def best_score(x: np.ndarray, y: np.ndarray, step: int) -> float | None:
    """The largest SSIM over all displacements, mean over the channels, exactly.

    Args:
      x: [n, n, C] float64 holding 0..255.
      y: [m, m, C] float64.
      step: between displacements.

    Returns:
      It, or None where more than FEW displacements may have it (images without much
      structure).
    """
    channels = x.shape[-1]
    total: np.ndarray | float = 0.0
    for done in range(1, channels + 1):
        total = total + scores32(x[..., done - 1], y[..., done - 1], step)
        likely = np.unravel_index(int(np.argmax(total)), total.shape)
        best = _exact_score(x, y, likely, step)
        # Each channel still to come adds 1 at most.
        bound = (total + (channels - done)) / channels + MARGIN
        left = np.argwhere(bound >= best)
        if len(left) <= FEW:
            return max([best, *(_exact_score(x, y, place, step) for place in left)])
    return None


def _exact_score(
    x: np.ndarray, y: np.ndarray, place: np.ndarray | tuple[int, int], step: int
) -> float:
    """By the definition, at one displacement."""
    top, left = (int(i) * step for i in place)
    window = y[top : top + len(x), left : left + len(x)]
    return float(
        np.mean(
            [ssim_of_channel(x[..., c], window[..., c]) for c in range(x.shape[-1])]
        )
    )


def _moments(plane: np.ndarray) -> Moments:
    """Computed in float64, and then rounded once."""
    middle = plane.mean()
    centred = plane - middle
    # `smooth` transposes.
    mean, square = smooth(
        np.stack([centred, centred * centred]), gaussian_weights()
    ).swapaxes(-1, -2)
    level = mean + middle
    parts = (centred, mean, level, level * level, square - mean * mean)
    return Moments(*(np.ascontiguousarray(part, np.float32) for part in parts))


def _band(size: int) -> np.ndarray:
    """[size - 10, size] float32: a product with it filters by the Gaussian window."""
    taps = gaussian_weights()
    band = np.zeros((size - WINDOW + 1, size), np.float32)
    for row in range(len(band)):
        band[row, row : row + WINDOW] = taps
    return band


def _displaced_columns(plane: np.ndarray, size: int, step: int) -> np.ndarray:
    """[rows, s, size]: each row at every displacement of the columns."""
    every = np.lib.stride_tricks.sliding_window_view(plane, size, axis=1)
    return np.ascontiguousarray(every[:, ::step])


def released_survivors() -> np.ndarray:
    """[81, 81] bool: the displacements that the release's table still holds.

    Entry (i, j) went to slot 41 i + j; a slot keeps what was written last.
    """
    slots = (SHIFT + 1) * np.arange(_SHIFTS)[:, None] + np.arange(_SHIFTS)
    last = np.full(_SHIFTS**2, -1)
    for number, slot in enumerate(slots.ravel()):
        last[slot] = number
    survivors = np.zeros(_SHIFTS**2, bool)
    survivors[last[last >= 0]] = True
    return survivors.reshape(_SHIFTS, _SHIFTS)


def psnr_ntire2018(sr_u8: np.ndarray, hr_u8: np.ndarray) -> float:
    """The best PSNR in dB over all 6,561 displacements; infinite for an equal window.

    Args:
      sr_u8: [H, W, C] uint8, borders already cropped; at least 160x160 pixels.
      hr_u8: the reference, same shape.

    Raises:
      UserError: wrong type, shapes that differ, or images that are too small.
    """
    w = windows(sr_u8, hr_u8, "psnr_ntire2018")
    return _psnr(float(squared_errors(w).min()), w)


def psnr_ntire2018_release(sr_u8: np.ndarray, hr_u8: np.ndarray) -> float:
    """Computes it as the release does: over 3,361 displacements and a black image.

    Otherwise as `psnr_ntire2018`.
    """
    w = windows(sr_u8, hr_u8, "psnr_ntire2018_release")
    kept = squared_errors(w)[released_survivors()].min()
    black = np.sum(w.sr * w.sr)
    return _psnr(float(min(kept, black)), w)


def ssim_ntire2018(sr_u8: np.ndarray, hr_u8: np.ndarray) -> float:
    """The best SSIM over the 1,681 even displacements; else as `psnr_ntire2018`."""
    return _best_ssim(windows(sr_u8, hr_u8, "ssim_ntire2018"))


def ssim_ntire2018_release(sr_u8: np.ndarray, hr_u8: np.ndarray) -> float:
    """Computes it as the release does: never below 0."""
    return max(_best_ssim(windows(sr_u8, hr_u8, "ssim_ntire2018_release")), 0.0)


def _best_ssim(w: Windows) -> float:
    best = best_score(w.sr, w.hr, 2)
    return float(ssim_scores(w).max()) if best is None else best


def _psnr(squared_error: float, w: Windows) -> float:
    return psnr_of_squared_error(squared_error, _COUNT * w.sr.shape[-1])
