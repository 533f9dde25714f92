"""Power against frequency, averaged over directions and patches."""

import numpy as np

BINS = 24


def radial_spectrum(patches: np.ndarray) -> list[tuple[float, float]]:
    """Power spectral density of the grey values of square patches.

    Each patch loses its mean and is faded out at its rim (Hann window, its energy
    divided out), so that white noise of variance v has density v at every frequency.

    Args:
      patches: [P, s, s, C], any range.

    Returns:
      (cycles per pixel, power) at the middles of BINS equal rings up to 0.5; rings that
      hold no frequency of so small a patch are left out.
    """
    grey = np.asarray(patches, np.float64).mean(axis=-1)
    side = grey.shape[1]
    grey = grey - grey.mean(axis=(1, 2), keepdims=True)
    window = np.hanning(side + 2)[1:-1]
    window = window[:, None] * window[None]
    window /= np.sqrt(np.mean(window**2))
    power = np.abs(np.fft.fft2(grey * window)) ** 2 / side**2
    along = np.fft.fftfreq(side)
    radius = np.hypot(along[:, None], along[None])
    ring = np.floor(radius / 0.5 * BINS).astype(int)
    mean = power.mean(axis=0)
    out = []
    for index in range(BINS):
        inside = (ring == index) & (radius > 0)
        if inside.any():
            out.append(((index + 0.5) * 0.5 / BINS, float(mean[inside].mean())))
    return out
