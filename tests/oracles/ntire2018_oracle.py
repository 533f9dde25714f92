"""NTIRE2018's shift search, every displacement by itself, and as it was released.

Steps as in the product's docstring, each window cut out and compared with the plain
metrics of the other oracles; the released table is filled slot by slot.
"""

import math

import numpy as np

from tests.oracles import ssim_oracle


def windows(sr, hr):
    """The central 60x60 of the SR image, and the reference with its centre (y, x)."""
    height, width = (n // 4 * 4 for n in hr.shape[:2])
    sr, hr = (x[:height, :width][10:-10, 10:-10].astype(np.float64) for x in (sr, hr))
    y, x = hr.shape[0] // 2, hr.shape[1] // 2
    return sr[y - 30 : y + 30, x - 30 : x + 30], hr, y, x


def moved(hr, y, x, dy, dx):
    return hr[y - 30 + dy : y + 30 + dy, x - 30 + dx : x + 30 + dx]


def _psnr(a, b):
    mse = np.mean((a - b) ** 2)
    return math.inf if mse == 0 else 10 * math.log10(255**2 / mse)


def psnr_table(sr, hr):
    """{(dy, dx): dB} over -40..40."""
    window, hr, y, x = windows(sr, hr)
    span = range(-40, 41)
    return {
        (dy, dx): _psnr(window, moved(hr, y, x, dy, dx)) for dy in span for dx in span
    }


def released_psnr(sr, hr):
    """The largest PSNR over the released table, black slots included."""
    window, hr, y, x = windows(sr, hr)
    table = [np.zeros_like(window)] * 81**2
    for dy in range(-40, 41):
        for dx in range(-40, 41):
            table[(dy + 40) * 41 + dx + 40] = moved(hr, y, x, dy, dx)
    return max(_psnr(window, entry) for entry in table)


def ssim_at(sr, hr, dy, dx):
    """SSIM at one displacement, window by window."""
    window, hr, y, x = windows(sr, hr)
    return ssim_oracle.ssim(window, moved(hr, y, x, dy, dx))


def released_ssim(scores):
    """From {(dy, dx): SSIM} of the even displacements, through the released table."""
    table = [0.0] * 81**2
    for (dy, dx), score in sorted(scores.items()):
        table[(dy + 40) * 41 + dx + 40] = score
    return max(table)
