"""The shift-search score of NTIRE2018's real-world tracks, corrected and as released.

Timofte et al. 2018, "NTIRE 2018 challenge on single image super-resolution: methods and
results": the ground truth of tracks 2 to 4 is displaced, so results are scored at their
best displacement. With the settings of the PDM release (arXiv:2203.04962), after the
border crop of every metric:

1. both images lose what is left over of a multiple of 4, bottom and right, and 10
   pixels more on every side;
2. the central 60x60 window of the SR image stays in place, a window of that size in the
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
integers that they are. SSIM is searched for in float32 and computed exactly where it
matters (`ntire2018_search.py`); `ssim_scores` is the whole table.
"""

from typing import NamedTuple

import numpy as np
from scipy import fft

from pdm_tf.metrics.arrays import check_images, crop_border
from pdm_tf.metrics.ntire2018_search import best_score
from pdm_tf.metrics.psnr import psnr_of_squared_error
from pdm_tf.metrics.ssim import C1, C2, WINDOW, gaussian_weights, smooth

SHIFT = 40
SIZE = 60
MULTIPLE = 4
BORDER = 10
MIN_SIDE = SIZE + 2 * SHIFT + 2 * BORDER
_SHIFTS = 2 * SHIFT + 1
_COUNT = SIZE * SIZE


class Windows(NamedTuple):
    """What is compared: all of the reference that any displacement reaches."""

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
    """As the release computes it: 3,361 displacements, and black. As above else."""
    w = windows(sr_u8, hr_u8, "psnr_ntire2018_release")
    kept = squared_errors(w)[released_survivors()].min()
    black = np.sum(w.sr * w.sr)
    return _psnr(float(min(kept, black)), w)


def ssim_ntire2018(sr_u8: np.ndarray, hr_u8: np.ndarray) -> float:
    """The best SSIM over the 1,681 even displacements; as `psnr_ntire2018` else."""
    return _best_ssim(windows(sr_u8, hr_u8, "ssim_ntire2018"))


def ssim_ntire2018_release(sr_u8: np.ndarray, hr_u8: np.ndarray) -> float:
    """As the release computes it: never below 0."""
    return max(_best_ssim(windows(sr_u8, hr_u8, "ssim_ntire2018_release")), 0.0)


def _best_ssim(w: Windows) -> float:
    best = best_score(w.sr, w.hr, 2)
    return float(ssim_scores(w).max()) if best is None else best


def _psnr(squared_error: float, w: Windows) -> float:
    return psnr_of_squared_error(squared_error, _COUNT * w.sr.shape[-1])
