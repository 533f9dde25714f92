"""What a photograph's blur, noise and JPEG leave in it, as a vector of fixed length.

A blur multiplies the power of each frequency, so it is a sum in its logarithm: linear
in features that are logarithms of power spectra, whatever the content. The vector holds
statistics over windows of 16 x 16 pixels of

- the luma's log power at each frequency: over all windows, over the quiet ones (noise),
  over the strong ones (edges, which show the blur);
- the power of chroma in rings, which shows coloured noise and halved chroma;
- the high band against brightness, which shows how noise depends on the signal;
- the steepest slopes in four directions, whose growth with distance is an edge's width.

A mirrored or transposed photograph has the same features in another order:
`SYMMETRIES` says which, so the symmetries of a photograph cost nothing.
"""

import numpy as np
import scipy.fft

WINDOW = 16
STRIDE = 8
LEAST_SIDE = 32  # pixels: three windows along each side
_MOST_WINDOWS = 4096  # of a large photograph, spread evenly over it
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_CHROMA = np.array(
    [[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)
# Power below that of rounding to 8 bits, (1/255)^2 / 12 * sum(window^2), says nothing.
_LEAST_POWER = 1e-5
# Hann's, the same from both ends.
_ARCH = np.square(np.sin(np.pi * (np.arange(WINDOW) + 0.5) / WINDOW))
_HANN = np.outer(_ARCH, _ARCH).astype(np.float32)
_STATISTICS = 5
_RINGS = 6
_LAGS = (1, 2, 3, 5)
_STEEPEST = (0.9, 0.97, 0.995)
_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
_LEAST_SLOPE = 0.25 / 255.0
_BRIGHTNESSES = 5


def _bins() -> np.ndarray:
    """[129, 2] frequencies (y, x) of a half plane, without the mean."""
    half = WINDOW // 2
    rows = [(y, x) for x in (0, half) for y in range(half + 1) if y or x]
    rows += [(y, x) for x in range(1, half) for y in range(-half + 1, half + 1)]
    return np.array(rows)


_BINS = _bins()
_RADII = np.hypot(*_BINS.T)
_HIGH = _RADII > 5.0
_RING_EDGES = np.linspace(0.0, _RADII.max() + 1e-6, _RINGS + 1)
_RING_OF = np.digitize(_RADII, _RING_EDGES) - 1


def _count() -> int:
    slopes = len(_DIRECTIONS) * len(_LAGS) * len(_STEEPEST)
    return _STATISTICS * len(_BINS) + slopes + 4 * _RINGS + 3 * _BRIGHTNESSES + 4


FEATURES = _count()


def features(rgb_u8: np.ndarray) -> np.ndarray:
    """Features of one photograph.

    Args:
      rgb_u8: [h, w, 3] uint8, both sides at least `LEAST_SIDE`.

    Returns:
      [FEATURES] float32.

    Raises:
      ValueError: another type, shape or a smaller side.
    """
    return features_of(np.asarray(rgb_u8)[None])[0]


def features_of(batch_u8: np.ndarray) -> np.ndarray:
    """Features of photographs of one size: [B, h, w, 3] uint8 -> [B, FEATURES]."""
    shape = batch_u8.shape
    if batch_u8.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
        raise ValueError(
            "Photographs must be [h, w, 3] uint8. "
            f"Received: {shape[1:]} {batch_u8.dtype}."
        )
    if min(shape[1:3]) < LEAST_SIDE:
        raise ValueError(
            f"Both sides of a photograph must be at least {LEAST_SIDE} pixels. "
            f"Received: {shape[1]} x {shape[2]}."
        )
    image = batch_u8.astype(np.float32) / 255.0
    luma = image @ _LUMA
    brightness, power = _log_powers(luma)
    parts = [
        _over_windows(power),
        _slopes(luma),
        _chroma_rings(image),
        _high_band(brightness, power),
        _whole(image, luma),
    ]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _log_powers(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means [B, W] and log power [B, 129, W] of windows of a plane [B, h, w]."""
    windows = np.lib.stride_tricks.sliding_window_view(plane, (WINDOW, WINDOW), (1, 2))
    # In the middle, so that the windows of a mirrored photograph are the mirrored ones.
    top, left = ((side - WINDOW) % STRIDE // 2 for side in plane.shape[1:])
    windows = windows[:, top::STRIDE, left::STRIDE]
    windows = windows.reshape(len(plane), -1, WINDOW, WINDOW)
    if windows.shape[1] > _MOST_WINDOWS:
        chosen = np.linspace(0, windows.shape[1] - 1, _MOST_WINDOWS).astype(int)
        windows = windows[:, chosen]
    means = windows.mean((2, 3))
    spectrum = scipy.fft.rfft2((windows - means[..., None, None]) * _HANN)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    chosen = np.moveaxis(power[:, :, _BINS[:, 0], _BINS[:, 1]], 1, 2)
    return means, np.log(np.ascontiguousarray(chosen) + np.float32(_LEAST_POWER))


def _over_windows(power: np.ndarray) -> np.ndarray:
    """[B, 5 * 129] statistics of log powers [B, 129, W], statistic by statistic."""
    count = power.shape[2]
    ordered = np.sort(power, axis=2)
    strong = np.argsort(power.mean(1), axis=1, kind="stable")[:, -max(count // 5, 1) :]
    rows = np.arange(len(power))[:, None]
    strongest = np.moveaxis(power, 1, 2)[rows, strong].mean(1)
    top = power.max(2)
    total = top + np.log(np.exp(power - top[:, :, None]).mean(2))
    parts = [
        power.mean(2),
        total,
        ordered[:, :, int(0.1 * (count - 1))],
        ordered[:, :, int(0.9 * (count - 1))],
        strongest,
    ]
    return np.concatenate(parts, axis=1)


def _slopes(luma: np.ndarray) -> np.ndarray:
    """[B, 4 * 4 * 3] logs of the largest differences: direction, distance, share."""
    found = []
    height, width = luma.shape[1:]
    for dy, dx in _DIRECTIONS:
        for lag in _LAGS:
            y, x = dy * lag, dx * lag
            ahead = luma[:, y:, max(x, 0) : width + min(x, 0)]
            behind = luma[:, : height - y, max(-x, 0) : width - max(x, 0)]
            steps = np.sort(np.abs(ahead - behind).reshape(len(luma), -1), axis=1)
            places = [int(share * (steps.shape[1] - 1)) for share in _STEEPEST]
            found.append(np.log(steps[:, places] + _LEAST_SLOPE))
    return np.concatenate(found, axis=1)


def _chroma_rings(image: np.ndarray) -> np.ndarray:
    """[B, 2 * 2 * 6]: of Cb and Cr, over all and over quiet windows, in rings."""
    found = []
    for weights in _CHROMA:
        power = _log_powers(image @ weights)[1]
        quiet = np.sort(power, axis=2)[:, :, int(0.2 * (power.shape[2] - 1))]
        for statistic in (power.mean(2), quiet):
            found += [statistic[:, _RING_OF == ring].mean(1) for ring in range(_RINGS)]
    return np.stack(found, axis=1)


def _high_band(brightness: np.ndarray, power: np.ndarray) -> np.ndarray:
    """[B, 5 * 3] brightness, mean and low quantile of the high band, by brightness."""
    high = power[:, _HIGH].mean(1)
    order = np.argsort(brightness, axis=1, kind="stable")
    brightness = np.take_along_axis(brightness, order, 1)
    high = np.take_along_axis(high, order, 1)
    edges = np.linspace(0, high.shape[1], _BRIGHTNESSES + 1).astype(int)
    found = []
    for low, end in zip(edges[:-1], edges[1:], strict=True):
        group = np.sort(high[:, low:end], axis=1)
        found += [brightness[:, low:end].mean(1), group.mean(1)]
        found.append(group[:, int(0.2 * (end - low - 1))])
    return np.stack(found, axis=1)


def _whole(image: np.ndarray, luma: np.ndarray) -> np.ndarray:
    """[B, 4]: brightness, contrast, and how much is black or white."""
    pixels = image.reshape(len(image), -1)
    return np.stack(
        [
            luma.mean((1, 2)),
            np.log(luma.std((1, 2)) + 1e-3),
            (pixels <= 0.0).mean(1),
            (pixels >= 1.0).mean(1),
        ],
        axis=1,
    )


def _symmetries() -> np.ndarray:
    """[4, FEATURES]: where the features of a moved photograph come from."""
    index = {}
    for place, (y, x) in enumerate(_BINS):
        # Of a real signal (y, x) and (-y, -x) are the same.
        index[y % WINDOW, x % WINDOW] = index[-y % WINDOW, -x % WINDOW] = place
    mirrored = [index[y % WINDOW, -x % WINDOW] for y, x in _BINS]
    transposed = [index[x % WINDOW, y % WINDOW] for y, x in _BINS]
    orders = []
    for bins, directions in ((mirrored, (0, 1, 3, 2)), (transposed, (1, 0, 2, 3))):
        order = np.arange(FEATURES)
        spectra = _STATISTICS * len(_BINS)
        places = np.arange(spectra).reshape(_STATISTICS, -1)
        order[:spectra] = places[:, bins].reshape(-1)
        slopes = len(_DIRECTIONS) * len(_LAGS) * len(_STEEPEST)
        places = spectra + np.arange(slopes).reshape(len(_DIRECTIONS), -1)
        order[spectra : spectra + slopes] = places[list(directions)].reshape(-1)
        orders.append(order)
    mirror, transpose = orders
    return np.stack([np.arange(FEATURES), mirror, transpose, mirror[transpose]])


# features(moved photograph) is about features(photograph)[SYMMETRIES[i]], with the
# photograph as it is, mirrored, transposed, and both (a quarter turn).
SYMMETRIES = _symmetries()
# How theta = (m, d1, d2) of the kernel moves with the photograph.
SYMMETRY_SIGNS = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1]], np.float32)
