"""Compares learned noise with true noise: strength by signal level, correlation.

`noise` is added to the clean LR image, in units of the image range. It need not
show the same images as the true noise: only its statistics are compared.
"""

from typing import NamedTuple

import numpy as np

LEVELS = 8  # bins of the signal over [0, 1]
LEAST_COUNT = 500  # values in a bin: standard deviations to about 3 %


def noise_of_pair(
    hr: np.ndarray, lr: np.ndarray, kernel: np.ndarray, scale: int
) -> tuple[np.ndarray, np.ndarray]:
    """Computes an LR image minus its HR image blurred by the true kernel.

    LR pixel i is centred on HR pixel scale * i, and taps are not flipped. The result
    contains the rounding of the LR image too (standard deviation 0.29 / 255).

    Args:
      hr: [H, W, 3] float in [0, 1].
      lr: [H / scale, W / scale, 3] float in [0, 1].
      kernel: [K, K], K odd.

    Returns:
      (clean, noise), [h, w, 3] each, without the LR pixels whose window leaves `hr`.
    """
    side = len(kernel)
    first = -(-(side // 2) // scale)  # the first LR pixel whose window is inside
    start = first * scale - side // 2
    windows = np.lib.stride_tricks.sliding_window_view(
        np.asarray(hr, np.float64), (side, side), axis=(0, 1)
    )[start::scale, start::scale]
    clean = np.einsum("hwcij,ij->hwc", windows, kernel / np.sum(kernel))
    height, width = clean.shape[:2]
    return clean, lr[first : first + height, first : first + width] - clean


class NoiseLevels(NamedTuple):
    """Noise against signal level.

    Attributes:
      level: [L] middles of the bins, in [0, 1].
      std: [L] standard deviation of the noise in each; nan below `LEAST_COUNT` values.
      count: [L] values in each.
    """

    level: np.ndarray
    std: np.ndarray
    count: np.ndarray


def noise_levels(
    clean: np.ndarray, noise: np.ndarray, levels: int = LEVELS
) -> NoiseLevels:
    """Standard deviation of the noise by the clean value under it.

    Args:
      clean: any shape; values outside [0, 1] go to the first and last bin.
      noise: the same shape (or broadcast to it: grey noise [..., 1]).
      levels: bins over [0, 1], equal widths.
    """
    clean = np.asarray(clean, np.float64)
    values = np.broadcast_to(np.asarray(noise, np.float64), clean.shape).ravel()
    bins = (clean.ravel() * levels).astype(np.int64).clip(0, levels - 1)
    count = np.bincount(bins, minlength=levels)
    safe = np.maximum(count, 1)
    mean = np.bincount(bins, values, minlength=levels) / safe
    square = np.bincount(bins, (values - mean[bins]) ** 2, minlength=levels) / safe
    std = np.where(count >= LEAST_COUNT, np.sqrt(square), np.nan)
    return NoiseLevels((np.arange(levels) + 0.5) / levels, std, count)


def level_ratios(learned: NoiseLevels, true: NoiseLevels) -> np.ndarray:
    """[L] learned over true standard deviation, nan where one is not known.

    Raises:
      ValueError: no level in common, or true noise of zero.
    """
    known = np.isfinite(learned.std) & np.isfinite(true.std)
    if not known.any() or np.any(true.std[known] <= 0):
        raise ValueError(
            f"Learned and true noise must share a signal level of {LEAST_COUNT} values "
            "or more, with true noise above zero. Received counts: "
            f"{learned.count.tolist()} and {true.count.tolist()}."
        )
    safe = np.where(known, true.std, 1.0)
    return np.where(known, learned.std / safe, np.nan)


def noise_spectrum(noise: np.ndarray, bins: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Radially averaged power spectrum, as a share of the mean power.

    Each image's own mean is taken off first, so a colour cast does not count.

    Args:
      noise: [B, h, w, C], h and w more than 2 * bins.
      bins: rings of equal width between 0 and 0.5 cycles per LR pixel; the corners
        beyond are left out.

    Returns:
      (frequencies [bins] in cycles per pixel, power [bins]); white noise has 1
      everywhere, and power is 0 where there is no noise at all.

    Raises:
      ValueError: images too small for the rings.
    """
    noise = np.asarray(noise, np.float64)
    if min(noise.shape[1:3]) <= 2 * bins:  # the first ring would be empty
        raise ValueError(
            f"`noise` must have more than {2 * bins} pixels a side for {bins} rings. "
            f"Received: {noise.shape}."
        )
    noise = noise - noise.mean(axis=(1, 2), keepdims=True)
    power = np.square(np.abs(np.fft.fft2(noise, axes=(1, 2)))).mean(axis=(0, 3))
    radius = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, power.shape), indexing="ij"))
    ring = np.floor(radius / 0.5 * bins).astype(np.int64)
    inside = (ring < bins) & (radius > 0)
    sums = np.bincount(ring[inside], power[inside], minlength=bins)
    rings = sums / np.bincount(ring[inside], minlength=bins)
    # Of all frequencies but zero, corners included: Parseval.
    mean = power.sum() / (power.size - 1)
    frequencies = (np.arange(bins) + 0.5) * 0.5 / bins
    return frequencies, rings / mean if mean > 0 else np.zeros(bins)


def channel_correlation(noise: np.ndarray) -> np.ndarray:
    """[C, C] correlation of the noise's channels; nan where one has no variance."""
    values = np.asarray(noise, np.float64)
    values = values - values.mean(axis=(1, 2), keepdims=True)
    flat = values.reshape(-1, values.shape[-1])
    covariance = flat.T @ flat / len(flat)
    deviation = np.sqrt(np.diag(covariance))
    outer = np.outer(deviation, deviation)
    return np.where(outer > 0, covariance / np.where(outer > 0, outer, 1.0), np.nan)
